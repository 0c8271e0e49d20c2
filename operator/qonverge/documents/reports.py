"""What a program says about itself while it runs: JSON that becomes part of its job's status, and so has limits."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from qonverge.documents import strict_json
from qonverge.documents.excerpt import excerpt
from qonverge.documents.faults import Unreadable

_SHA256 = re.compile(r"[0-9a-f]{64}")
INTERVAL_HEADER = "x-qonverge-report-interval"
"""Of an answer to a report: in how many seconds the next is welcome."""
MOST_METRICS = 64
"""Names of metrics in one job, all reports together."""
LONGEST_METRIC_NAME = 63
"""Characters of a metric's name."""
MOST_CURVES = 4
"""Metrics of one job whose course is kept, those that were reported first."""
MOST_POINTS = 100
"""Values of one metric's course."""
MOST_DEPTH = 100
"""Lists and objects inside each other in a result; the client's own form of a result keeps below it."""
MOST_TASKS = 64
"""Tasks for which a program that gives its pod back may wait."""
MOST_STATE = 512 * 1024
"""Bytes, as JSON, of what such a program leaves for its next pod."""
_LONGEST_TASK = 253


@dataclass(frozen=True, slots=True)
class StoredContent:
    """What a program has put into its job's store."""

    bytes: int
    """Its size."""
    sha256: str = ""
    """Of a result, in hex."""
    count: int = 0
    """Of files, how many they are."""


@dataclass(frozen=True, slots=True)
class PointResult:
    """What a program found at a point of its sweep."""

    value: Any = None
    """As JSON has it."""
    stored: StoredContent | None = None
    """It, where it is in the job's store and not here."""


class InvalidReport(ValueError):
    """A report that cannot be taken; the message says which part and why."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The course of a metric: its values at equal distances."""

    count: int
    """How often it was reported."""
    every: int
    """How many reports lie between two of the values."""
    values: tuple[float, ...]
    """The values, from the first on."""

    @classmethod
    def parse(cls, name: str, given: Any) -> Self:
        """Return the curve that a report has of a metric.

        Raises:
            InvalidReport: it is none, or has too many values.
        """
        fields: Mapping[str, Any] = given if isinstance(given, dict) else {}
        count, every, values = (fields.get(field) for field in ("count", "every", "values"))
        what = f"the course of {excerpt(name)}"
        if not is_metric_name(name):
            raise InvalidReport(f"{what}: names of metrics have 1 to {LONGEST_METRIC_NAME} characters")
        if not (_is_count(count) and _is_count(every) and isinstance(values, list) and all(map(_is_number, values))):
            raise InvalidReport(f"{what} is {excerpt(given)}; an object with count, every and values is expected")
        if len(values) > MOST_POINTS:
            raise InvalidReport(f"{what} has {len(values)} values; {MOST_POINTS} are allowed")
        return cls(int(count), int(every), tuple(map(float, values)))  # type: ignore[arg-type]  # numbers, as was checked


@dataclass(frozen=True, slots=True)
class Pause:
    """A program is about to end its process while tasks are under way."""

    tasks: tuple[str, ...]
    """By their ids at the backend."""
    state: str
    """What its next pod gets, as JSON: an object."""

    @classmethod
    def of(cls, given: Any) -> Self:
        """Return what stands in a report.

        Raises:
            InvalidReport: it is none, or over a limit.
        """
        if not (isinstance(given, dict) and isinstance(given.get("state"), dict)):
            raise InvalidReport(f"pause is {excerpt(given)}; an object with tasks and state is expected")
        tasks = given.get("tasks")
        listed: list[Any] = tasks if isinstance(tasks, list) else []
        named = all(isinstance(each, str) and 0 < len(each) <= _LONGEST_TASK for each in listed)
        if not named or not 0 < len(listed) <= MOST_TASKS:
            raise InvalidReport(f"pause.tasks is {excerpt(tasks)}; 1 to {MOST_TASKS} ids of tasks are expected")
        state = json.dumps(given["state"], ensure_ascii=False, separators=(",", ":"))
        if (size := len(state.encode())) > MOST_STATE:
            raise InvalidReport(
                f"the program's steps returned {size} bytes as JSON: {MOST_STATE} are kept while it has no pod"
            )
        return cls(tuple(listed), state)


