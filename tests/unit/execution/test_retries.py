"""What follows an attempt that failed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.retries import FailedAttempt
from qonverge.controller.pods.errors import PodLost, PodUnreachable
from qonverge.execution.retries import (
    AttemptEnd,
    begins_at,
    default_of_circuit,
    is_recorded,
    judge,
    tail,
    with_log,
)
from qonverge.execution.transitions import timestamp
from qonverge.wire.errors import Cancelled, EngineFailed, QueueFull, WireError, WorkerLost

NOW = 1_000_000.0
OTHERS = {"action": "Retry", "onExitCodes": {"operator": "NotIn", "values": [42]}}
RULES = [{"action": "Fail", "onExitCodes": {"operator": "In", "values": [42]}}, OTHERS]


def job(status: dict[str, Any] | None = None, **policy: Any) -> HybridJob:
    spec = {"program": {"python": {"source": "x"}}, "retryPolicy": policy}
    return HybridJob.model_validate(
        {"metadata": {"name": "j"}, "spec": spec, "status": {"attempts": 1, **(status or {})}}
    )


def end(reason: str = "ProgramFailed", code: int | None = 1, *, attempt: int = 1, ran: float = 5.0) -> AttemptEnd:
    return AttemptEnd(
        attempt=attempt,
        reason=reason,
        message="it broke",
        exit_code=code,
        started_at=timestamp(NOW - ran),
        ended_at=timestamp(NOW),
        printed=reason == "ProgramFailed",
    )


def after(before: HybridJob, ended: AttemptEnd) -> HybridJob:
    """Return the job when its status tells of the attempt."""
    fields = {**judge(before, ended).fields, "attempts": ended.attempt}
    return before.model_copy(update={"status": before.status.model_copy(update=fields)})


@pytest.mark.parametrize(
    ("reason", "again", "counted"),
    [
        ("ProgramFailed", False, True),
        ("OOMKilled", False, True),
        ("DeadlineExceeded", False, True),
        ("StartDeadlineExceeded", True, True),
        ("ProgramNotFetched", True, True),
        ("RequirementsNotInstalled", True, True),
        ("WorkerLost", True, True),
        ("Evicted", True, False),
        ("NodeLost", True, False),
        ("PodLost", True, False),
        ("BackendLost", True, False),
        ("BackendUnreachable", True, False),
        ("Internal", True, False),
    ],
)
def test_only_the_program_s_own_failures_count(reason: str, again: bool, counted: bool) -> None:
    verdict = judge(job(), end(reason))
    assert verdict.again is again
    assert (verdict.fields["failures"], verdict.fields["interruptions"]) == ((1, 0) if counted else (0, 1))


def test_the_first_rule_that_matches_holds() -> None:
    ends = judge(job(rules=RULES), end(code=42))
    assert (ends.again, ends.message) == (
        False,
        "it broke; its last lines are in status.log; rules[0] of retryPolicy ends the job",
    )
    again = judge(job(rules=RULES), end(code=1))
    assert again.again
    assert again.message == (
        "attempt 1 ended (1 of 3 failures): it broke; its last lines are in status.failedAttempts; "
        f"another begins at {timestamp(NOW + 10)}, 10 s later"
    )


def test_the_exit_code_of_what_others_ended_is_not_looked_at() -> None:
    """A pod that is drained ends with 143, and a program that lost its backend with 1."""
    assert judge(job(rules=[RULES[0]]), end("Evicted", 42)).again
    assert judge(job(rules=[RULES[0]]), end("BackendUnreachable", 42)).again
    assert not judge(job(rules=[OTHERS]), end("BudgetExceeded", 1)).again
    assert judge(job(rules=[OTHERS]), end("OOMKilled", 137)).again
    # Where a person says so, even these end the job or count.
    fail = {"action": "Fail", "onReasons": ["Evicted"]}
    assert not judge(job(rules=[fail]), end("Evicted", 143)).again
    count = judge(job(rules=[{"action": "Retry", "onReasons": ["Evicted"]}]), end("Evicted", 143))
    assert (count.again, count.fields["failures"]) == (True, 1)
    ignored = judge(job(rules=[{"action": "Ignore", "onReasons": ["OOMKilled"]}]), end("OOMKilled", 137))
    assert (ignored.again, ignored.fields["interruptions"]) == (True, 1)


def test_failures_and_interruptions_have_limits_of_their_own() -> None:
    policy: dict[str, Any] = {"rules": RULES, "maxAttempts": 2, "maxInterruptions": 1}
    tried = job(**policy)
    for number, reason in enumerate(["Evicted", "ProgramFailed"], 1):
        assert judge(tried, end(reason, attempt=number)).again
        tried = after(tried, end(reason, attempt=number))
    failed = judge(tried, end(attempt=3))
    assert (failed.again, failed.message) == (False, "after 2 attempts: it broke; its last lines are in status.log")
    interrupted = judge(tried, end("NodeLost", None, attempt=3))
    assert (interrupted.again, interrupted.message) == (
        False,
        "after 2 interruptions, and retryPolicy.maxInterruptions is 1: it broke",
    )
    once = judge(job(maxInterruptions=0), end("NodeLost", None))
    assert not once.again


def test_whose_slot_was_taken_was_not_interrupted_but_a_rule_holds() -> None:
    taken = replace(end("Preempted", None, attempt=2), displaced=True)
    verdict = judge(job({"failures": 1, "interruptions": 1}, maxInterruptions=1), taken)
    assert (verdict.again, verdict.fields["failures"], verdict.fields["interruptions"]) == (True, 1, 1)
    (record,) = verdict.fields["failed_attempts"]
    assert (record.reason, record.counts) == ("Preempted", False)
    assert not judge(job({"interruptions": 1}, maxInterruptions=1), replace(taken, displaced=False)).again
    assert not judge(job(rules=[{"action": "Fail", "onReasons": ["Preempted"]}]), taken).again


def test_attempts_are_further_and_further_apart_up_to_the_most() -> None:
    tried, waits = job(rules=[OTHERS], maxAttempts=100, maxBackoffSeconds=60), []
    for number in range(1, 7):
        waits.append(judge(tried, end(attempt=number)).begins_at - NOW)
        tried = after(tried, end(attempt=number))
        assert begins_at(tried) == NOW + waits[-1], "an operator that takes over waits as long"
    assert waits == [10, 20, 40, 60, 60, 60]
    # One that ran for long had no trouble that lasts.
    assert judge(tried, end(attempt=7, ran=61)).begins_at == NOW + 10
    assert begins_at(job({"attempts": 8, "failedAttempts": [each.to_dict() for each in records(tried)]})) == 0.0


def test_what_was_interrupted_begins_at_once_and_then_waits_too() -> None:
    tried, waits = job(), []
    for number in range(1, 5):
        waits.append(judge(tried, end("NodeLost", None, attempt=number)).begins_at - NOW)
        tried = after(tried, end("NodeLost", None, attempt=number))
    assert waits == [0, 10, 20, 40]
    assert judge(job(backoffSeconds=0, rules=[OTHERS]), end()).begins_at == NOW


def records(of: HybridJob) -> list[FailedAttempt]:
    return of.status.failed_attempts or []


def test_a_status_keeps_the_last_ten_and_the_log_of_the_last() -> None:
    tried = job(rules=[OTHERS], maxAttempts=100)
    for number in range(1, 13):
        tried = after(tried, end(attempt=number))
        told = with_log(tried.status, "".join(f"line {n} of attempt {number}\n" for n in range(2000)))
        tried = tried.model_copy(update={"status": told})
    kept = records(tried)
    assert [each.attempt for each in kept] == list(range(3, 13))
    assert (tried.status.failures, is_recorded(tried, 12), is_recorded(tried, 13)) == (12, True, False)
    sizes = [len(each.log or "") for each in kept]
    assert max(sizes[:-1]) <= 1024 < sizes[-1] <= 8192
    assert all((each.log or "").endswith(f"line 1999 of attempt {each.attempt}") for each in kept)
    assert all((each.log or "").startswith("line ") for each in kept), "lines are whole"
    assert HybridJobStatus.model_validate(tried.status.to_dict()) == tried.status


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        ("one\ntwo\n", 100, "one\ntwo"),
        ("one\ntwo\n", 5, "two"),
        ("a line that is longer", 6, "longer"),
        ("äöü", 3, "ü"),
        ("", 10, ""),
    ],
)
def test_of_a_text_its_last_whole_lines_are_kept(text: str, most: int, kept: str) -> None:
    assert tail(text, most) == kept


@pytest.mark.parametrize(
    ("error", "ended_by_others", "action"),
    [
        (EngineFailed("no"), False, "Fail"),
        (WireError("a defect"), False, "Fail"),
        (WorkerLost("gone"), False, "Retry"),
        (PodLost("gone"), False, "Retry"),
        (PodLost("gone"), True, "Ignore"),
        (PodUnreachable("silent"), False, "Ignore"),
        (QueueFull("full"), False, "Ignore"),
        (Cancelled("by somebody"), False, "Ignore"),
    ],
)
def test_only_what_a_circuit_may_be_the_reason_of_counts(error: WireError, ended_by_others: bool, action: str) -> None:
    assert default_of_circuit(error, ended_by_others=ended_by_others) == action
