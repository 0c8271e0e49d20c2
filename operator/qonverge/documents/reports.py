"""What a program says about itself while it runs: JSON that becomes part of its job's status, and so has limits."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from qonverge.documents import strict_json
from qonverge.documents.excerpt import excerpt
from qonverge.documents.faults import Unreadable

_SHA256 = re.compile(r"[0-9a-f]{64}")
MOST_METRICS = 64
"""Names of metrics in one job, all reports together."""
LONGEST_METRIC_NAME = 63
"""Characters of a metric's name."""
MOST_DEPTH = 100
"""Lists and objects inside each other in a result; the client's own form of a result keeps below it."""


@dataclass(frozen=True, slots=True)
class StoredContent:
    """What a program has put into its job's store."""

    bytes: int
    """Its size."""
    sha256: str = ""
    """Of a result, in hex."""
    count: int = 0
    """Of files, how many they are."""


class InvalidReport(ValueError):
    """A report that cannot be taken; the message says which part and why."""


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
        if _deeper(given.get("result"), MOST_DEPTH):
            raise InvalidReport(f"the result is nested more than {MOST_DEPTH} levels deep")
        found = {name: float(value) for name, value in (metrics or {}).items()}
        return cls(
            progress,
            merged({}, found),
            given.get("result"),
            "result" in given,
            _stored_result(given.get("storedResult")),
            _stored_files(given.get("storedFiles")),
        )


def _stored_result(told: Any) -> StoredContent | None:
    match told:
        case None:
            return None
        case {"bytes": int(size), "sha256": str(sha256)} if _is_count(size) and _SHA256.fullmatch(sha256):
            return StoredContent(size, sha256=sha256)
    raise InvalidReport(f"storedResult is {excerpt(told)}; an object with bytes and sha256 is expected")


def _stored_files(told: Any) -> StoredContent | None:
    match told:
        case None:
            return None
        case {"bytes": int(size), "count": int(count)} if _is_count(size) and _is_count(count):
            return StoredContent(size, count=count)
    raise InvalidReport(f"storedFiles is {excerpt(told)}; an object with bytes and count is expected")


def _is_count(value: int) -> bool:
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
