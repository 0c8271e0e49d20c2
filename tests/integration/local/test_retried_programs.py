"""Programs that fail and are tried again by `qonverge run`, as a job's retry policy says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

COMMAND = [sys.executable, "-c", "from qonverge.cli.main import main; main()", "run"]
COUNTS = """
import pathlib, sys
seen = pathlib.Path({seen!r})
attempt = len(seen.read_text()) + 1 if seen.exists() else 1
seen.write_text("x" * attempt)
print("attempt", attempt)
"""
RETRIES = {"action": "Retry", "onExitCodes": {"operator": "In", "values": [1, 3]}}
GIVES_UP = {"action": "Fail", "onExitCodes": {"operator": "In", "values": [42]}}


@pytest.fixture
def counting(tmp_path: Path) -> str:
    """The beginning of a program that knows which attempt it is."""
    return COUNTS.format(seen=str(tmp_path / "seen"))


def run(source: str, policy: dict[str, Any], *, before: str = "", **spec: Any) -> tuple[dict[str, Any], str]:
    """Return the status of a job that was run, and what was told of it meanwhile."""
    given = {"program": {"python": {"source": source}}, "retryPolicy": {"backoffSeconds": 0, **policy}, **spec}
    body = {"apiVersion": "qonverge.io/v1alpha1", "kind": "HybridJob", "metadata": {"name": "j"}, "spec": given}
    done = subprocess.run(
        [*COMMAND, "-o", "json", "-"],
        input=f"{before}{yaml.safe_dump(body)}",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert not any(line.startswith("Traceback") for line in done.stderr.splitlines()), done.stderr
    status: dict[str, Any] = json.loads(done.stdout)["status"]
    return status, done.stderr


def test_an_exit_code_that_may_be_retried_is_until_the_program_ends_well(counting: str) -> None:
    status, told = run(counting + "sys.exit({1: 3, 2: 1}.get(attempt, 0))", {"rules": [GIVES_UP, RETRIES]})
    assert (status["state"], status["attempts"], status["failures"], status["interruptions"]) == ("Complete", 3, 2, 0)
    failed = [(each["attempt"], each["exitCode"], each["reason"], each["log"]) for each in status["failedAttempts"]]
    assert failed == [(1, 3, "ProgramFailed", "attempt 1"), (2, 1, "ProgramFailed", "attempt 2")]
    assert status["log"] == "attempt 3"
    assert "attempt 1 ended (1 of 3 failures): the program ended with exit code 3" in told


def test_a_rule_ends_the_job_however_many_attempts_are_left(counting: str) -> None:
    status, _ = run(counting + "sys.exit(42 if attempt == 2 else 1)", {"rules": [GIVES_UP, RETRIES], "maxAttempts": 9})
    assert (status["state"], status["attempts"], status["exitCode"], status["log"]) == ("Failed", 2, 42, "attempt 2")
    assert status["message"] == (
        "the program ended with exit code 42; its last lines are in status.log; rules[0] of retryPolicy ends the job"
    )
    assert "log" not in status["failedAttempts"][-1], "which is in the status itself"


def test_the_attempts_that_a_job_allows_are_all_that_there_are(counting: str) -> None:
    status, _ = run(counting + "sys.exit(1)", {"rules": [RETRIES], "maxAttempts": 2})
    assert (status["state"], status["attempts"]) == ("Failed", 2)
    assert status["message"].startswith("after 2 attempts: the program ended with exit code 1")
    once, _ = run(counting + "sys.exit(1)", {})
    assert (once["state"], once["attempts"]) == ("Failed", 1), "without a rule a program's own failure ends the job"


def test_a_backend_s_fault_is_not_the_program_s(counting: str) -> None:
    """It ends with the exit code 1 all the same, which a rule gives up at."""
    fails = (
        "from qonverge.client.errors import BackendUnreachable\n"
        "if attempt == 1:\n    raise BackendUnreachable('the backend has not answered for 120 s')\n"
    )
    rule = {"action": "Fail", "onExitCodes": {"operator": "NotIn", "values": [42]}}
    status, _ = run(counting + fails, {"rules": [rule], "maxAttempts": 1})
    assert (status["state"], status["attempts"], status["failures"], status["interruptions"]) == ("Complete", 2, 0, 1)
    (failed,) = status["failedAttempts"]
    assert (failed["reason"], failed["counts"], failed["exitCode"]) == ("BackendUnreachable", False, 1)
    assert failed["message"] == "the backend has not answered for 120 s"
    assert "BackendUnreachable" in failed["log"], "what it printed is kept too"


def test_an_attempt_that_takes_too_long_is_ended(counting: str) -> None:
    waits = "import time\nsys.stdout.flush()\nif attempt == 1:\n    time.sleep(600)\n"
    rule = {"action": "Retry", "onReasons": ["DeadlineExceeded"]}
    # The second takes no time but that of an interpreter's start.
    status, _ = run(counting + waits, {"rules": [rule], "attemptDeadlineSeconds": 20})
    assert (status["state"], status["attempts"]) == ("Complete", 2)
    (failed,) = status["failedAttempts"]
    assert (failed["reason"], failed["exitCode"], failed["log"]) == ("DeadlineExceeded", 137, "attempt 1")
    assert failed["message"].startswith(
        "the program did not end within retryPolicy.attemptDeadlineSeconds, 20 s: raise"
    )


def test_a_budget_is_that_of_all_attempts_together(counting: str) -> None:
    """Each attempt has a task of 0.20 EUR: there is no second one in 0.35."""
    asks = (
        "from qiskit import QuantumCircuit\nfrom qonverge.client import SamplerV2\n"
        "circuit = QuantumCircuit(1)\ncircuit.h(0)\ncircuit.measure_all()\n"
        "SamplerV2().run([circuit], shots=20).result()\nsys.exit(3)\n"
    )
    spec = {"simulator": {}, "pricing": {"perShot": "0.01", "currency": "EUR"}}
    paid = {"apiVersion": "qonverge.io/v1alpha1", "kind": "QuantumBackend", "metadata": {"name": "paid"}, "spec": spec}
    budget = {"amount": "0.35", "currency": "EUR"}
    before = f"{yaml.safe_dump(paid)}---\n"
    status, _ = run(counting + asks, {"rules": [RETRIES]}, before=before, budget=budget)
    assert (status["attempts"], status["reason"]) == (2, "BudgetExceeded")
    assert "the task costs 0.2 EUR and 0.15 EUR are left" in status["message"]
    assert status["usage"]["cost"] == "0.2 EUR"
