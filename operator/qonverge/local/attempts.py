"""The one attempt that a program has without a cluster, whatever it is: from its start to its status."""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import Any

from qonverge import __version__
from qonverge.accounting.conversion import money_of, usage_of
from qonverge.amounts import Amounts, Money
from qonverge.api.job import Provenance, Result, StoredFiles
from qonverge.execution.placement import declared
from qonverge.local.kinds.kind import PlacedJob
from qonverge.local.outputs import LocalOutput
from qonverge.local.processes import CannotStart, ProcessEnd, Start, run_together
from qonverge.local.programs import Admission, ProgramHost
from qonverge.programs import dask
from qonverge.programs.python import left_reason
from qonverge.programs.ranks import RANK_VARIABLES, named, world
from qonverge.programs.source import digest

_HOST = "127.0.0.1"


async def run_once(placed: PlacedJob, start: Start, *, commit: str | None = None) -> None:
    """Run a program, all of its ranks: nothing can be lost under it but what it runs on itself.

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
        await _run(placed, start, output, commit)


async def _run(placed: PlacedJob, start: Start, output: LocalOutput | None, commit: str | None) -> None:
    run, program = placed.run, placed.run.job.spec.program
    budget = _part(money_of(run.job.spec.budget), len(placed.backends))
    run.start(1)

    def on_line(rank: int, line: str) -> None:
        run.line(f"[{rank}] {line}" if program.world_size > 1 else line)

    async with contextlib.AsyncExitStack() as stack:
        admissions = []
        for each in placed.backends:
            host = ProgramHost(each.engine, placed.checker)
            await stack.enter_async_context(host.serving())
            admitted = host.admitted(
                run.job,
                pricing=each.backend.spec.pricing,
                budget=budget,
                kept=None if output is None else output.kept,
                inputs=placed.inputs,
                on_report=run.report,
            )
            admissions.append(await stack.enter_async_context(admitted))
        try:
            ended = await run_together(start, _environments(placed, admissions), on_line)
        except CannotStart as error:
            run.fail("CannotStart", str(error))
            return
    files = None if output is None else output.files(admissions[0].files)
    if output is not None and ended.exit_code == 0:
        await output.completed()
    _conclude(placed, admissions, ended, commit, files)


def _conclude(
    placed: PlacedJob, admissions: list[Admission], ended: ProcessEnd, commit: str | None, files: StoredFiles | None
) -> None:
    run, engines = placed.run, [each.engine.info() for each in placed.backends]
    used = Amounts()
    for each, admission in zip(placed.backends, admissions, strict=True):
        used += admission.used.at_power(declared(each.backend).task_watts)
    # Rank 0 reports, to the first of them.
    result = admissions[0].result
    fields: dict[str, Any] = {
        # Shells and Kubernetes count signals from 128.
        "exit_code": ended.exit_code if ended.exit_code >= 0 else 128 - ended.exit_code,
        "log": ended.log,
        "usage": usage_of(used),
        "result": None if result is None else Result(value=result.result),
        "files": files,
        "provenance": Provenance(
            program_digest=digest(placed.program),
            commit=commit,
            qonverge_version=__version__,
            engine=", ".join(dict.fromkeys(each.engine for each in engines)),
            seed=run.job.spec.seed,
            calibration=engines[0].calibration_digest or None,
        ),
    }
    if ended.exit_code == 0:
        run.complete(**fields)
    else:
        sentence = named(ended.rank, run.job.spec.program.world_size, _exit_sentence(ended.exit_code))
        run.fail(*(left_reason(ended.left) or ("ProgramFailed", sentence)), **fields)


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


def _exit_sentence(code: int) -> str:
    if code < 0:
        known = {number.value: f" ({number.name})" for number in signal.Signals}
        return f"the program was ended by signal {-code}{known.get(-code, '')}"
    return f"the program ended with exit code {code}; its last lines are in status.log"
