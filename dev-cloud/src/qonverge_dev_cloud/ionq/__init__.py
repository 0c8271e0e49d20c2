"""IonQ: the REST API v0.4 and its backends."""
