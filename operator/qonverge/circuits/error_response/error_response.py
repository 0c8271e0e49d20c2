"""How a circuit's outcomes respond to errors: the Hellinger fidelity for so many errors, before any device is known.

The Hellinger fidelity of an ideal distribution p and a noisy one q is (sum_x sqrt(p(x) q(x)))^2. What errors do to it
depends on p: a uniform p stays as it is, a single peak falls with every error. So the circuit itself is asked. A device
makes errors of one kind E times in the mean, Poisson distributed, anywhere in the circuit:

    q_E = sum_k Poisson(k; E) p_k,    p_k: mean distribution with k random errors in the circuit,

and misreads each measured bit with probability r. F(E, r) is tabled for errors of gates, F(E) for the two errors of
time, a qubit's fall to 0 and its dephasing. A device gives their E and r.

- A circuit small enough is run, without errors for p_0 = p, and in a few dozen trajectories for the p_k.
- A wider one is followed in the Clifford circuit nearest to it, which is itself where it is Clifford: then an error
  either is not seen or leads out of the support of p, and F is the probability that nothing is seen. Where it is not,
  p is uneven on its support, so errors that stay there are taken to even it out.

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

from qonverge.circuits.error_response.ideal import Ideal

Floats = NDArray[np.float64]
Basis = Literal["Simulated", "Stabilizer", "NearStabilizer", "Unknown"]

ERRORS = (0.0, 0.05, 0.15, 0.3, 0.6, 1.0, 1.7, 3.0, 6.0, 12.0)
"""E, expected errors, at which F is tabled."""
FLIPS = (0.0, 0.01, 0.03, 0.08, 0.2, 0.5)
"""r, probability that a bit is misread, at which F is tabled."""

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
    ideal: Ideal | None = None
    """Outcomes without errors, where the circuit was run and few enough of them matter."""

    def at(self, gates: float, resets: float, phases: float, flips: float) -> float:
        """Return F for so many expected errors of each kind and such a mean probability of a flip."""
        row, down = between(ERRORS, gates)
        column, right = between(FLIPS, flips)
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
        """Return a form that msgpack carries."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the response that ``to_dict`` gave."""
        rest = {name: tuple(data[name]) for name in ("resets", "phases", "ones")}
        ideal = None if data["ideal"] is None else Ideal.from_dict(data["ideal"])
        return cls(basis=data["basis"], gates=tuple(tuple(row) for row in data["gates"]), **rest, ideal=ideal)


def _depth(fidelity: Floats) -> Floats:
    """Return D = -log F."""
    depth: Floats = -np.log(np.clip(fidelity, _FLOOR, 1.0))
    return depth


def _along(values: Sequence[float], errors: float) -> float:
    row, down = between(ERRORS, errors)
    low, high = _depth(np.array(values[row : row + 2])).tolist()
    return float((1 - down) * low + down * high)


def between(grid: Sequence[float], value: float) -> tuple[int, float]:
    """Return the place of the lower neighbour, and how far the value lies towards the next one; the ends hold."""
    index = min(max(int(np.searchsorted(grid, value, side="right")) - 1, 0), len(grid) - 2)
    return index, min(1.0, max(0.0, (value - grid[index]) / (grid[index + 1] - grid[index])))
