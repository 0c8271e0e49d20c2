"""Noise as docs/backends.md defines it, and programs for which that leaves nothing open.

Their gates are the device's own and a barrier across all qubits stands between any two, so that no transpiler joins or
moves them, and it is known how long each qubit waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from qonverge.devices import Calibration
from tests.differential.program import (
    Angle,
    Barrier,
    Case,
    Counts,
    Gate,
    Measure,
    Program,
    Register,
    Statement,
    Values,
)
from tests.differential.reference import Matrix, Noise

QUBITS = 3


@dataclass(frozen=True)
class Figures:
    """A device's figures: error and seconds of each gate at each place, T1 and T2, errors of readout."""

    gates: dict[tuple[str, tuple[int, ...]], tuple[float, float]]
    times: tuple[tuple[float, float], ...]
    misread: tuple[tuple[float, float], ...]
    """Probabilities of a 1 where 0 is, and of a 0 where 1 is."""


def _figures(relaxing: bool) -> Figures:
    gates: dict[tuple[str, tuple[int, ...]], tuple[float, float]] = {}
    for a in range(QUBITS):
        gates["rz", (a,)] = 0.0, 0.0
        for name in ("sx", "x"):
            gates[name, (a,)] = 0.01 * (a + 1), 1e-6 * (a + 1)
        for b in range(QUBITS):
            if a != b:
                gates["cx", (a, b)] = 0.03 + 0.01 * a, 5e-6 + 1e-6 * b
    times = ((6e-5, 4e-5), (9e-5, 1.2e-4), (5e-5, 1e-4)) if relaxing else ((math.inf, math.inf),) * QUBITS
    return Figures(gates, times, ((0.02, 0.05), (0.0, 0.03), (0.04, 0.01)))


PAULI = _figures(relaxing=False)
RELAXING = _figures(relaxing=True)


def calibration(figures: Figures) -> Calibration:
    """Return the figures as a calibration, in the documented form."""
    qubits = []
    for index in range(QUBITS):
        own: dict[str, float] = {"read0As1": figures.misread[index][0], "read1As0": figures.misread[index][1]}
        if math.isfinite(figures.times[index][0]):
            own |= {"t1": figures.times[index][0], "t2": figures.times[index][1]}
        qubits.append(own)
    gates = [
        {"name": name, "qubits": list(places), "error": error, "seconds": seconds}
        for (name, places), (error, seconds) in figures.gates.items()
    ]
    return Calibration.from_dict({"format": "qonverge.io/calibration/v1", "qubits": qubits, "gates": gates})


def reference(figures: Figures) -> Noise:
    """Return what the documentation says of these figures."""

    def after(name: str, qubits: tuple[int, ...], rho: Matrix) -> Matrix:
        error, seconds = figures.gates[name, qubits]
        side = 2 ** len(qubits)
        kept = math.prod(_process_fidelity(seconds, *figures.times[qubit]) for qubit in qubits)
        wanted = ((side + 1) * (1 - error) - 1) / side
        share = max(0.0, (kept - wanted) / (kept - 1 / side**2))
        rho = _depolarised(rho, qubits, share)
        for qubit in range(QUBITS):
            # Behind the barrier, the others have waited as long.
            rho = _relaxed(rho, qubit, seconds, *figures.times[qubit])
        return rho

    return Noise(after, lambda qubit: figures.misread[qubit])


def _process_fidelity(seconds: float, t1: float, t2: float) -> float:
    """Return that of relaxation: a quarter of the trace of its Pauli transfer matrix."""
    return (1 + 2 * math.exp(-seconds / t2) + math.exp(-seconds / t1)) / 4


def _depolarised(rho: Matrix, qubits: tuple[int, ...], share: float) -> Matrix:
    mixed = rho
    for qubit in qubits:
        mixed = _mixed(mixed, qubit)
    return (1 - share) * rho + share * mixed


def _mixed(rho: Matrix, qubit: int) -> Matrix:
    """Return the state with a qubit in the maximally mixed state, the others as they are."""
    zero = np.zeros_like(rho)
    rows = np.arange(len(rho))
    flipped = rows ^ 1 << qubit
    same = (rows[:, None] >> qubit & 1) == (rows[None, :] >> qubit & 1)
    return np.where(same, (rho + rho[np.ix_(flipped, flipped)]) / 2, zero)


def _relaxed(rho: Matrix, qubit: int, seconds: float, t1: float, t2: float) -> Matrix:
    left, coherent = math.exp(-seconds / t1), math.exp(-seconds / t2)
    rows = np.arange(len(rho))
    ones = rows >> qubit & 1
    both: NDArray[np.bool_] = np.outer(ones, ones).astype(bool)
    different = ones[:, None] != ones[None, :]
    flipped = rows ^ 1 << qubit
    decayed = np.where(both, rho, 0)[np.ix_(flipped, flipped)]
    return np.where(both, left * rho, np.where(different, coherent * rho, rho + (1 - left) * decayed))


@st.composite
def cases(draw: st.DrawFn, *, clifford: bool = False) -> Case:
    """Draw a program in the device's gates, measured at its end or ended by a gate on each qubit."""
    every = Barrier(tuple(range(QUBITS)))
    body: list[Statement] = []
    for _ in range(draw(st.integers(0, 6))):
        name = draw(st.sampled_from(("sx", "x", "cx", "rz")))
        places = tuple(draw(st.permutations(range(QUBITS)))[: 2 if name == "cx" else 1])
        quarter = draw(st.integers(-3, 3)) * math.pi / 2
        angle = quarter if clifford else draw(st.sampled_from((0.4, 1.3, quarter)))
        body += [Gate(name, places, (Angle(angle),) if name == "rz" else ()), every]
    q, c = Register("q", QUBITS, 0), Register("c", QUBITS, 0)
    wanted: Counts | Values = Counts(4000)
    if draw(st.booleans()):
        body += [Measure(place, place) for place in draw(st.permutations(range(QUBITS)))]
    else:
        # Every qubit's last gate begins at the same time, and so none waits behind it.
        body += [Gate("rz", (place,), (Angle(0.0),)) for place in range(QUBITS)]
        label = st.text("IXYZ", min_size=QUBITS, max_size=QUBITS)
        # Of sampled values it is not said with which gates qubits are turned into the measured basis.
        wanted = Values(tuple(((text, 1.0),) for text in draw(st.lists(label, min_size=1, max_size=3))))
    return Case(Program(3, (q,), (c,), tuple(body)), ({},), wanted, draw(st.integers(0, 2**32 - 1)))
