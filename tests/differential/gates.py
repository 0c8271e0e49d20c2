"""Matrices of the gates of both standard headers of OpenQASM, written from the specifications.

Basis states are numbered with a gate's first qubit as the most significant bit, as in textbooks. ``test_reference.py``
compares each matrix with the header's own definition in terms of the built-in gates.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.complex128]


@dataclass(frozen=True)
class Kind:
    """What a gate takes, and its matrix."""

    qubits: int
    angles: int
    matrix: Callable[..., Matrix]


def controlled(matrix: Matrix, on: int = 1) -> Matrix:
    """Return the gate with a control before its qubits, which acts when that is ``on``."""
    side = len(matrix)
    whole = np.eye(2 * side, dtype=complex)
    place = slice(side, None) if on else slice(None, side)
    whole[place, place] = matrix
    return whole


def built_in(theta: float, phi: float, lam: float) -> Matrix:
    """OpenQASM 3's U: 2 pi periodic in every angle."""
    turn = cmath.exp(1j * theta)
    rows = [
        [1 + turn, -1j * cmath.exp(1j * lam) * (1 - turn)],
        [1j * cmath.exp(1j * phi) * (1 - turn), cmath.exp(1j * (phi + lam)) * (1 + turn)],
    ]
    return np.array(rows, dtype=np.complex128) / 2


def _phase(angle: float) -> Matrix:
    return np.array([[1, 0], [0, cmath.exp(1j * angle)]], dtype=np.complex128)


def _rotation(axis: Matrix) -> Callable[[float], Matrix]:
    unit = np.eye(len(axis), dtype=complex)
    return lambda angle: math.cos(angle / 2) * unit - 1j * math.sin(angle / 2) * axis


def _u3(theta: float, phi: float, lam: float) -> Matrix:
    """OpenQASM 3's u3, of determinant 1; OpenQASM 2 has no phase that could be told."""
    return cmath.exp(-0.5j * (theta + phi + lam)) * built_in(theta, phi, lam)


def _old_u(theta: float, phi: float, lam: float) -> Matrix:
    """OpenQASM 2's U in the convention whose first element is real, which its controlled gates have."""
    return cmath.exp(-0.5j * theta) * built_in(theta, phi, lam)


def _fixed(rows: list[list[complex]]) -> Callable[[], Matrix]:
    matrix = np.array(rows, dtype=complex)
    return lambda: matrix


def _control(inner: Callable[..., Matrix], times: int = 1) -> Callable[..., Matrix]:
    def matrix(*angles: float) -> Matrix:
        whole = inner(*angles)
        for _ in range(times):
            whole = controlled(whole)
        return whole

    return matrix


