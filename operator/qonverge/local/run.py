"""One job on its way through the embedded mode: its status from step to step, and who is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.documents.reports import Report
from qonverge.execution import reports, retries, transitions
from qonverge.execution.points import with_results
from qonverge.execution.progress_rate import ProgressRate
from qonverge.execution.retries import Verdict
from qonverge.local.dependencies import Supplied
from qonverge.local.processes import Tail


@dataclass(slots=True)
class Observer:
    """Who is told what happens."""

    on_status: Callable[[HybridJob], None]
    on_line: Callable[[HybridJob, str], None]
    on_warning: Callable[[HybridJob, str], None]


class Run:
    """One job on its way, and who watches it."""

    def __init__(self, job: HybridJob, observer: Observer, clock: Callable[[], float]) -> None:
        """``clock`` gives Unix seconds."""
        self.job = job.model_copy(update={"status": HybridJobStatus()})
        self.tail = Tail()
        self.virtual = ""
        """The figures by which a virtual device was made on which it runs; empty where it runs on none."""
        self.inputs: Mapping[str, bytes] = {}
        """The results of the jobs that it depends on, as JSON, by their names."""
        self._observer = observer
        self._clock = clock
        self._rate = ProgressRate()

    @property
    def now(self) -> float:
        """The time, Unix seconds."""
        return self._clock()

    def move(self, state: Any, reason: str, message: str, **fields: Any) -> None:
        """Show the job in another state."""
        self._set(
            transitions.move(
                self.job.status, state, reason=reason, message=message, now=self.now, generation=0, **fields
            )
        )

    def supply(self, supplied: Supplied) -> None:
        """Go on with what the job takes from others."""
        self.job, self.inputs = supplied.job, supplied.results

    def start(self, attempt: int) -> None:
        """Show that an attempt runs."""
        self.tail = Tail()
        self._rate = ProgressRate()
        self.move(
            "Running", "Running", f"attempt {attempt}", attempts=attempt, started_at=transitions.timestamp(self.now)
        )

    def complete(self, **fields: Any) -> None:
        """End the job well."""
        message = f"completed on {', '.join(self.job.status.backends or [self.job.status.backend or ''])}"
        if self.virtual:
            message += f", a virtual device with the figures of {self.virtual}"
            fields["provenance"] = fields["provenance"].model_copy(update={"virtual_device": self.virtual})
        self._set(transitions.complete(self.job.status, now=self.now, generation=0, message=message, **fields))

    def fail(self, reason: str, message: str, **fields: Any) -> None:
        """End the job badly."""
        status = self.job.status
        self._set(transitions.fail(status, reason=reason, message=message, now=self.now, generation=0, **fields))

    async def again(self, attempt: int, reason: str, verdict: Verdict, log: str | None = None) -> None:
        """Show how an attempt ended after which another begins, with its last lines, and wait until it may."""
        self.warn(verdict.message)
        fields = {**verdict.fields, "attempts": attempt, "progress": None, "estimated_end_at": None}
        status = self.job.status
        status = transitions.move(
            status, "Pending", reason=reason, message=verdict.message, now=self.now, generation=0, **fields
        )
        self._set(retries.with_log(status, log))
        await asyncio.sleep(max(0.0, verdict.begins_at - self.now))

    def warn(self, warning: str) -> None:
        """Say what a person should know."""
        self._observer.on_warning(self.job, warning)

    def line(self, line: str) -> None:
        """Take a line that the program printed."""
        self.tail.add(line)
        self._observer.on_line(self.job, line)

    def report(self, report: Report) -> None:
        """Take a program's report of its progress and metrics, or of what it found at a point of its sweep.

        Raises:
            InvalidReport: the job would have too many metrics, or has no such point.
        """
        if report.points:
            self.show(result=with_results(self.job, report.points))
            return
        if report.progress is not None:
            self._rate.add(self.now, report.progress)
        if changed := reports.changes(self.job.status, report, self.now, self._rate.ends_at()):
            self._set(self.job.status.model_copy(update=changed))

    def show(self, **fields: Any) -> None:
        """Show the job with other fields of its status."""
        self._set(self.job.status.model_copy(update=fields))

    def _set(self, status: HybridJobStatus) -> None:
        self.job = self.job.model_copy(update={"status": status})
        self._observer.on_status(self.job)
