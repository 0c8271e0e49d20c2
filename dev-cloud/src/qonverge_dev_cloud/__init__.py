"""Quantum clouds on loopback: the vendors' own APIs, deterministic, without an account and without a network."""
