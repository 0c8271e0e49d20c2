"""The points of a program's sweep in its job's status: what was found, and what follows where some failed. Pure.

An attempt runs the program once at each point that is left. Those that failed and may be tried again are left for the
next attempt, so that a job's retry policy means for a point what it means for a program that runs once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qonverge.api import HybridJob
from qonverge.api.job_status import Indexes, Result
from qonverge.api.retries import RetryAction
from qonverge.api.sweep import Sweep, SweepPoint
from qonverge.documents.excerpt import bounded
from qonverge.documents.grids import in_ranges, of_ranges
from qonverge.documents.reports import InvalidReport, PointResult
from qonverge.execution import retries
from qonverge.execution.result_room import room_for_result
from qonverge.execution.retries import AttemptEnd, Verdict

_ERROR_CHARACTERS = 200
# Of a point beside its parameters and its value: the names of its fields.
_POINT_BYTES = 32
_LONGEST_NAMED = 80


@dataclass(frozen=True, slots=True)
class PointEnd:
    """How the program failed at a point."""

    index: int
    end: AttemptEnd
    default: RetryAction | None = None
    """What follows where no rule of the job's policy matches; None: as of any program."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What follows an attempt."""

    again: bool
    """Whether another one begins, at the points that are left."""
    complete: bool
    """Whether the program ended well at all points."""
    reason: str
    message: str
    begins_at: float
    """When another attempt may begin, Unix seconds."""
    fields: Mapping[str, Any]
    """What the status keeps."""
    first: PointEnd | None = None
    """The failure that tells most of why the job fails."""


def left(job: HybridJob) -> list[int]:
    """Return the points at which the next attempt runs the program, in order."""
    known, total = job.status.indexes, job.spec.program.num_indexes or 0
    ended = set[int]() if known is None else {*of_ranges(known.completed_indexes), *of_ranges(known.failed_indexes)}
    return [index for index in range(total) if index not in ended]


def name_of(job: HybridJob, index: int) -> str:
    """Return a point as sentences name it, such as ``point 3 (layers=2, theta=0.5)``."""
    values = ", ".join(
        f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in _sweep(job).point(index).items()
    )
    return f"point {index} ({values if len(values) <= _LONGEST_NAMED else values[:_LONGEST_NAMED] + '…'})"


