"""How a circuit's outcomes respond to errors: the Hellinger fidelity for so many errors, before any device is known.

The Hellinger fidelity of an ideal distribution p and a noisy one q is (sum_x sqrt(p(x) q(x)))^2. What errors do to it
depends on p: a uniform p stays as it is, a single peak falls with every error. So the circuit itself is asked. A device
makes errors of one kind E times in the mean, Poisson distributed, anywhere in the circuit:

    q_E = sum_k Poisson(k; E) p_k,    p_k: mean distribution with k random errors in the circuit,

and misreads each measured bit with probability r. F(E, r) is tabled for errors of gates, F(E) for the two errors of
time, a qubit's fall to 0 and its dephasing. A device gives their E and r.

- A circuit small enough is run, without errors for p_0 = p, and in a few dozen trajectories for the p_k.
- A wider one is followed in the Clifford circuit nearest to it, which is itself where it is Clifford: then an error
  either is not seen or leads out of the support of p, and F is the probability that nothing is seen.

Kinds are joined as D = (sum_i D_i^(1/s))^s with D = -log F. With a single peak, D is E times what is seen, so D's add:
s = 1. Where every outcome is possible, F falls with the square of what is seen, so its roots add: s = 2. The circuit's
own s is the slope of log D by log E between two entries of the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from qonverge.circuits.faults import COUNTS, KINDS, draw
from qonverge.circuits.frames import follow
from qonverge.circuits.statevector import distributions, flipped
from qonverge.circuits.steps import Step

Floats = NDArray[np.float64]
Basis = Literal["Simulated", "Stabilizer", "NearStabilizer", "Unknown"]

ERRORS = (0.0, 0.05, 0.15, 0.3, 0.6, 1.0, 1.7, 3.0, 6.0, 12.0)
"""E, expected errors, at which F is tabled."""
FLIPS = (0.0, 0.01, 0.03, 0.08, 0.2, 0.5)
"""r, probability that a bit is misread, at which F is tabled."""

_MOST_COLUMNS = 192
_LEAST_COLUMNS = 24
# Amplitudes times steps times trajectories: some tens of milliseconds.
_WORK = 6_000_000
_FRAMES = 512
_WIDEST = 1024
_FLOOR = 1e-9


@dataclass(frozen=True, slots=True)
class Response:
    """The table, and where it comes from."""

    basis: Basis
    """``Simulated`` and ``Stabilizer`` are true to the circuit, ``NearStabilizer`` to the nearest Clifford circuit;
    ``Unknown`` supposes that every error is seen."""
    gates: tuple[tuple[float, ...], ...]
    """F for errors of gates, a row for each of ``ERRORS``, a column for each of ``FLIPS``."""
    resets: tuple[float, ...]
    """F for qubits that fall to 0, for each of ``ERRORS``."""
    phases: tuple[float, ...]
    """F for qubits that are dephased, for each of ``ERRORS``."""
    ones: tuple[float, ...]
    """Probability to be 1 of each measured qubit, in their order; 1/2 where it is not known."""

    def at(self, gates: float, resets: float, phases: float, flips: float) -> float:
        """Return F for so many expected errors of each kind and such a mean probability of a flip."""
        row, down = _between(ERRORS, gates)
        column, right = _between(FLIPS, flips)
        square = _depth(np.array([line[column : column + 2] for line in self.gates[row : row + 2]]))
        of_gates = float(np.array([1 - down, down]) @ square @ np.array([1 - right, right]))
        slope = self._slope
        depths = (of_gates, _along(self.resets, resets), _along(self.phases, phases))
        return math.exp(-(sum(depth ** (1 / slope) for depth in depths) ** slope))

    @property
    def _slope(self) -> float:
        low, high = ERRORS.index(0.3), ERRORS.index(0.6)
        first, second = _depth(np.array([self.gates[low][0], self.gates[high][0]])).tolist()
        return min(2.0, max(1.0, math.log2(second / first))) if first > _FLOOR and second > first else 2.0

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON and msgpack carry."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the response that ``to_dict`` gave."""
        rest = {name: tuple(data[name]) for name in ("resets", "phases", "ones")}
        return cls(basis=data["basis"], gates=tuple(tuple(row) for row in data["gates"]), **rest)


