"""A program that is swept, without a cluster: a process for each point, some at the same time."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from qonverge.accounting.conversion import money_of, usage_of
from qonverge.amounts import Amounts
from qonverge.documents.reports import StoredContent
from qonverge.execution import points
from qonverge.execution.placement import declared
from qonverge.execution.points import PointEnd
from qonverge.local.kinds.kind import PlacedJob
from qonverge.local.outputs import LocalOutput
from qonverge.local.process_ends import as_in_a_shell, end_of, provenance_of
from qonverge.local.processes import ProcessEnd, Start, run_one
from qonverge.local.programs import Admission, ProgramHost
from qonverge.programs.sweep import in_environment
from qonverge.storage.job_output import FILES


async def run(placed: PlacedJob, start: Start, output: LocalOutput | None, commit: str | None) -> None:
    """Run the program at each point, and again where it failed and its policy says so; arguments as of the others.

    Raises:
        CannotStart: what the program needs is not on this machine.
    """
    job_run, used = placed.run, Amounts()
    (backend,) = placed.backends
    host = ProgramHost(backend.engine, placed.checker)
    async with host.serving():
        for attempt in itertools.count((job_run.job.status.attempts or 0) + 1):
            job_run.start(attempt)
            job_run.show(**points.progress_of(job_run.job, (), ()))
            async with host.admitted(
                job_run.job,
                pricing=backend.backend.spec.pricing,
                budget=money_of(job_run.job.spec.budget),
                used=used,
                kept=None if output is None else output.kept,
                inputs=placed.inputs,
                on_report=job_run.report,
            ) as admission:
                wave = _Wave(placed, start, attempt)
                await wave.run(admission)
            used += admission.used.at_power(declared(backend.backend).task_watts)
            found = points.conclude(job_run.job, wave.completed, wave.failures)
            fields: dict[str, Any] = {
                **found.fields,
                "usage": usage_of(used),
                "files": None if output is None else await _files(output),
                "provenance": provenance_of(placed, commit),
            }
            if found.complete:
                if output is not None:
                    await output.completed()
                del fields["progress"]
                job_run.complete(**fields, exit_code=0, log=wave.log())
                return
            told = None if found.first is None else found.first.index
            if not found.again:
                code = wave.exit_code(told)
                job_run.fail(found.reason, found.message, **fields, exit_code=code, log=wave.log(told))
                return
            verdict = points.as_verdict(found)
            await job_run.again(attempt, found.reason, verdict, wave.log(told))


class _Wave:
    """One attempt at the points that are left."""

    def __init__(self, placed: PlacedJob, start: Start, attempt: int) -> None:
        self._placed = placed
        self._start = start
        self._attempt = attempt
        self._ends: dict[int, ProcessEnd] = {}
        self.completed: list[int] = []
        """The points at which the program ended well."""
        self.failures: list[PointEnd] = []

    async def run(self, admission: Admission) -> None:
        program = self._placed.run.job.spec.program
        room = asyncio.Semaphore(program.pods_at_once)
        tasks = [asyncio.create_task(self._run(index, room, admission)) for index in points.left(self._placed.run.job)]
        try:
            for task in asyncio.as_completed(tasks):
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def log(self, index: int | None = None) -> str | None:
        """Return the last lines of a point; by default of the first that ran."""
        end = self._ends.get(min(self._ends) if index is None else index) if self._ends else None
        return None if end is None else end.log

    def exit_code(self, index: int | None) -> int | None:
        """Return that of a point."""
        end = None if index is None else self._ends.get(index)
        return None if end is None else as_in_a_shell(end.exit_code)

    async def _run(self, index: int, room: asyncio.Semaphore, admission: Admission) -> None:
        run = self._placed.run
        own = {**admission.environment, **in_environment(run.job), "JOB_COMPLETION_INDEX": str(index)}
        limit = run.job.spec.retry_policy.attempt_deadline_seconds
        async with room:
            end = await run_one(index, self._start, own, lambda at, line: run.line(f"[{at}] {line}"), limit)
        self._ends[index] = end
        if end.failed:
            self.failures.append(PointEnd(index, end_of(run, self._attempt, end)))
        else:
            self.completed.append(index)
            run.show(**points.progress_of(run.job, [index], ()))


async def _files(output: LocalOutput) -> Any:
    sizes = await output.kept.sizes(FILES)
    return output.files(StoredContent(sum(sizes.values()), count=len(sizes)) if sizes else None)
