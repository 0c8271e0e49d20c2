"""The attempts at a program without a cluster, whatever it is: from the start of the first to the job's status."""

from __future__ import annotations

import contextlib
import itertools
import socket

from qonverge.accounting.conversion import money_of
from qonverge.amounts import Amounts
from qonverge.execution import retries
from qonverge.execution.placement import declared
from qonverge.local import points
from qonverge.local.kinds.kind import PlacedJob
from qonverge.local.outputs import LocalOutput
from qonverge.local.process_ends import end_of, fields_of, part_of
from qonverge.local.processes import CannotStart, ProcessEnd, Start, run_together
from qonverge.local.programs import Admission, ProgramHost
from qonverge.programs import dask
from qonverge.programs.ranks import RANK_VARIABLES, world

_HOST = "127.0.0.1"


async def run_attempts(placed: PlacedJob, start: Start, *, commit: str | None = None) -> None:
    """Run a program, all of its ranks or points, and again where it failed and its policy says so.

    Args:
        placed: its job.
        start: how each of its processes is started.
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
            swept = job.spec.program.num_indexes is not None
            await (points.run if swept else _run)(placed, start, output, commit)
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
            fields = fields_of(placed, admissions[0], ended, used, output, commit)
            if not ended.failed:
                if output is not None:
                    await output.completed()
                run.complete(**fields, log=ended.log)
                return
            end = end_of(run, attempt, ended)
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
    budget = part_of(money_of(spec.budget), len(hosts))

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
