"""Programs' reports: how each is answered, and what it changes in its job's status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from qonverge.api import HybridJobStatus
from qonverge.api.conditions import timestamp
from qonverge.api.job_status import MetricCurve
from qonverge.documents.reports import MOST_CURVES, InvalidReport, Report, merged
from qonverge.wire.errors import ResultTooLarge

_MOST_SHOWN = 3
_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program is told of its report."""

    status: int
    """As in HTTP."""
    text: str = ""
    """Why the report is not taken."""
    interval: float = 0.0
    """In how many seconds another report is welcome; 0 where nothing is said of it."""


async def answer(body: bytes, take: Callable[[Report], Awaitable[float]]) -> Answer:
    """Read a report, hand it on, and return how that is answered: alike in a cluster and without one.

    Args:
        body: what the program sent.
        take: writes the report down and returns ``Answer.interval``, or raises InvalidReport, ResultTooLarge,
            PermissionError or LookupError with a sentence for the program; other errors go through.
    """
    try:
        interval = await take(Report.parse(body))
    except InvalidReport as error:
        return Answer(400, f"{error}\n")
    except PermissionError as error:
        return Answer(403, f"{error}\n")
    except LookupError as error:
        return Answer(404, f"{error.args[0]}\n")
    except ResultTooLarge as error:
        return Answer(413, f"{error}\n")
    return Answer(204, interval=interval)


def changes(status: HybridJobStatus, report: Report, now: float, ends_at: float | None) -> dict[str, Any]:
    """Return the fields of progress and metrics that a report changes, as the status has them.

    Args:
        status: before.
        report: what the program says.
        now: when it came, Unix seconds.
        ends_at: when the program may end by the rate of its progress, Unix seconds; None where that is not known.

    Raises:
        InvalidReport: the job would have too many metrics.
    """
    changed: dict[str, Any] = {}
    if report.progress is not None:
        changed["progress"] = f"{report.progress:.0%}"
        changed["estimated_end_at"] = None if ends_at is None else timestamp(ends_at)
    if report.metrics:
        changed["metrics"] = merged(status.metrics or {}, report.metrics)
        changed["metrics_summary"] = summary({**report.metrics, **changed["metrics"]})
    if report.curves:
        changed["metric_curves"] = _curves(status.metric_curves or (), report)
    return {**changed, "reported_at": timestamp(now)} if changed else {}


def summary(metrics: Mapping[str, float]) -> str:
    """Return the first metrics in one line of a table, such as ``energy=-1.13727 step=40``; ``…`` stands for more."""
    parts: list[str] = []
    for name, value in metrics.items():
        part = f"{name}={value:.6g}"
        if len(parts) == _MOST_SHOWN or len(" ".join([*parts, part])) > _LONGEST_SHOWN:
            # One that is too long alone is cut.
            return " ".join([*(parts or [part[:_LONGEST_SHOWN]]), "…"])
        parts.append(part)
    return " ".join(parts)


def _curves(before: Iterable[MetricCurve], report: Report) -> list[MetricCurve]:
    """Return the curves after a report, those that were there first."""
    after = {curve.name: curve for curve in before}
    for name, curve in report.curves.items():
        after[name] = MetricCurve(name=name, reports=curve.count, every=curve.every, values=list(curve.values))
    return list(after.values())[:MOST_CURVES]
