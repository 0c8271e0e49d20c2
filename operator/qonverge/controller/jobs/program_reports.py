"""What a program's report changes in its job, and which reports are refused. Pure."""

from __future__ import annotations

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.job_status import Paused, Result
from qonverge.controller.quotas.accounts import account_of
from qonverge.controller.results.job_outputs import JobOutputs
from qonverge.documents.reports import InvalidReport, Pause, Report
from qonverge.execution import reports, transitions
from qonverge.execution.points import with_results
from qonverge.execution.result_room import excess
from qonverge.execution.results import document
from qonverge.execution.stored_size import MOST_STORED, stored_with, surely_stored
from qonverge.programs.kinds import kind_of
from qonverge.storage.settings import NoSuchStore
from qonverge.wire.errors import ResultTooLarge
from qonverge.wire.tokens import Caller


def status_with(
    job: HybridJob, caller: Caller, report: Report, outputs: JobOutputs, now: float, ends_at: float | None
) -> HybridJobStatus | None:
    """Return the job's status with what its program reports; None where nothing is new.

    Args:
        job: the job.
        caller: whose report it is.
        report: what is reported.
        outputs: what jobs have in stores.
        now: when it came, Unix seconds.
        ends_at: when the program may end, as far as that is known, Unix seconds.

    Raises:
        PermissionError: the caller is not the job's present attempt.
        InvalidReport: the job would have too many metrics, or has no such points.
        ResultTooLarge: the status has no room for the result.
        NoSuchStore: something is said to be in the job's store, and it has none.
    """
    if (refusal := refused(job, caller)) is not None:
        raise PermissionError(refusal)
    if report.points:
        return _with_points(job, report, outputs)
    changed = reports.changes(job.status, report, now, ends_at)
    if (files := report.stored_files) is not None:
        changed["files"] = outputs.stored_files(job, files.count, files.bytes)
    if (stored := report.stored_result) is not None:
        changed["result"] = Result(stored=outputs.stored_result(job, stored.bytes, stored.sha256))
    if not report.has_result or stored is not None:
        return _fitting(job, job.status.model_copy(update=changed)) if changed else None
    result = Result(value=report.result)
    status = _fitting(job, job.status.model_copy(update={**changed, "result": result}))
    if (why := excess(job, status, len(document(result)))) is not None:
        raise ResultTooLarge(f"{why}; report less, or lists in place of objects with many keys")
    return status


def _with_points(job: HybridJob, report: Report, outputs: JobOutputs) -> HybridJobStatus:
    """Return the job's status with what its program found at points of its sweep."""
    if any(each.stored is not None for each in report.points.values()) and outputs.store_of(job) is None:
        raise NoSuchStore("the installation has no store for the job's output")
    result = with_results(job, report.points)
    status = job.status.model_copy(update={"result": result})
    if (why := excess(job, status, len(document(result)))) is not None:
        raise ResultTooLarge(f"{why}; report less at each point of the sweep")
    return status


def _fitting(job: HybridJob, status: HybridJobStatus) -> HybridJobStatus:
    """Return the status without the courses of metrics where the job has no room for them: the result needs it."""
    if status.metric_curves is None or surely_stored(job, status) or stored_with(job, status) <= MOST_STORED:
        return status
    return status.model_copy(update={"metric_curves": None})


def paused(job: HybridJob, status: HybridJobStatus, pause: Pause, now: float) -> HybridJobStatus:
    """Return a status after its program gave its pod back.

    Args:
        job: the job.
        status: its status, with what else was reported.
        pause: what the program says of it.
        now: Unix seconds.

    Raises:
        InvalidReport: the job does not say that its program may.
    """
    if not kind_of(job).may_pause(job):
        raise InvalidReport("the job does not say pauseAfterSeconds: its program keeps its pod")
    tasks, since = list(pause.tasks), transitions.timestamp(now)
    several = f"its {len(tasks)} tasks have" if len(tasks) > 1 else "its task has"
    return transitions.move(
        status,
        "Running",
        reason="Paused",
        message=f"the program gave its pod back until {several} ended on {status.backend}",
        now=now,
        generation=job.metadata.generation,
        paused=Paused(tasks=tasks, since=since),
        pod=None,
        # The rate of its progress does not go on.
        estimated_end_at=None,
    )


def refused(job: HybridJob, caller: Caller) -> str | None:
    """Return why a request is none of the job's present attempt; None for one that is.

    A program may outlive its job: one that ignores the signal to end, or whose node is cut off, still has its token.
    """
    if caller.account != account_of(job):
        return "the token is of another job of this name, or of a former specification of it"
    current = job.status.attempts or 0
    # A new attempt may report before the status that tells of it is known here.
    if caller.attempt < current or (caller.attempt == current and job.status.state not in ("Placed", "Running")):
        return f"the token is of attempt {caller.attempt}: attempt {current} of the job is {job.status.state}"
    return None
