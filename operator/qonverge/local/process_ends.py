"""How the processes of a program's attempt ended, as its job's status has it."""

from __future__ import annotations

import signal
from typing import Any

from qonverge import __version__
from qonverge.accounting.conversion import usage_of
from qonverge.amounts import Amounts, Money
from qonverge.api.job_status import Provenance, Result
from qonverge.execution import transitions
from qonverge.execution.retries import AttemptEnd
from qonverge.local.kinds.kind import PlacedJob
from qonverge.local.outputs import LocalOutput
from qonverge.local.processes import ProcessEnd
from qonverge.local.programs import Admission
from qonverge.local.run import Run
from qonverge.programs.python import left_reason
from qonverge.programs.ranks import named
from qonverge.programs.source import digest


def fields_of(
    placed: PlacedJob,
    first: Admission,
    ended: ProcessEnd,
    used: list[Amounts],
    output: LocalOutput | None,
    commit: str | None,
) -> dict[str, Any]:
    """Return what the status has of a program that ended; rank 0 reports, to the first backend."""
    return {
        "exit_code": as_in_a_shell(ended.exit_code),
        "usage": usage_of(sum(used, start=Amounts())),
        "result": None if first.result is None else Result(value=first.result.result),
        "files": None if output is None else output.files(first.files),
        "provenance": provenance_of(placed, commit),
    }


def provenance_of(placed: PlacedJob, commit: str | None) -> Provenance:
    """Return where the result of a program comes from, ``commit`` of its repository."""
    engines = [each.engine.info() for each in placed.backends]
    return Provenance(
        program_digest=digest(placed.program),
        commit=commit,
        qonverge_version=__version__,
        engine=", ".join(dict.fromkeys(each.engine for each in engines)),
        seed=placed.run.job.spec.seed,
        calibration=engines[0].calibration_digest or None,
    )


def end_of(run: Run, attempt: int, ended: ProcessEnd) -> AttemptEnd:
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
        exit_code=as_in_a_shell(code),
        started_at=run.job.status.started_at,
        ended_at=transitions.timestamp(run.now),
        backend=run.job.status.backend,
        printed=told is None and code >= 0,
    )


def part_of(budget: Money | None, parts: int) -> Money | None:
    """Return an equal part of the job's budget: nobody moves what is left of one backend's to another."""
    return None if budget is None else Money(budget.amount / parts, budget.currency)


def as_in_a_shell(code: int) -> int:
    """Return an exit code as shells and Kubernetes count it: signals from 128."""
    return code if code >= 0 else 128 - code


def _exit_sentence(code: int) -> str:
    if code < 0:
        known = {number.value: f" ({number.name})" for number in signal.Signals}
        return f"the program was ended by signal {-code}{known.get(-code, '')}"
    return f"the program ended with exit code {code}"