X: Matrix = np.array([[0, 1], [1, 0]], dtype=complex)
Y: Matrix = np.array([[0, -1j], [1j, 0]])
Z: Matrix = np.array([[1, 0], [0, -1]], dtype=complex)
_X, _Y, _Z = (_fixed(pauli.tolist()) for pauli in (X, Y, Z))
_H = _fixed([[math.sqrt(0.5), math.sqrt(0.5)], [math.sqrt(0.5), -math.sqrt(0.5)]])
_SX = _fixed([[0.5 + 0.5j, 0.5 - 0.5j], [0.5 - 0.5j, 0.5 + 0.5j]])
_SXDG = _fixed([[0.5 - 0.5j, 0.5 + 0.5j], [0.5 + 0.5j, 0.5 - 0.5j]])
_SWAP = _fixed([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
_C3SQRTX = _control(_SX, 3)


def _relative_toffoli() -> Matrix:
    """A Toffoli gate but for phases: those of qelib1.inc's definition."""
    whole = np.eye(8, dtype=complex)
    whole[5, 5] = -1
    whole[6:, 6:] = [[0, -1j], [1j, 0]]
    return whole


def _relative_triple() -> Matrix:
    whole = np.eye(16, dtype=complex)
    whole[12, 12], whole[13, 13] = 1j, -1j
    whole[14:, 14:] = [[0, 1], [-1, 0]]
    return whole


_ONE = {
    "id": Kind(1, 0, lambda: np.eye(2, dtype=complex)),
    "x": Kind(1, 0, _X),
    "y": Kind(1, 0, _Y),
    "z": Kind(1, 0, _Z),
    "h": Kind(1, 0, _H),
    "s": Kind(1, 0, lambda: _phase(math.pi / 2)),
    "sdg": Kind(1, 0, lambda: _phase(-math.pi / 2)),
    "t": Kind(1, 0, lambda: _phase(math.pi / 4)),
    "tdg": Kind(1, 0, lambda: _phase(-math.pi / 4)),
    "sx": Kind(1, 0, _SX),
    "rx": Kind(1, 1, _rotation(X)),
    "ry": Kind(1, 1, _rotation(Y)),
    "rz": Kind(1, 1, _rotation(Z)),
    "p": Kind(1, 1, _phase),
    "u1": Kind(1, 1, _phase),
    "u2": Kind(1, 2, lambda phi, lam: _u3(math.pi / 2, phi, lam)),
    "u3": Kind(1, 3, _u3),
}
_SEVERAL = {
    "cx": Kind(2, 0, _control(_X)),
    "cy": Kind(2, 0, _control(_Y)),
    "cz": Kind(2, 0, _control(_Z)),
    "ch": Kind(2, 0, _control(_H)),
    "cp": Kind(2, 1, _control(_phase)),
    "crx": Kind(2, 1, _control(_rotation(X))),
    "cry": Kind(2, 1, _control(_rotation(Y))),
    "crz": Kind(2, 1, _control(_rotation(Z))),
    "cu": Kind(2, 4, lambda *angles: controlled(cmath.exp(1j * angles[3]) * _old_u(*angles[:3]))),
    "swap": Kind(2, 0, _SWAP),
    "ccx": Kind(3, 0, _control(_X, 2)),
    "cswap": Kind(3, 0, _control(_SWAP)),
}
STDGATES: dict[str, Kind] = {
    **_ONE,
    **_SEVERAL,
    "U": Kind(1, 3, built_in),
    "phase": Kind(1, 1, _phase),
    "cphase": Kind(2, 1, _control(_phase)),
    "CX": Kind(2, 0, _control(_X)),
}
"""What an OpenQASM 3 program has: ``stdgates.inc`` and the built-in U."""
QELIB1: dict[str, Kind] = {
    **_ONE,
    **_SEVERAL,
    "U": Kind(1, 3, _old_u),
    "CX": Kind(2, 0, _control(_X)),
    "u": Kind(1, 3, _old_u),
    "u0": Kind(1, 1, lambda _: np.eye(2, dtype=complex)),
    "sxdg": Kind(1, 0, _SXDG),
    "cu1": Kind(2, 1, _control(_phase)),
    "cu3": Kind(2, 3, _control(_old_u)),
    "csx": Kind(2, 0, _control(_SX)),
    "rxx": Kind(2, 1, _rotation(np.kron(X, X).astype(np.complex128))),
    "rzz": Kind(2, 1, _rotation(np.kron(Z, Z).astype(np.complex128))),
    "rccx": Kind(3, 0, _relative_toffoli),
    "rc3x": Kind(4, 0, _relative_triple),
    "c3x": Kind(4, 0, _control(_X, 3)),
    "c3sqrtx": Kind(4, 0, _C3SQRTX),
    "c4x": Kind(5, 0, _control(_X, 4)),
}
"""What an OpenQASM 2 program has: Qiskit's ``qelib1.inc``, which is the one in use, and the built-in gates."""
CLIFFORD = frozenset(("id", "x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "cx", "cy", "cz", "swap", "CX"))
"""Gates that stabilizers take as they are."""
