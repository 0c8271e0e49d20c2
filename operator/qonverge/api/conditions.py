"""Conditions, written in one place: each keeps the time of its last change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


class Progress(NamedTuple):
    """What an object is on its way to, or stuck at, as kstatus reads it."""

    kind: Literal["Reconciling", "Stalled"]
    reason: str
    message: str


UNSEEN: list[dict[str, str]] = [
    # Without conditions kstatus would take an object for one that is done.
    {
        "type": kind,
        "status": status,
        "reason": "Unseen",
        "message": "the operator has not seen it yet",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }
    for kind, status in (("Ready", "Unknown"), ("Reconciling", "True"))
]
"""What an object says before the operator does."""


def set_conditions(
    before: Iterable[Condition],
    *,
    ready: Verdict,
    progress: Progress | None,
    others: Mapping[str, Verdict] | None = None,
    now: float,
    generation: int,
) -> list[Condition]:
    """Return all conditions of an object as they are now; the time of each is that of the last change of its status.

    What is not given is not shown any more. There is no other way to make conditions, so that every object has those
    that kstatus reads: Ready, and Reconciling or Stalled where one holds.

    Args:
        before: the object's conditions until now.
        ready: whether the object is as its specification says.
        progress: whether it will be, or needs somebody's help; None where nothing is to come.
        others: further conditions by their type.
        now: Unix seconds.
        generation: of the object, for which this was found.
    """
    verdicts = {"Ready": ready}
    if progress is not None:
        verdicts[progress.kind] = Verdict("True", progress.reason, progress.message)
    verdicts |= others or {}
    # The conditions that an object has by default were never observed.
    known = {each.type: each for each in before if each.observed_generation is not None}
    return [_condition(known.get(kind), kind, verdict, now, generation) for kind, verdict in verdicts.items()]


def _condition(before: Condition | None, kind: str, verdict: Verdict, now: float, generation: int) -> Condition:
    same = before is not None and before.status == verdict.status
    return Condition(
        type=kind,
        status=verdict.status,
        reason=verdict.reason,
        message=bounded(verdict.message),
        last_transition_time=before.last_transition_time if before is not None and same else timestamp(now),
        observed_generation=generation,
    )


def still_holding(before: Iterable[Condition], generation: int) -> list[Condition]:
    """Return conditions that hold of a newer generation too, which changes nothing."""
    return [each.model_copy(update={"observed_generation": generation}) for each in before]
