"""IonQ's quantum cloud, by its REST API v0.4."""