@dataclass(frozen=True, slots=True)
class Report:
    """One report: what changed."""

    progress: float | None = None
    """Share done, from 0 to 1."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Finite numbers by name."""
    result: Any = None
    """What the program found, as JSON has it."""
    has_result: bool = False
    """Whether there is a result: None is one too."""
    stored_result: StoredContent | None = None
    """The result, where it is in the job's store and not here."""
    stored_files: StoredContent | None = None
    """The program's files, which are in the job's store."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """The courses of some metrics until now, by their names."""
    last: bool = False
    """Whether the program ends, and reports no more."""
    pause: Pause | None = None
    """Whether, and how, the program gives its pod back."""
    points: Mapping[int, PointResult] = field(default_factory=dict)
    """Of a sweep: results by the indexes of their points, and nothing else."""

    @property
    def tells_result(self) -> bool:
        """Whether it has the program's result, or says where that is."""
        return self.has_result or self.stored_result is not None

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Return the report that a program sent; fields that are not known are passed over.

        Raises:
            InvalidReport: it is no JSON, has values that JSON or the API server does not have, or is over a limit.
        """
        try:
            given = strict_json.loads(text.decode())
        except UnicodeDecodeError as error:
            raise InvalidReport(f"the report is not UTF-8: {error}") from None
        except Unreadable as error:
            raise InvalidReport(f"the report is not JSON: {error}") from None
        if not isinstance(given, dict):
            raise InvalidReport(
                f"the report is {excerpt(given)}; an object with progress, metrics or result is expected"
            )
        if "index" in given:
            return cls(points=_point(given))
        progress, metrics = given.get("progress"), given.get("metrics")
        if progress is not None and not (_is_number(progress) and 0 <= progress <= 1):
            raise InvalidReport(f"progress is {excerpt(progress)}; a number from 0 to 1 is expected")
        if metrics is not None and not isinstance(metrics, dict):
            raise InvalidReport(f"metrics is {excerpt(metrics)}; an object of numbers by name is expected")
        for name, value in (metrics or {}).items():
            if not is_metric_name(name):
                raise InvalidReport(
                    f"the metric {excerpt(name)} has a name of {len(name)} characters; "
                    f"1 to {LONGEST_METRIC_NAME} are allowed"
                )
            if not _is_number(value):
                raise InvalidReport(f"the metric {name} is {excerpt(value)}; a finite number is expected")
        _check_depth(given)
        curves = given.get("curves")
        if curves is not None and not (isinstance(curves, dict) and len(curves) <= MOST_CURVES):
            raise InvalidReport(f"curves is {excerpt(curves)}; an object of at most {MOST_CURVES} is expected")
        found = {name: float(value) for name, value in (metrics or {}).items()}
        return cls(
            progress,
            merged({}, found),
            given.get("result"),
            "result" in given,
            _stored_result(given.get("storedResult")),
            _stored_files(given.get("storedFiles")),
            {name: Curve.parse(name, curve) for name, curve in (curves or {}).items()},
            given.get("last") is True,
            Pause.of(given["pause"]) if "pause" in given else None,
        )

    def then(self, later: Self) -> Self:
        """Return this report and a later one as one.

        Raises:
            InvalidReport: both together name too many metrics.
        """
        newer = later if later.tells_result else self
        return replace(
            later,
            progress=self.progress if later.progress is None else later.progress,
            metrics=merged(self.metrics, later.metrics),
            result=newer.result,
            has_result=newer.has_result,
            stored_result=newer.stored_result,
            stored_files=later.stored_files or self.stored_files,
            curves={**self.curves, **later.curves},
            last=self.last or later.last,
            pause=later.pause or self.pause,
            points={**self.points, **later.points},
        )


def _point(given: Mapping[str, Any]) -> dict[int, PointResult]:
    """Return what the report of a point tells: its result, if it has one."""
    index = given["index"]
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise InvalidReport(f"index is {excerpt(index)}; a whole number from 0 on is expected")
    _check_depth(given)
    stored = _stored_result(given.get("storedResult"))
    return {index: PointResult(given.get("result"), stored)} if "result" in given or stored is not None else {}


def _check_depth(given: Mapping[str, Any]) -> None:
    if _deeper(given.get("result"), MOST_DEPTH):
        raise InvalidReport(f"the result is nested more than {MOST_DEPTH} levels deep")


def _stored_result(told: Any) -> StoredContent | None:
    match told:
        case None:
            return None
        case {"bytes": int(size), "sha256": str(sha256)} if _is_size(size) and _SHA256.fullmatch(sha256):
            return StoredContent(size, sha256=sha256)
    raise InvalidReport(f"storedResult is {excerpt(told)}; an object with bytes and sha256 is expected")


def _stored_files(told: Any) -> StoredContent | None:
    match told:
        case None:
            return None
        case {"bytes": int(size), "count": int(count)} if _is_size(size) and _is_size(count):
            return StoredContent(size, count=count)
    raise InvalidReport(f"storedFiles is {excerpt(told)}; an object with bytes and count is expected")


def _is_size(value: int) -> bool:
    return not isinstance(value, bool) and 0 <= value < 2**63


def is_metric_name(name: str) -> bool:
    """Return whether a metric may have this name."""
    return 0 < len(name) <= LONGEST_METRIC_NAME


def merged(before: Mapping[str, float], reported: Mapping[str, float]) -> dict[str, float]:
    """Return a job's metrics after a report.

    Raises:
        InvalidReport: they have too many names.
    """
    after = {**before, **reported}
    if len(after) > MOST_METRICS:
        new = [name for name in reported if name not in before]
        raise InvalidReport(
            f"the report names {len(new)} new metrics ({', '.join(map(excerpt, new[:4]))}{', ...' * (len(new) > 4)}) "
            f"beside {len(before)} that the job has; a job may have {MOST_METRICS}"
        )
    return after


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _deeper(value: Any, levels: int) -> bool:
    """Return whether lists and objects lie inside each other more than so many levels deep."""
    layer = [value]
    for _ in range(levels + 1):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return False
    return True
