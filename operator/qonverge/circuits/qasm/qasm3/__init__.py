"""OpenQASM 3 to circuits: what is known before the run is evaluated, the rest becomes Qiskit's control flow."""
