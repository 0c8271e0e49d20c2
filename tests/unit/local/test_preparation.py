"""Programs that cannot be had at first, without a cluster."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qonverge.api import HybridJob
from qonverge.client.program.fetch import NotFetched
from qonverge.client.program.install import NotInstalled
from qonverge.local.preparation import prepared
from qonverge.local.run import Observer, Run

SILENT = NotFetched("the server did not answer", again=True)
WRONG = NotFetched("there is no revision v9")
NO_PACKAGE = NotInstalled("no matching distribution")


def attempted(*outcomes: Exception | str, **policy: Any) -> tuple[str | None, HybridJob, list[str]]:
    """Return what a program got of these outcomes, one after the other, the job then, and what was told."""
    given = {
        "metadata": {"name": "j"},
        "spec": {"program": {"python": {"source": "x"}}, "retryPolicy": {"backoffSeconds": 0, **policy}},
    }
    warnings: list[str] = []
    observer = Observer(lambda job: None, lambda job, line: None, lambda job, told: warnings.append(told))
    run, left = Run(HybridJob.model_validate(given), observer, lambda: 1_000_000.0), list(outcomes)

    def prepare() -> str:
        if isinstance(outcome := left.pop(0), Exception):
            raise outcome
        return outcome

    found = asyncio.run(prepared(run, prepare))
    assert left == [], "it was tried as often as there are outcomes"
    return found, run.job, warnings


def test_a_server_that_answers_at_last_cost_an_attempt() -> None:
    found, job, (told,) = attempted(SILENT, "commit")
    assert (found, job.status.attempts, job.status.failures) == ("commit", 1, 1)
    assert told.startswith("attempt 1 ended (1 of 3 failures): the server did not answer")


def test_a_server_that_never_answers_is_asked_in_each_attempt() -> None:
    found, job, _ = attempted(SILENT, SILENT, maxAttempts=2)
    assert (found, job.status.state, job.status.attempts) == (None, "Failed", 2)
    assert (job.status.reason, job.status.message) == (
        "ProgramNotFetched",
        "after 2 attempts: the server did not answer",
    )
    assert [each.attempt for each in job.status.failed_attempts or ()] == [1, 2]


@pytest.mark.parametrize(("error", "reason"), [(WRONG, "ProgramNotFetched"), (NO_PACKAGE, "RequirementsNotInstalled")])
def test_what_is_not_there_is_asked_for_once_unless_a_rule_says_otherwise(error: Exception, reason: str) -> None:
    _, job, _ = attempted(error)
    assert (job.status.state, job.status.reason, job.status.message) == ("Failed", reason, str(error))
    rules = [{"action": "Retry", "onReasons": [reason]}]
    found, again, _ = attempted(error, "there", rules=rules)
    assert (found, again.status.failures) == ("there", 1)
