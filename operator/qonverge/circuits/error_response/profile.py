"""What a forecast needs to know of a circuit: small, made once where the circuit is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from qonverge.circuits.error_response.error_response import Response
from qonverge.circuits.error_response.ideal import Floats, Ideal

if TYPE_CHECKING:
    pass

# More take seconds to follow; no device of today keeps a state through so many.
MOST_STEPS = 100_000


@dataclass(frozen=True, slots=True)
class CircuitProfile:
    """A circuit as CX and unitaries on one qubit, counted."""

    num_qubits: int
    pulses: tuple[int, ...]
    """For each qubit, pulses on it alone."""
    pairs: tuple[tuple[int, int, int], ...]
    """Two qubits, the lower first, and how many CX they share; sorted."""
    depth: tuple[int, int]
    """CX and pulses on the longest path, counted in CX."""
    alive: tuple[int, ...]
    """For each qubit, layers of CX from its first step to the end, each step as late as can be."""
    measured: tuple[tuple[int, int], ...]
    """Qubit and classical bit of each measurement, by bit; every qubit where a program measures none."""
    dynamic: bool
    """Whether it has control flow, resets, or measurements before the end: one way through it was counted, and what
    errors do to its outcomes is not known."""
    response: Response
    """Of the outcomes to errors; its bits are those of ``measured``."""

    @property
    def cx(self) -> int:
        """CX in all."""
        return sum(count for _, _, count in self.pairs)

    @property
    def ones(self) -> list[tuple[int, float]]:
        """Classical bits, and the probability of each to be 1."""
        return [(bit, one) for (_, bit), one in zip(self.measured, self.response.ones, strict=True)]

    def tally(self, counts: Mapping[str, int]) -> tuple[Ideal, Floats] | None:
        """Return the outcomes without errors, and how often each of theirs was measured; None where they can't be told.

        Args:
            counts: as a result has them: values of all classical bits, the last first, spaces between registers.
        """
        ideal, places = self.response.ideal, [bit for _, bit in self.measured]
        # Of a bit that is written twice, counts have the last value only.
        if ideal is None or not counts or len(set(places)) < len(places):
            return None
        try:
            return ideal, ideal.tally(counts, places)
        except ValueError:
            return None

    def to_dict(self) -> dict[str, Any]:
        """Return a form that msgpack carries."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the profile that ``to_dict`` gave."""
        return cls(
            data["num_qubits"],
            tuple(data["pulses"]),
            tuple((a, b, count) for a, b, count in data["pairs"]),
            (data["depth"][0], data["depth"][1]),
            tuple(data["alive"]),
            tuple((qubit, bit) for qubit, bit in data["measured"]),
            data["dynamic"],
            Response.from_dict(data["response"]),
        )
