"""Keeps the store as the cluster is."""
