"""What `qonverge why` shows of attempts that failed."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from qonverge.api import HybridJob
from qonverge.cli.failures import failures

FIRST = {
    "attempt": 1,
    "reason": "Evicted",
    "message": "the pod was evicted",
    "counts": False,
    "startedAt": "2026-01-31T12:00:00Z",
    "endedAt": "2026-01-31T12:03:20Z",
    "node": "worker-1",
    "log": "step 7",
}
LAST = {
    "attempt": 2,
    "reason": "ProgramFailed",
    "message": "the program ended with exit code 42",
    "counts": True,
    "exitCode": 42,
    "endedAt": "2026-01-31T12:04:00Z",
    "backend": "aer",
}


def shown(**status: Any) -> list[str]:
    spec = {"program": {"python": {"source": "x"}}}
    job = HybridJob.model_validate({"metadata": {"name": "j"}, "spec": spec, "status": status})
    console = Console(width=160, record=True, file=None, highlight=False)
    with console.capture() as captured:
        for part in failures(job):
            console.print(part)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_attempts_are_told_with_their_reasons_and_the_last_one_s_words() -> None:
    told = {"attempts": 2, "failures": 1, "interruptions": 1, "failedAttempts": [FIRST, LAST]}
    assert shown(**told, log="one\ntwo") == [
        "attempts: 2 begun, 1 failed (maxAttempts is 3), 1 interrupted (maxInterruptions is 20)",
        "   ATTEMPT  ENDED                 TOOK         REASON         NODE      WHY",
        "-  1        2026-01-31T12:03:20Z  3m20s        Evicted        worker-1  the pod was evicted",
        "✗  2        2026-01-31T12:04:00Z  not started  ProgramFailed  aer       the program ended with exit code 42",
        "last lines of attempt 2:",
        "  one",
        "  two",
    ]


def test_the_words_of_an_attempt_are_there_while_another_runs() -> None:
    assert shown(attempts=2, interruptions=1, failedAttempts=[FIRST], log=None)[-2:] == [
        "last lines of attempt 1:",
        "  step 7",
    ]
    assert shown(attempts=1) == []
