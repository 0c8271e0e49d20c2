"""Kubernetes' objects: those that the operator makes, and what it reads from them. Pure."""
