"""Conditions, written in one place: each keeps the time of its last change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from qonverge.api import Condition
from qonverge.documents.excerpt import bounded

Truth = Literal["True", "False", "Unknown"]


class Verdict(NamedTuple):
    """What a condition says: whether it holds, why in one word, and why in a sentence."""

    status: Truth
    reason: str
    message: str


def timestamp(now: float) -> str:
    """Return Unix seconds as RFC 3339, to the second as Kubernetes has it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(stamp: str) -> float:
    """Return an RFC 3339 time as Unix seconds."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def set_condition(
    before: Iterable[Condition], kind: str, verdict: Verdict, *, now: float, generation: int
) -> Condition:
    """Return a condition as it is now; its time is that of the last change of its status.

    Args:
        before: the object's conditions until now.
        kind: the condition's type.
        verdict: what it says now.
        now: Unix seconds.
        generation: of the object, for which this was found.
    """
    # The conditions that an object has by default were never observed.
    observed = (c for c in before if c.observed_generation is not None)
    known = next((c for c in observed if c.type == kind and c.status == verdict.status), None)
    return Condition(
        type=kind,
        status=verdict.status,
        reason=verdict.reason,
        message=bounded(verdict.message),
        last_transition_time=timestamp(now) if known is None else known.last_transition_time,
        observed_generation=generation,
    )