def respond(steps: Sequence[Step], measured: Sequence[int], num_qubits: int, *, exact: bool = True) -> Response:
    """Return the response of a circuit without control flow, measurements inside and resets.

    Args:
        steps: measurements are passed over.
        measured: qubits that are measured at the end, in order.
        num_qubits: of the circuit.
        exact: whether the nearest Clifford circuit is the circuit itself.
    """
    gates = [step for step in steps if step.bit is None]
    used = sorted({qubit for step in gates for qubit in step.qubits} | set(measured))
    # Bits that a qubit shares would not be independent.
    if len(set(measured)) < max(1, len(measured)) or len(used) > _WIDEST:
        return unknown(len(measured))
    place = {qubit: index for index, qubit in enumerate(used)}
    gates = [Step(tuple(place[qubit] for qubit in step.qubits), step.matrix) for step in gates]
    bits = [place[qubit] for qubit in measured]
    work = (1 << min(len(used), 60)) * max(1, len(gates))
    if work * _LEAST_COLUMNS <= _WORK:
        return _simulated(gates, bits, len(used), max(_LEAST_COLUMNS, min(_MOST_COLUMNS, _WORK // work)))
    return _framed(gates, bits, len(used), "Stabilizer" if exact else "NearStabilizer")


def unknown(bits: int) -> Response:
    """Return the response of a circuit of which nothing is known: whatever errs is seen."""
    kept = tuple(math.exp(-errors) for errors in ERRORS)
    return Response(
        "Unknown", tuple(tuple(f * (1 - flip) ** bits for flip in FLIPS) for f in kept), kept, kept, (0.5,) * bits
    )


def _depth(fidelity: Floats) -> Floats:
    """Return D = -log F."""
    depth: Floats = -np.log(np.clip(fidelity, _FLOOR, 1.0))
    return depth


def _along(values: Sequence[float], errors: float) -> float:
    row, down = _between(ERRORS, errors)
    low, high = _depth(np.array(values[row : row + 2])).tolist()
    return float((1 - down) * low + down * high)


def _between(grid: Sequence[float], value: float) -> tuple[int, float]:
    """Return the place of the lower neighbour, and how far the value lies towards the next one; the ends hold."""
    index = min(max(int(np.searchsorted(grid, value, side="right")) - 1, 0), len(grid) - 2)
    return index, min(1.0, max(0.0, (value - grid[index]) / (grid[index + 1] - grid[index])))


def _weights(errors: float) -> Floats:
    """Return the weight of no error and of each of ``COUNTS``: Poisson's, those between shared by their neighbours."""
    counts = (0, *COUNTS)
    weights = np.zeros(len(counts))
    probability, left = math.exp(-errors), 1.0
    for k in range(COUNTS[-1]):
        index, along = _between(counts, k)
        weights[index] += probability * (1 - along)
        weights[index + 1] += probability * along
        left -= probability
        probability *= errors / (k + 1)
    weights[-1] += max(0.0, left)
    return weights


def _simulated(gates: Sequence[Step], bits: Sequence[int], n: int, columns: int) -> Response:
    faults = draw(gates, n, columns, np.random.default_rng(0))
    chances = distributions(gates, faults, bits, n)
    ideal = chances[:, -1]
    root = np.sqrt(ideal)
    weights = np.array([_weights(errors) for errors in ERRORS])
    noisy = {
        kind: weights
        @ np.stack([ideal, *(chances[:, :-1][:, faults.of(kind, count)].mean(axis=1) for count in COUNTS)])
        for kind in KINDS
    }

    def fidelity(outcomes: Floats, flip: float = 0.0) -> float:
        return float(np.sum(root * np.sqrt(flipped(outcomes, flip, len(bits)))) ** 2)

    cube = ideal.reshape((2,) * len(bits))
    return Response(
        "Simulated",
        tuple(tuple(fidelity(outcomes, flip) for flip in FLIPS) for outcomes in noisy["Gate"]),
        tuple(map(fidelity, noisy["Reset"])),
        tuple(map(fidelity, noisy["Phase"])),
        # The first axis is the highest bit.
        tuple(float(np.take(cube, 1, axis=len(bits) - 1 - index).sum()) for index in range(len(bits))),
    )


def _framed(gates: Sequence[Step], bits: Sequence[int], n: int, basis: Basis) -> Response:
    random = np.random.default_rng(0)
    faults = draw(gates, n, _FRAMES, random)
    found = follow(gates, faults, bits, n, COUNTS, random)
    weights = np.array([_weights(errors) for errors in ERRORS])
    kept = {
        kind: weights @ np.array([1.0, *(found.unseen[faults.of(kind, count)].mean() for count in COUNTS)])
        for kind in KINDS
    }
    # A Poisson process of this rate leaves the bits alone as often as flips do.
    read = [float(_weights(-math.log1p(-flip) * len(bits)) @ np.array([1.0, *found.unread])) for flip in FLIPS]
    # Where both have left the support, chance leads back.
    chance = 0.5 ** (len(bits) - found.rank)
    return Response(
        basis,
        tuple(tuple(float(f * r + (1 - f) * (1 - r) * chance) for r in read) for f in kept["Gate"]),
        tuple(map(float, kept["Reset"])),
        tuple(map(float, kept["Phase"])),
        (0.5,) * len(bits),
    )
