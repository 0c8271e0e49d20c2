"""Programs that end badly: each says why, and nothing else is harmed."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest

from e2e.workspace import Workspace, circuit, operator_pods, program, restarts

_PROGRAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "exits": (
        """
        import sys
        for number in range(30):
            print("line", number)
        sys.exit(3)
        """,
        {},
    ),
    "raises": (
        """
        def divide(number):
            return number / 0
        print(divide(1))
        """,
        {},
    ),
    "grows": (
        """
        kept = []
        print("so far so good")
        while True:
            kept.append(bytearray(b"1" * 2**20))
        """,
        {"resources": {"limits": {"memory": "256Mi"}}},
    ),
    "prints-lines": (
        """
        import sys
        for number in range(1_000_000):
            print("x" * 99)
        print("that was all")
        sys.exit(4)
        """,
        {},
    ),
    "prints-one-line": (
        """
        import sys
        for number in range(100):
            print("x" * 1_000_000, end="")
        print(" that was all")
        sys.exit(5)
        """,
        {},
    ),
    "returns-much": (
        """
        from qonverge.client import result
        result(["x" * 90] * 21000)
        """,
        {},
    ),
}


@pytest.fixture(scope="module")
def ended(shared: Workspace) -> dict[str, dict[str, Any]]:
    """Return how each of the programs ended, which run as slots of the backend are free: each gives its own back."""
    before = restarts(shared.backend_pods()), restarts(operator_pods(shared.cluster))
    shared.apply(*(program(name, dedent(source), **spec) for name, (source, spec) in _PROGRAMS.items()))
    statuses = {name: shared.ended(name) for name in _PROGRAMS}
    shared.apply(circuit("afterwards"))
    statuses["afterwards"] = shared.ended("afterwards")
    assert (restarts(shared.backend_pods()), restarts(operator_pods(shared.cluster))) == before
    return statuses


@pytest.mark.parametrize(
    ("name", "reason", "code", "last"),
    [
        ("exits", "ProgramFailed", 3, "\n".join(f"line {number}" for number in range(10, 30))),
        ("raises", "ProgramFailed", 1, "ZeroDivisionError: division by zero"),
        ("grows", "OOMKilled", 137, "so far so good"),
        ("prints-lines", "ProgramFailed", 4, "x" * 99 + "\nthat was all"),
        ("prints-one-line", "ProgramFailed", 5, "x" * 99 + " that was all"),
        (
            "returns-much",
            "ResultTooLarge",
            1,
            "give the installation a store (output.stores of the chart)",
        ),
    ],
)
def test_a_program_fails_with_the_true_reason(
    ended: dict[str, dict[str, Any]], name: str, reason: str, code: int, last: str
) -> None:
    status = ended[name]
    assert (status["state"], status["reason"], status["exitCode"]) == ("Failed", reason, code), status
    assert status["log"].endswith(last)
    assert len(status["log"]) <= 8192
    # Its own failure is nothing that another attempt could mend.
    assert status["attempts"] == 1


def test_the_reason_has_the_numbers(ended: dict[str, dict[str, Any]]) -> None:
    assert "exit code 3" in ended["exits"]["message"]
    assert "its limit of 256Mi" in ended["grows"]["message"]
    assert "takes 1953011 bytes as JSON and the job's status has room for 600000" in ended["returns-much"]["message"]


def test_a_traceback_shows_the_program_alone(ended: dict[str, dict[str, Any]]) -> None:
    log = ended["raises"]["log"]
    assert "line 3, in divide" in log
    assert "runpy" not in log


def test_other_jobs_complete_afterwards(ended: dict[str, dict[str, Any]]) -> None:
    assert ended["afterwards"]["state"] == "Complete"
