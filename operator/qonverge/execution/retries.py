"""What follows an attempt that failed: whether another begins, when, and what the status keeps of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.conditions import seconds, timestamp
from qonverge.api.retries import MOST_FAILED_ATTEMPTS, FailedAttempt, RetryAction, RetryPolicy
from qonverge.documents.excerpt import bounded
from qonverge.wire.errors import Cancelled, WireError, WorkerLost

LOG_BYTES = 8192
"""Most of a failed attempt's log that is kept."""
_FORMER_LOG_BYTES = 1024
# What another attempt would do again, so that a person decides.
_OWN = (
    *("ProgramFailed", "OOMKilled", "DeadlineExceeded", "ResultTooLarge", "BudgetExceeded", "QuotaExceeded"),
    # Of circuits.
    "EngineFailed",
)
# Where the exit code is the program's own word: of others more is known.
_BY_EXIT_CODE = ("ProgramFailed", "OOMKilled")
# What the program may be the reason of: its image, where it comes from, or a circuit that takes too much memory.
_DOUBTFUL = ("StartDeadlineExceeded", "ProgramNotFetched", "RequirementsNotInstalled", WorkerLost.code)
# A circuit may be why a worker or its whole pod ended, and would end them for others again and again.
_KILLED_BY_CIRCUITS = (WorkerLost.code, "PodLost")
_DEFAULTS: Mapping[str, RetryAction] = {
    **dict.fromkeys(_OWN, "Fail"),
    **dict.fromkeys(_DOUBTFUL, "Retry"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """How an attempt ended."""

    attempt: int
    reason: str
    message: str
    """A sentence, with what to do."""
    ended_at: str
    exit_code: int | None = None
    started_at: str | None = None
    backend: str | None = None
    pod: str | None = None
    node: str | None = None
    printed: bool = False
    """Whether what the program printed says more."""
    displaced: bool = False
    """Whether a job of higher priority took its slot, which the scheduler gives back."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows an attempt that ended."""

    again: bool
    """Whether another one begins."""
    message: str
    """Of the job: why it fails, or why and when another attempt begins."""
    begins_at: float
    """When that is at the earliest, Unix seconds."""
    fields: Mapping[str, Any]
    """What the status keeps."""


def default_action(reason: str) -> RetryAction:
    """Return what follows an attempt at a Python program that ended for this reason, where no rule matches."""
    return _DEFAULTS.get(reason, "Ignore")


def default_of_circuit(error: WireError, *, ended_by_others: bool = False) -> RetryAction:
    """Return what follows an attempt at a circuit that ended on an error, where no rule matches.

    ``ended_by_others`` is True where its pod was asked to end, which is not the circuit's doing.
    """
    # Where this operator cancels a task, it forgets the flight: somebody else did, and the job still wants it.
    if not error.retryable and error.code != Cancelled.code:
        return "Fail"
    return "Retry" if error.code in _KILLED_BY_CIRCUITS and not ended_by_others else "Ignore"


def action_after(job: HybridJob, end: AttemptEnd, default: RetryAction | None = None) -> RetryAction:
    """Return what a job's policy says of an end, whatever is left of its attempts; arguments as of ``judge``."""
    return _action(job.spec.retry_policy, end, default or default_action(end.reason))[0]


def judge(job: HybridJob, end: AttemptEnd, default: RetryAction | None = None) -> Verdict:
    """Return what follows an attempt.

    Args:
        job: the job, with the status in which the attempt ran.
        end: how the attempt ended.
        default: what follows where no rule matches; None: as of Python programs.
    """
    policy, status = job.spec.retry_policy, job.status
    action, rule = _action(policy, end, default or default_action(end.reason))
    counts = action != "Ignore"
    # However often others come first: the job waits for its turn again, as those do that have not begun.
    interrupts = not (counts or end.displaced)
    failures, interruptions = (status.failures or 0) + counts, (status.interruptions or 0) + interrupts
    record = FailedAttempt(counts=counts, **_told(end))
    records = _kept(status.failed_attempts or (), record)
    begins_at = seconds(end.ended_at) + _delay(policy, records)
    fields = {"failures": failures, "interruptions": interruptions, "failed_attempts": records}
    if counts:
        again = action == "Retry" and failures < policy.max_attempts
    else:
        again = end.displaced or interruptions <= policy.max_interruptions
    if again:
        count = f"{failures} of {policy.max_attempts} failures" if counts else "does not count as a failure"
        more = "; its last lines are in status.failedAttempts" if end.printed else ""
        begins = f"another begins {_when(begins_at, end)}"
        message = f"attempt {end.attempt} ended ({count}): {end.message}{more}; {begins}"
        return Verdict(True, bounded(message), begins_at, fields)
    message = end.message + ("; its last lines are in status.log" if end.printed else "")
    if action == "Retry":
        message = f"after {failures} attempt{'s' if failures > 1 else ''}: {message}"
    elif action == "Ignore":
        limit = f"retryPolicy.maxInterruptions is {policy.max_interruptions}"
        message = f"after {interruptions} interruptions, and {limit}: {message}"
    elif rule is not None:
        message += f"; rules[{rule}] of retryPolicy ends the job"
    return Verdict(False, bounded(message), begins_at, fields)


def begins_at(job: HybridJob) -> float:
    """Return when the next attempt at a job may begin, Unix seconds; 0 where the last one did not fail."""
    records = job.status.failed_attempts or ()
    if not records or records[-1].attempt != job.status.attempts:
        return 0.0
    return seconds(records[-1].ended_at) + _delay(job.spec.retry_policy, records)


def is_recorded(job: HybridJob, attempt: int) -> bool:
    """Return whether a job's status tells that an attempt failed."""
    return any(each.attempt == attempt for each in job.status.failed_attempts or ())


def with_log(status: HybridJobStatus, log: str | None) -> HybridJobStatus:
    """Return a status in which the last attempt that failed has the last lines that it printed."""
    records = list(status.failed_attempts or ())
    told = records[-1].model_copy(update={"log": tail(log or "", LOG_BYTES) or None})
    return status.model_copy(update={"failed_attempts": [*records[:-1], told]})


def tail(text: str, most: int) -> str:
    """Return the last whole lines of a text within so many bytes, or the end of the last where it is longer."""
    data = text.rstrip("\n").encode()
    if len(data) <= most:
        return data.decode()
    end = data[-most:]
    line = end.find(b"\n")
    # What is cut within a character begins with bytes that are none.
    return end[line + 1 :].decode() if 0 <= line < most - 1 else end.decode(errors="ignore")


def _action(policy: RetryPolicy, end: AttemptEnd, default: RetryAction) -> tuple[RetryAction, int | None]:
    """Return what follows, and the number of the rule that says so."""
    for number, rule in enumerate(policy.rules):
        codes, own = rule.on_exit_codes, end.exit_code if end.reason in _BY_EXIT_CODE else None
        by_code = codes is not None and own is not None and codes.matches(own)
        if by_code or end.reason in (rule.on_reasons or ()):
            return rule.action, number
    return default, None


def _told(end: AttemptEnd) -> dict[str, Any]:
    told = {name: getattr(end, name) for name in AttemptEnd.__slots__ if name in FailedAttempt.model_fields}
    return {**told, "message": bounded(end.message)}


def _kept(former: Sequence[FailedAttempt], last: FailedAttempt) -> list[FailedAttempt]:
    shorter = [each.model_copy(update={"log": tail(each.log or "", _FORMER_LOG_BYTES) or None}) for each in former]
    return [*shorter, last][-MOST_FAILED_ATTEMPTS:]


def _delay(policy: RetryPolicy, records: Sequence[FailedAttempt]) -> float:
    """Return for how long to wait after the last of some attempts, seconds."""
    short = 0
    for record in reversed(records):
        if _length(record) > policy.max_backoff_seconds:
            break
        short += 1
    # The first that was interrupted has done nothing that could be wrong.
    doublings = short - (1 if records[-1].reason in _OWN else 2)
    if doublings < 0:
        return policy.backoff_seconds if records[-1].reason in _OWN else 0.0
    return min(policy.backoff_seconds * 2.0**doublings, policy.max_backoff_seconds)


def _length(record: FailedAttempt) -> float:
    return 0.0 if record.started_at is None else seconds(record.ended_at) - seconds(record.started_at)


def _when(begins_at: float, end: AttemptEnd) -> str:
    wait = begins_at - seconds(end.ended_at)
    return "at once" if wait <= 0 else f"at {timestamp(begins_at)}, {wait:g} s later"