def room_for_point(job: HybridJob) -> int:
    """Return how many bytes the result of one point may take in the job's status, as JSON."""
    total = job.spec.program.num_indexes or 1
    names = [{"index": index, "parameters": _sweep(job).point(index)} for index in range(total)]
    taken = len(json.dumps(names, ensure_ascii=False).encode()) + _POINT_BYTES * total
    return max(0, (room_for_result(job) - taken) // total)


def with_results(job: HybridJob, found: Mapping[int, PointResult]) -> Result:
    """Return the job's result with what was found at some points.

    Raises:
        InvalidReport: the sweep has no such point.
    """
    total = job.spec.program.num_indexes
    if total is None:
        raise InvalidReport("the job has no sweep, and so no points with results of their own")
    if beyond := [index for index in found if index >= total]:
        raise InvalidReport(f"the sweep has {total} points, and none of the index {beyond[0]}")
    new = {
        index: _point(job, index, value=None if result.stored else result.value, stored=True if result.stored else None)
        for index, result in found.items()
    }
    return _merged(job, new)


def progress_of(job: HybridJob, completed: Iterable[int], failed: Iterable[int]) -> dict[str, Any]:
    """Return the fields of the status that tell how many points have ended, with those that had before."""
    total, known = job.spec.program.num_indexes or 0, job.status.indexes
    done = {*completed, *(() if known is None else of_ranges(known.completed_indexes))}
    lost = {*failed, *(() if known is None else of_ranges(known.failed_indexes))} - done
    indexes = Indexes(
        total=total,
        succeeded=len(done),
        failed=len(lost),
        completed_indexes=in_ranges(done),
        failed_indexes=in_ranges(lost),
    )
    return {"indexes": indexes, "progress": f"{(len(done) + len(lost)) / total:.0%}"}


def lost(job: HybridJob, failures: Sequence[PointEnd]) -> list[int]:
    """Return the points at which the program failed and is not run again, whatever attempts are left."""
    return [each.index for each in failures if retries.action_after(job, each.end, each.default) == "Fail"]


def conclude(
    job: HybridJob, completed: Sequence[int], failures: Sequence[PointEnd], whole: PointEnd | None = None
) -> Outcome:
    """Return what follows an attempt that is over.

    Args:
        job: with the status in which it ran.
        completed: the points at which the program ended well.
        failures: how it failed at others.
        whole: how the attempt ended as a whole, where it did before all points had; its index counts for nothing.
    """
    given_up = set(lost(job, failures))
    fatal = [each for each in failures if each.index in given_up]
    again = [each for each in failures if each.index not in given_up]
    told = whole or _foremost(job, again)
    if told is None:
        return _ended(job, completed, fatal, fatal)
    end = told.end if whole is not None else _together(job, again, told)
    verdict = retries.judge(job, end, told.default)
    if not verdict.again:
        # Of what was not run nothing is known but why the job ends.
        return _ended(job, completed, [*fatal, *again], [told, *fatal], verdict=verdict, whole=whole)
    fields = {**verdict.fields, **_known(job, completed, fatal)}
    return Outcome(True, False, end.reason, verdict.message, verdict.begins_at, fields, told)


def as_verdict(found: Outcome) -> Verdict:
    """Return the same as it is of a program that runs once."""
    return Verdict(found.again, found.message, found.begins_at, found.fields)


def _ended(
    job: HybridJob,
    completed: Sequence[int],
    failed: Sequence[PointEnd],
    telling: Sequence[PointEnd],
    *,
    verdict: Verdict | None = None,
    whole: PointEnd | None = None,
) -> Outcome:
    fields = _known(job, completed, failed, whole=True)
    indexes: Indexes = fields["indexes"]
    if whole is not None and verdict is not None:
        done = f" after {indexes.succeeded} of {indexes.total} points"
        return Outcome(
            False, False, whole.end.reason, f"{verdict.message};{done}", 0.0, {**verdict.fields, **fields}, whole
        )
    if indexes.failed == 0:
        return Outcome(False, True, "Completed", f"{indexes.total} points", 0.0, fields)
    if not telling:
        # They failed in attempts before.
        message = f"{indexes.failed} of {indexes.total} points failed: result.points tells why"
        return Outcome(False, False, "PointsFailed", message, 0.0, fields)
    first = telling[0] if verdict is not None else min(telling, key=lambda each: each.index)
    verdict = verdict or retries.judge(job, _together(job, telling, first), "Fail")
    message = bounded(f"{indexes.failed} of {indexes.total} points failed: {verdict.message}")
    return Outcome(False, False, "PointsFailed", message, 0.0, {**verdict.fields, **fields}, first)


def _known(
    job: HybridJob, completed: Sequence[int], failed: Sequence[PointEnd], *, whole: bool = False
) -> dict[str, Any]:
    """Return the fields that tell of the points; ``whole`` at the end: then each that has ended is in the result."""
    fields = progress_of(job, completed, [each.index for each in failed])
    most = max(40, min(_ERROR_CHARACTERS, room_for_point(job)))
    errors = {each.index: f"{each.end.reason}: {each.end.message}"[:most] for each in failed}
    new = {index: _point(job, index, error=error) for index, error in errors.items()}
    if whole:
        known: Indexes = fields["indexes"]
        there = {point.index for point in _points(job)} | new.keys()
        new |= {index: _point(job, index) for index in of_ranges(known.completed_indexes) if index not in there}
        # What ran there was deleted before its end was looked at.
        gone = [index for index in of_ranges(known.failed_indexes) if index not in there]
        new |= {index: _point(job, index, error="PodLost: how the program failed is not known") for index in gone}
    return {**fields, "result": _merged(job, new)} if new else fields


def _foremost(job: HybridJob, failures: Sequence[PointEnd]) -> PointEnd | None:
    """Return the failure that decides about another attempt: one that counts, if any does."""
    counting = [each for each in failures if retries.action_after(job, each.end, each.default) == "Retry"]
    return min(counting or failures, key=lambda each: each.index, default=None)


def _together(job: HybridJob, failures: Sequence[PointEnd], told: PointEnd) -> AttemptEnd:
    """Return the end of an attempt in which the program failed at some points."""
    end = told.end
    more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
    ended_at = max((each.end.ended_at for each in failures), default=end.ended_at)
    fields = {name: getattr(end, name) for name in AttemptEnd.__slots__}
    message = f"{name_of(job, told.index)}{more}: {end.message}"
    return AttemptEnd(**{**fields, "message": message, "ended_at": ended_at})


def _sweep(job: HybridJob) -> Sweep:
    sweep = job.spec.program.sweep
    assert sweep is not None
    return sweep


def _points(job: HybridJob) -> Sequence[SweepPoint]:
    return (job.status.result.points or ()) if job.status.result is not None else ()


def _point(job: HybridJob, index: int, **fields: Any) -> SweepPoint:
    return SweepPoint(index=index, parameters=_sweep(job).point(index), **fields)


def _merged(job: HybridJob, new: Mapping[int, SweepPoint]) -> Result:
    points = {**{point.index or 0: point for point in _points(job)}, **new}
    return Result(points=[points[index] for index in sorted(points)])
