"""IonQ: the REST API v0.4, its simulator and its QPUs."""
