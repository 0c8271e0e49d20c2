"""What each operator of a cluster looks after, and which of them may. Pure.

An operator is all replicas of one installation; it shows what it looks after on its Lease. Two that look after the same
namespace would undo each other's work for ever, so one of them waits. All Leases lie in one namespace. Nothing locks
them together, so an operator first says that it wants to begin, then reads what the others say: of two that want to, at
least one sees the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """How far an operator is."""

    WAITING = "Waiting"
    """Another one looks after the same namespaces."""
    WANTED = "Wanted"
    """It is about to begin, unless another one shows that it does."""
    HELD = "Held"
    """It looks after its namespaces."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What an operator's Lease says."""

    lease: str
    """The Lease's name, which tells operators apart."""
    standing: Standing
    namespaces: frozenset[str] = frozenset()
    """Namespaces that it looks after; empty: all."""

    def overlaps(self, other: Claim) -> bool:
        """Return whether there is a namespace that both look after."""
        return not self.namespaces or not other.namespaces or bool(self.namespaces & other.namespaces)

    @property
    def scope(self) -> str:
        """What it looks after, as a phrase."""
        return f"the namespaces {', '.join(sorted(self.namespaces))}" if self.namespaces else "all namespaces"


def rival(own: Claim, others: Iterable[Claim]) -> Claim | None:
    """Return the operator that goes first: one that has begun, else the first by name of those that are about to."""
    overlapping = [other for other in others if other.lease != own.lease and own.overlaps(other)]
    held = [other for other in overlapping if other.standing == Standing.HELD]
    if held or own.standing == Standing.HELD:
        return min(held, key=lambda other: other.lease, default=None)
    wanted = [other for other in overlapping if other.standing == Standing.WANTED and other.lease < own.lease]
    return min(wanted, key=lambda other: other.lease, default=None)


def next_standing(own: Claim, others: Iterable[Claim]) -> Standing:
    """Return how far the operator is once it has read the claims of all that live.

    ``own`` is what its Lease said before the others' were read; only one that said ``Wanted`` may begin.
    """
    known = list(others)
    if rival(own, known) is not None:
        return Standing.WAITING
    if own.standing != Standing.WANTED:
        return Standing.HELD if own.standing == Standing.HELD else Standing.WANTED
    # Another one that wants to may have read before this one said so, and may begin yet.
    undecided = any(
        other.standing == Standing.WANTED for other in known if other.lease != own.lease and own.overlaps(other)
    )
    return Standing.WANTED if undecided else Standing.HELD
