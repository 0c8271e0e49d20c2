"""QuantumBackends."""
