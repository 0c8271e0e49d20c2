"""Matrices of gates from a standard header's own text, down to the built-in gates."""

from __future__ import annotations

import cmath
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import fractional_matrix_power

from tests.differential.gates import QELIB1, STDGATES, controlled

Matrix = NDArray[np.complex128]
_GATE = re.compile(r"gate\s+(\w+)\s*(?:\(([^)]*)\))?\s*([\w\s,]+)\{([^}]*)\}")
_CALL = re.compile(r"((?:\w+(?:\([^)]*\))?\s*@\s*)*)(\w+)\s*(?:\((.*)\))?\s*([\w\s,]*)", re.DOTALL)


@dataclass(frozen=True)
class _Gate:
    angles: tuple[str, ...]
    qubits: tuple[str, ...]
    calls: tuple[str, ...]


class Header:
    """The gates of a header."""

    def __init__(self, text: str, version: int) -> None:
        """Read the text of ``qelib1.inc`` (version 2) or ``stdgates.inc`` (3)."""
        plain = re.sub(r"//[^\n]*", "", text).replace("lambda", "lam").replace("π", "pi")
        self._built_in = STDGATES if version == 3 else QELIB1
        self._version = version
        self._gates = {
            found[1]: _Gate(_names(found[2] or ""), _names(found[3]), tuple(c.strip() for c in found[4].split(";")))
            for found in _GATE.finditer(plain)
        }

    @property
    def names(self) -> frozenset[str]:
        """The gates that it defines."""
        return frozenset(self._gates)

    def matrix(self, name: str, angles: Sequence[float]) -> Matrix:
        """Return a gate's matrix, its first qubit the most significant."""
        if name == "gphase":
            return np.array([[cmath.exp(1j * angles[0])]])
        if name == "U" or (name == "CX" and self._version == 2):
            return self._built_in[name].matrix(*angles)
        gate = self._gates[name]
        values = dict(zip(gate.angles, angles, strict=True))
        whole = np.eye(2 ** len(gate.qubits), dtype=complex)
        for call in filter(None, gate.calls):
            whole = self._called(call, gate, values) @ whole
        return whole

    def _called(self, call: str, gate: _Gate, values: Mapping[str, float]) -> Matrix:
        found = _CALL.fullmatch(call)
        assert found is not None, call
        angles = [_number(text, values) for text in _split(found[3] or "")]
        matrix = self.matrix(found[2], angles)
        for modifier in reversed([part.strip() for part in found[1].split("@")][:-1]):
            if modifier == "ctrl":
                matrix = controlled(matrix)
            elif modifier == "inv":
                matrix = matrix.conj().T
            else:
                power = re.fullmatch(r"pow\((.*)\)", modifier)
                assert power is not None, modifier
                matrix = fractional_matrix_power(matrix, float(power[1]))
        return _embedded(matrix, [gate.qubits.index(name) for name in _names(found[4])], len(gate.qubits))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _split(text: str) -> list[str]:
    return [part for part in text.split(",") if part.strip()]


def _number(text: str, values: Mapping[str, float]) -> float:
    return float(eval(text, {"__builtins__": {}}, {"pi": math.pi, **values}))


def _embedded(matrix: Matrix, places: Sequence[int], qubits: int) -> Matrix:
    """Return the matrix on some of the qubits; the first is the most significant of both."""
    k = len(places)
    tensor = np.eye(2**qubits, dtype=complex).reshape((2,) * qubits + (-1,))
    moved = np.tensordot(matrix.reshape((2,) * 2 * k), tensor, axes=(range(k, 2 * k), places))
    return np.moveaxis(moved, range(k), places).reshape(2**qubits, -1)
