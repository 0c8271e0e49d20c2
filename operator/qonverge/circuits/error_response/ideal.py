"""The outcomes that a circuit should have, kept small, so that what a device gave can be compared with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_OUTCOMES = 1024
"""Of a distribution that is kept: 8 KiB. More need more shots than most jobs have before their counts say anything."""
# Below the first is the rounding of a simulation in single precision; so much may be left out in all.
_LEAST_CHANCE = 1e-6
_MOST_LOST = 1e-4


@dataclass(frozen=True, slots=True)
class Ideal:
    """A distribution over a few of the ``2**bits`` outcomes, as raw memory: a job's circuit may wait for long."""

    bits: int
    outcomes: bytes
    """Little-endian, four bytes each; the first measured bit is the lowest."""
    chances: bytes
    """Of each, little-endian floats of four bytes."""

    @classmethod
    def of(cls, distribution: Floats, bits: int) -> Self | None:
        """Return the distribution, shape (2**bits,), in small; None where too many outcomes matter.

        ``bits`` is at most 32.
        """
        (kept,) = np.nonzero(distribution >= _LEAST_CHANCE)
        chances = distribution[kept]
        if len(kept) > MOST_OUTCOMES or chances.sum() < 1 - _MOST_LOST:
            return None
        return cls(bits, kept.astype("<u4").tobytes(), (chances / chances.sum()).astype("<f4").tobytes())

    @property
    def indices(self) -> NDArray[np.int64]:
        """Return the outcomes that are kept, shape (K,)."""
        return np.frombuffer(self.outcomes, "<u4").astype(np.int64)

    @property
    def probabilities(self) -> Floats:
        """Return the probability of each outcome that is kept, shape (K,)."""
        return np.frombuffer(self.chances, "<f4").astype(np.float64)

    def distribution(self) -> Floats:
        """Return the probability of every outcome, shape (2**bits,)."""
        whole: Floats = np.zeros(1 << self.bits)
        whole[self.indices] = self.probabilities
        whole /= whole.sum()
        return whole

    def tally(self, counts: Mapping[str, int], places: Sequence[int]) -> Floats:
        """Return how often each outcome that is kept was measured, shape (K,).

        Args:
            counts: by the values of all classical bits, the last first; spaces between registers.
            places: classical bits that the circuit measures, in the order of this distribution.

        Raises:
            ValueError: the keys are no bits, are not equally long or have fewer bits than are measured.
        """
        keys = [key.replace(" ", "") for key in counts]
        width = len(keys[0]) if keys else 0
        if any(len(key) != width for key in keys) or width <= max(places, default=-1):
            raise ValueError(f"counts of {width} classical bits, the last measured one is {max(places, default=-1)}")
        letters = np.frombuffer("".join(keys).encode(), np.uint8).reshape(len(keys), width)
        read = letters[:, [width - 1 - place for place in places]].astype(np.int64) - ord("0")
        if np.any(read >> 1):
            raise ValueError("counts with other letters than 0 and 1")
        outcomes = read @ (1 << np.arange(len(places)))
        totals = np.bincount(outcomes, np.fromiter(counts.values(), np.float64, len(counts)), 1 << self.bits)
        return totals[self.indices].astype(np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Return a form that msgpack carries."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the distribution that ``to_dict`` gave."""
        return cls(data["bits"], bytes(data["outcomes"]), bytes(data["chances"]))
