"""Qiskit: a backend, its primitives and its jobs."""
