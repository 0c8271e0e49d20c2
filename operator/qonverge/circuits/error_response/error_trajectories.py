"""Trajectories of a circuit: which errors happen in it, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qonverge.circuits.analysis.gate_sequence import Step

Kind = Literal["Gate", "Reset", "Phase"]

KINDS: tuple[Kind, ...] = ("Gate", "Reset", "Phase")
"""A random Pauli error on the qubits of a gate; a qubit that falls to 0; a Z on a qubit. Relaxation and dephasing of a
qubit are the last two where T2 <= T1."""
COUNTS = (1, 2, 4, 8, 16)
"""Errors in a trajectory, all of one kind."""

# Of all trajectories those with so many errors of a kind; many errors come to the same in the end.
_OF_COUNTS = (0.4, 0.25, 0.15, 0.1, 0.1)
_OF_KINDS = (0.5, 0.3, 0.2)
# A pulse fails about so often as a CX does, on the devices of devices/snapshots.
_PULSE_WEIGHT = 0.03


@dataclass(frozen=True, slots=True)
class Fault:
    """An error on one qubit in one trajectory."""

    column: int
    """The trajectory."""
    qubit: int
    pauli: int
    """``x + 2 z``; of a reset any of 0 to 3, which is the reset's effect on an entangled qubit."""
    chance: float | None = None
    """Of a reset: a number from 0 to 1 that decides what the qubit was before."""
    turned: bool = False
    """Whether a reset comes between two Hadamards."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Trajectories."""

    kinds: NDArray[np.int64]
    """For each trajectory, the place of its kind in ``KINDS``."""
    counts: NDArray[np.int64]
    """For each, its number of errors."""
    after: tuple[tuple[Fault, ...], ...]
    """For each gate, the errors after it."""

    def of(self, kind: Kind, count: int) -> NDArray[np.bool_]:
        """Return which trajectories have so many errors of a kind."""
        found: NDArray[np.bool_] = (self.kinds == KINDS.index(kind)) & (self.counts == count)
        return found


def draw(gates: Sequence[Step], num_qubits: int, columns: int, random: np.random.Generator) -> Faults:
    """Return about so many trajectories, at least two of each kind and count."""
    kinds: list[int] = []
    counts: list[int] = []
    after: list[list[Fault]] = [[] for _ in gates]
    spots, chances = _spots(gates, num_qubits)
    for kind, (of_kind, weights) in enumerate(zip(_OF_KINDS, chances, strict=True)):
        for count, of_count in zip(COUNTS, _OF_COUNTS, strict=True):
            members = np.arange(max(2, round(columns * of_kind * of_count))) + len(kinds)
            kinds += [kind] * len(members)
            counts += [count] * len(members)
            if not weights.sum():
                continue
            # Spread evenly over the circuit, not independently: fewer trajectories say as much.
            total = len(members) * count
            places = (random.permutation(total) + random.random(total)) / total
            found = np.searchsorted(np.cumsum(weights) / weights.sum(), places)
            which = random.permutation(total).tolist()
            for slot, spot in enumerate(np.minimum(found, len(spots) - 1).tolist()):
                gate, qubit = spots[spot]
                column = int(members[slot % len(members)])
                after[gate] += _faults(KINDS[kind], gates[gate].qubits, qubit, column, which[slot], random)
    return Faults(np.array(kinds), np.array(counts), tuple(map(tuple, after)))


def _faults(
    kind: Kind, qubits: tuple[int, ...], qubit: int, column: int, which: int, random: np.random.Generator
) -> list[Fault]:
    """Return the errors of one event; ``which`` counts events, so that each variant comes about equally often."""
    # A device's gate on two qubits is no CX, or one the other way round, so it has Hadamards beside it in which half of
    # what happens in time takes place.
    turned = bool(which & 1)
    if kind == "Phase":
        return [Fault(column, qubit, 1 if turned else 2)]
    if kind == "Reset":
        return [Fault(column, qubit, which >> 1 & 3, float(random.random()), turned)]
    paulis = 1 + which % (4 ** len(qubits) - 1)
    return [Fault(column, place, paulis >> 2 * index & 3) for index, place in enumerate(qubits)]


def _spots(gates: Sequence[Step], num_qubits: int) -> tuple[list[tuple[int, int]], list[NDArray[np.float64]]]:
    """Return places of errors, each a gate and a qubit of it, and for each kind how often errors happen there.

    What a qubit suffers over time grows with the layers of CX until its next gate, each gate as late as can be.
    """
    level = [0] * num_qubits
    spots: list[tuple[int, int]] = []
    failing: list[float] = []
    lasting: list[float] = []
    for index in range(len(gates) - 1, -1, -1):
        step = gates[index]
        two = len(step.qubits) == 2
        end = max(level[qubit] for qubit in step.qubits)
        for qubit in step.qubits:
            spots.append((index, qubit))
            failing.append(0.5 if two else _PULSE_WEIGHT * max(step.pulses, 0.1))
            lasting.append(end + two - level[qubit])
            level[qubit] = end + two
    return spots, [np.array(failing), np.array(lasting, dtype=float), np.array(lasting, dtype=float)]
