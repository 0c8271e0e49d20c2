"""Programs' reports: how each is answered, and what it changes in its job's status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from qonverge.api import HybridJobStatus
from qonverge.documents.reports import InvalidReport, Report, merged
from qonverge.wire.errors import ResultTooLarge


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program is told of its report."""

    status: int
    """As in HTTP."""
    text: str = ""
    """Why the report is not taken."""


async def answer(body: bytes, take: Callable[[Report], Awaitable[None]]) -> Answer:
    """Read a report, hand it on, and return how that is answered: alike in a cluster and without one.

    Args:
        body: what the program sent.
        take: writes the report down, or raises InvalidReport, ResultTooLarge, PermissionError or LookupError with a
            sentence for the program; other errors go through.
    """
    try:
        await take(Report.parse(body))
    except InvalidReport as error:
        return Answer(400, f"{error}\n")
    except PermissionError as error:
        return Answer(403, f"{error}\n")
    except LookupError as error:
        return Answer(404, f"{error.args[0]}\n")
    except ResultTooLarge as error:
        return Answer(413, f"{error}\n")
    return Answer(204)


def changes(status: HybridJobStatus, report: Report) -> dict[str, Any]:
    """Return the fields of progress and metrics that a report changes, as the status has them.

    Raises:
        InvalidReport: the job would have too many metrics.
    """
    changed: dict[str, Any] = {}
    if report.progress is not None:
        changed["progress"] = f"{report.progress:.0%}"
    if report.metrics:
        changed["metrics"] = merged(status.metrics or {}, report.metrics)
    return changed
