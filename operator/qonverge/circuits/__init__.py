"""Circuits: parse, check, analyse. Importing this package imports no quantum library."""

from qonverge.circuits.errors import CircuitError, InvalidProgram

__all__ = ["CircuitError", "InvalidProgram"]
