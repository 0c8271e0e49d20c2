"""Circuits: parse, check, analyse. Importing this package imports no quantum library."""

from qonverge.circuits.errors import CheckerLost, CircuitError, InvalidProgram, Unmapped

__all__ = ["CheckerLost", "CircuitError", "InvalidProgram", "Unmapped"]
