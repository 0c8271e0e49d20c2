"""The attempts at a program without a cluster, whatever it is: from the start of the first to the job's status."""

from __future__ import annotations

import contextlib
import itertools
import signal
import socket
from typing import Any

from qonverge import __version__
from qonverge.accounting.conversion import money_of, usage_of
from qonverge.amounts import Amounts, Money
from qonverge.api.job_status import Provenance, Result
from qonverge.execution import retries, transitions
from qonverge.execution.placement import declared
from qonverge.execution.retries import AttemptEnd
from qonverge.local.kinds.kind import PlacedJob
from qonverge.local.outputs import LocalOutput
from qonverge.local.processes import CannotStart, ProcessEnd, Start, run_together
from qonverge.local.programs import Admission, ProgramHost
from qonverge.local.run import Run
from qonverge.programs import dask
from qonverge.programs.python import left_reason
from qonverge.programs.ranks import RANK_VARIABLES, named, world
from qonverge.programs.source import digest

_HOST = "127.0.0.1"


async def run_attempts(placed: PlacedJob, start: Start, *, commit: str | None = None) -> None:
    """Run a program, all of its ranks, and again where it failed and its policy says so.

    Args:
        placed: its job.
        start: how each rank is started.
        commit: of its repository.
    """
    job = placed.run.job
    # What a commit left says nothing of another one.
    async with placed.outputs.of(job, placed.program if commit is None else commit) as output:
        if output is None:
            placed.run.warn("another run of this job goes on, which has its checkpoints: this one keeps none")
        elif output.checkpoints:
            placed.run.warn(f"a run that did not end left checkpoints in {output.folder}: --fresh begins anew")
        try:
            await _run(placed, start, output, commit)
        except CannotStart as error:
            placed.run.fail("CannotStart", str(error))


async def _run(placed: PlacedJob, start: Start, output: LocalOutput | None, commit: str | None) -> None:
    run, used = placed.run, [Amounts() for _ in placed.backends]
    async with contextlib.AsyncExitStack() as stack:
        hosts = [ProgramHost(each.engine, placed.checker) for each in placed.backends]
        for host in hosts:
            await stack.enter_async_context(host.serving())
        # What it needs may have failed before.
        for attempt in itertools.count((run.job.status.attempts or 0) + 1):
            run.start(attempt)
            ended, admissions = await _attempt(placed, start, hosts, used, output)
            for number, (each, admission) in enumerate(zip(placed.backends, admissions, strict=True)):
                used[number] += admission.used.at_power(declared(each.backend).task_watts)
            fields = _fields(placed, admissions[0], ended, used, output, commit)
            if not ended.failed:
                if output is not None:
                    await output.completed()
                run.complete(**fields, log=ended.log)
                return
            end = _end(run, attempt, ended)
            verdict = retries.judge(run.job, end)
            if not verdict.again:
                run.fail(end.reason, verdict.message, **fields, **verdict.fields, log=ended.log)
                return
            await run.again(attempt, end.reason, verdict, ended.log)


async def _attempt(
    placed: PlacedJob, start: Start, hosts: list[ProgramHost], used: list[Amounts], output: LocalOutput | None
) -> tuple[ProcessEnd, list[Admission]]:
    """Run the program once, and return how it ended and what it was to each backend."""
    run, spec = placed.run, placed.run.job.spec
    budget = _part(money_of(spec.budget), len(hosts))

    def on_line(rank: int, line: str) -> None:
        run.line(f"[{rank}] {line}" if spec.program.world_size > 1 else line)

    async with contextlib.AsyncExitStack() as stack:
        admissions = [
            await stack.enter_async_context(
                host.admitted(
                    run.job,
                    pricing=each.backend.spec.pricing,
                    budget=budget,
                    used=before,
                    kept=None if output is None else output.kept,
                    inputs=placed.inputs,
                    on_report=run.report,
                )
            )
            for host, each, before in zip(hosts, placed.backends, used, strict=True)
        ]
        limit = spec.retry_policy.attempt_deadline_seconds
        ended = await run_together(start, _environments(placed, admissions), on_line, limit)
    return ended, admissions


def _fields(
    placed: PlacedJob,
    first: Admission,
    ended: ProcessEnd,
    used: list[Amounts],
    output: LocalOutput | None,
    commit: str | None,
) -> dict[str, Any]:
    """Return what the status has of a program that ended; rank 0 reports, to the first backend."""
    engines = [each.engine.info() for each in placed.backends]
    return {
        "exit_code": _as_in_a_shell(ended.exit_code),
        "usage": usage_of(sum(used, start=Amounts())),
        "result": None if first.result is None else Result(value=first.result.result),
        "files": None if output is None else output.files(first.files),
        "provenance": Provenance(
            program_digest=digest(placed.program),
            commit=commit,
            qonverge_version=__version__,
            engine=", ".join(dict.fromkeys(each.engine for each in engines)),
            seed=placed.run.job.spec.seed,
            calibration=engines[0].calibration_digest or None,
        ),
    }


def _end(run: Run, attempt: int, ended: ProcessEnd) -> AttemptEnd:
    """Return how an attempt failed."""
    spec, told, code = run.job.spec, left_reason(ended.left), ended.exit_code
    if ended.overdue:
        limit = f"retryPolicy.attemptDeadlineSeconds, {spec.retry_policy.attempt_deadline_seconds} s"
        told = ("DeadlineExceeded", f"the program did not end within {limit}: raise it, or make the program shorter")
    reason, message = told or ("ProgramFailed", named(ended.rank, spec.program.world_size, _exit_sentence(code)))
    return AttemptEnd(
        attempt=attempt,
        reason=reason,
        message=message,
        exit_code=_as_in_a_shell(code),
        started_at=run.job.status.started_at,
        ended_at=transitions.timestamp(run.now),
        backend=run.job.status.backend,
        printed=told is None and code >= 0,
    )


def _environments(placed: PlacedJob, admissions: list[Admission]) -> list[dict[str, str]]:
    """Return what each rank finds in its environment."""
    program = placed.run.job.spec.program
    if program.parallelism is None:
        return [dict(admissions[0].environment)]
    if program.framework == "Dask":
        alike = dask.world(program.parallelism, _HOST, *_free_ports(1)) | dict.fromkeys(
            dask.TLS_VARIABLES, dask.certificate()
        )
    else:
        master_port, rendezvous_port = _free_ports(2)
        alike = world(program.parallelism, _HOST, master_port=master_port, rendezvous_port=rendezvous_port)
    return [
        {
            **admissions[program.group_of(rank)].environment,
            **alike,
            **dict.fromkeys((*RANK_VARIABLES, "JOB_COMPLETION_INDEX"), str(rank)),
        }
        for rank in range(program.parallelism)
    ]


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server((_HOST, 0))) for _ in range(number)]
        return [int(probe.getsockname()[1]) for probe in probes]


def _part(budget: Money | None, parts: int) -> Money | None:
    """Return an equal part of the job's budget: nobody moves what is left of one backend's to another."""
    return None if budget is None else Money(budget.amount / parts, budget.currency)


def _as_in_a_shell(code: int) -> int:
    """Return an exit code as shells and Kubernetes count it: signals from 128."""
    return code if code >= 0 else 128 - code


def _exit_sentence(code: int) -> str:
    if code < 0:
        known = {number.value: f" ({number.name})" for number in signal.Signals}
        return f"the program was ended by signal {-code}{known.get(-code, '')}"
    return f"the program ended with exit code {code}"
