"""Recorded rounds, and the same pure code over them again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from qonverge.amounts import Quota
from qonverge.scheduling.estimates import Estimates
from qonverge.scheduling.model import Active, Backend, Decision, Job, Plan, Policy, Preemption, Shares, Snapshot
from qonverge.scheduling.schedulers import decide
from qonverge.sites.link import Link

VERSION = 1
_SAME_SECONDS = 1e-6


class TraceError(ValueError):
    """A line of a trace that can't be read."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a plan said of a job, without its forecasts."""

    job: str
    backend: str | None
    """Key of the backend that it was sent to."""
    planned: str | None = None
    impossible: bool = False
    expected_start: float | None = None
    parts: tuple[tuple[str, int, str], ...] = ()
    """Backend, shots and kind of each submission."""
    reason: str = ""

    @classmethod
    def of(cls, decision: Decision) -> Outcome:
        """Return what the decision says."""
        return cls(
            job=decision.job,
            backend=decision.backend.key if decision.backend else None,
            planned=decision.planned.key if decision.planned else None,
            impossible=decision.impossible,
            expected_start=decision.expected_start,
            parts=tuple((part.backend.key, part.shots, part.kind) for part in decision.parts),
            reason=decision.reason,
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """One round: everything that it saw, and what it said."""

    snapshot: Snapshot
    policy: Policy
    outcomes: tuple[Outcome, ...]
    preemptions: tuple[Preemption, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a replayed round says something else."""

    job: str
    what: str
    """Field of the outcome, or ``preemption``."""
    recorded: Any
    replayed: Any

    def __str__(self) -> str:
        """Return a sentence."""
        return f"{self.job}: {self.what} was {self.recorded!r} and is {self.replayed!r}"


@dataclass(frozen=True, slots=True)
class Replay:
    """One round, decided again."""

    number: int
    """From 1, as the lines of the trace."""
    recorded: Recorded
    plan: Plan
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    """A line's JSON; forecasts are lists, with null where nothing is known."""

    version: int
    now: float
    jobs: tuple[Job, ...]
    backends: tuple[Backend, ...]
    policy: Policy
    outcomes: tuple[Outcome, ...]
    estimates: Mapping[str, list[list[float | None]]] | None = None
    shares: Shares = field(default_factory=Shares)
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    active: tuple[Active, ...] = ()
    preemptions: tuple[Preemption, ...] = ()
    links: Mapping[str, Mapping[str, Link]] = field(default_factory=dict)


@cache
def _adapter() -> TypeAdapter[_Line]:
    return TypeAdapter(_Line)


def record(snapshot: Snapshot, policy: Policy, made: Plan) -> str:
    """Return the round as one line of JSON, without the line's end."""
    line = _Line(
        version=VERSION,
        now=snapshot.now,
        jobs=snapshot.jobs,
        backends=snapshot.backends,
        policy=policy,
        outcomes=tuple(Outcome.of(decision) for decision in made.decisions),
        estimates=None if snapshot.estimates is None else _lists(snapshot.estimates),
        shares=snapshot.shares,
        quotas=snapshot.quotas,
        active=snapshot.active,
        preemptions=made.preemptions,
        links=snapshot.links,
    )
    return json.dumps(_adapter().dump_python(line, exclude_defaults=True), separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    # Sets have no order of their own: equal rounds shall give equal lines.
    return sorted(value) if isinstance(value, frozenset) else str(value)


def read(line: str) -> Recorded:
    """Return the round of a line.

    Raises:
        TraceError: the line is none, or of another version.
    """
    try:
        parsed = _adapter().validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise TraceError(f"not a recorded round: {place}: {first['msg']}") from error
    if parsed.version != VERSION:
        raise TraceError(f"the round is of version {parsed.version}, and this program reads version {VERSION}")
    snapshot = Snapshot(
        jobs=parsed.jobs,
        backends=parsed.backends,
        now=parsed.now,
        estimates=None if parsed.estimates is None else _arrays(parsed.estimates, parsed),
        shares=parsed.shares,
        quotas=parsed.quotas,
        active=parsed.active,
        links=parsed.links,
    )
    return Recorded(snapshot, parsed.policy, parsed.outcomes, parsed.preemptions)


def read_all(lines: Iterable[str]) -> Iterator[Recorded]:
    """Return the rounds of a trace; empty lines are passed over.

    Raises:
        TraceError: a line can't be read; the message has its number.
    """
    return (recorded for _, recorded in _numbered(lines))


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, Recorded]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            recorded = read(line)
        except TraceError as error:
            raise TraceError(f"line {number}: {error}") from error
        yield number, recorded


def replay(lines: Iterable[str], policy: Policy | None = None) -> Iterator[Replay]:
    """Decide recorded rounds again; with a policy, as if it had been in force.

    Raises:
        TraceError: a line can't be read; the message has its number.
        SchedulerError: the policy's scheduler is not installed, or failed.
    """
    for number, recorded in _numbered(lines):
        made = decide(recorded.snapshot, policy or recorded.policy)
        yield Replay(number, recorded, made, differences(recorded, made))


def differences(recorded: Recorded, made: Plan) -> tuple[Difference, ...]:
    """Return where the plan differs from the recorded one."""
    found = []
    for old, decision in zip(recorded.outcomes, made.decisions, strict=True):
        new = Outcome.of(decision)
        for name in (item.name for item in fields(Outcome)):
            was, now = getattr(old, name), getattr(new, name)
            if was != now and not _same_time(was, now):
                found.append(Difference(old.job, name, was, now))
    before = {(p.job, p.backend, p.beneficiary) for p in recorded.preemptions}
    after = {(p.job, p.backend, p.beneficiary) for p in made.preemptions}
    found += [Difference(p[0], "preemption", p, None) for p in sorted(before - after)]
    found += [Difference(p[0], "preemption", None, p) for p in sorted(after - before)]
    return tuple(found)


def _same_time(was: Any, now: Any) -> bool:
    # Sums may differ in their last bit from one processor to another.
    return isinstance(was, float) and isinstance(now, float) and math.isclose(was, now, abs_tol=_SAME_SECONDS)


def _lists(estimates: Estimates) -> dict[str, list[list[float | None]]]:
    return {
        item.name: [[None if math.isnan(v) else v for v in row] for row in getattr(estimates, item.name).tolist()]
        for item in fields(Estimates)
    }


def _arrays(lists: Mapping[str, list[list[float | None]]], line: _Line) -> Estimates:
    shape = (len(line.jobs), len(line.backends))
    arrays = {}
    for item in fields(Estimates):
        try:
            arrays[item.name] = np.array(lists[item.name], dtype=np.float64).reshape(shape)
        except (KeyError, ValueError) as error:
            raise TraceError(
                f"estimates.{item.name} is not an array of {shape[0]} jobs x {shape[1]} backends"
            ) from error
    return Estimates(**arrays)
