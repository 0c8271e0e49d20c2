"""The embedded mode: the same manifests, types, placement and engine in one process, without a cluster."""
