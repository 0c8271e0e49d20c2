"""QuantumQuotas, and what programs use of them."""
