"""How a program's pod ended, in Kubernetes' words and in ours."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.controller.objects.pod_ends import PodEnd, of_pod

RESOURCES = "program.python.resources"
TIMES = {"startedAt": "2026-01-31T12:00:00Z", "finishedAt": "2026-01-31T12:01:00Z"}


def pod(code: int | None = None, reason: str = "Error", message: str = "", **status: Any) -> dict[str, Any]:
    terminated = {"exitCode": code, "reason": reason, "message": message, **TIMES}
    own = {"name": "program", "state": {} if code is None else {"terminated": terminated}}
    return {"name": "p", "node": "worker-1", "phase": "Failed", "containerStatuses": [own], **status}


def disrupted(reason: str, message: str = "") -> list[dict[str, Any]]:
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}]


def ended(found: dict[str, Any] | None) -> tuple[str, int | None, str]:
    end = of_pod(found, RESOURCES)
    return end.reason, end.exit_code, end.message


@pytest.mark.parametrize(
    ("code", "reason", "says"),
    [
        (42, "ProgramFailed", "the program ended with exit code 42"),
        (139, "ProgramFailed", "the program was ended by the signal SIGSEGV (exit code 139)"),
        (134, "ProgramFailed", "the program was ended by the signal SIGABRT (exit code 134)"),
        (255, "ProgramFailed", "the program ended with exit code 255"),
    ],
)
def test_an_exit_code_is_the_program_s_own(code: int, reason: str, says: str) -> None:
    end = of_pod(pod(code), RESOURCES)
    assert end == PodEnd(reason, says, code, TIMES["startedAt"], TIMES["finishedAt"], printed=True)


def test_memory_is_told_with_its_limit_and_what_to_raise() -> None:
    assert ended(pod(137, "OOMKilled", memoryLimit="2Gi")) == (
        "OOMKilled",
        137,
        "the program used more memory than its limit of 2Gi: raise program.python.resources.limits.memory",
    )
    assert "more memory than the node has" in ended(pod(137, "OOMKilled"))[2]
    reason, _, message = ended(pod(137))
    assert reason == "ProgramFailed"
    assert message.startswith("the program was killed (exit code 137): not for its memory limit")


def test_what_the_client_leaves_is_the_reason() -> None:
    assert ended(pod(1, message="BackendUnreachable: the backend at http://aer has not answered for 120 s")) == (
        "BackendUnreachable",
        1,
        "the backend at http://aer has not answered for 120 s",
    )
    assert ended(pod(1, message="WorkerLost: gone"))[0] == "WorkerLost"
    assert ended(pod(1, message="Evicted: so it says"))[0] == "ProgramFailed", "only what is about backends"


@pytest.mark.parametrize(
    ("condition", "said", "reason", "message"),
    [
        (
            "TerminationByKubelet",
            {"reason": "Evicted", "message": "The node was low on resource: memory. "},
            "Evicted",
            "the program's pod was evicted from worker-1: The node was low on resource: memory; where it used more "
            "than it requests, raise program.python.resources.requests",
        ),
        ("EvictionByEvictionAPI", {}, "Evicted", "the program's pod was evicted from worker-1: because"),
        (
            "PreemptionByScheduler",
            {},
            "Preempted",
            "the program's pod made room for a pod of higher priority: because",
        ),
        ("DeletionByTaintManager", {}, "NodeLost", "the node of the program's pod was lost: because"),
        ("DeletionByPodGC", {}, "NodeLost", "the node of the program's pod was lost: because"),
        (
            "TerminationByKubelet",
            {"reason": "Terminated", "message": "Pod was terminated in response to imminent node shutdown."},
            "NodeShutdown",
            "the node of the program's pod was shut down: Pod was terminated in response to imminent node shutdown",
        ),
        ("SomethingNew", {}, "PodLost", "the program's pod was lost: because"),
    ],
)
def test_a_disruption_is_not_the_program_s(condition: str, said: dict[str, str], reason: str, message: str) -> None:
    """Whatever exit code the program had when it was asked to end."""
    found = {**pod(143, conditions=disrupted(condition, "because")), **said}
    assert ended(found) == (reason, 143, message)


def test_a_kubelet_that_says_no_condition_is_understood_too() -> None:
    assert ended({**pod(), "reason": "Evicted"})[0] == "Evicted"


def test_an_attempt_that_took_too_long_says_which_limit() -> None:
    late = {**pod(137), "reason": "DeadlineExceeded", "message": "Pod was active on the node longer than its deadline"}
    reason, code, message = ended(late)
    assert (reason, code) == ("DeadlineExceeded", 137)
    assert message.startswith("the program did not end within retryPolicy.attemptDeadlineSeconds: raise it")


def test_what_somebody_deleted_or_nobody_knows_is_lost() -> None:
    assert ended(None) == ("PodLost", None, "the program's pod was lost")
    assert ended(pod(1, endsBy="2026-01-31T12:00:30Z"))[:2] == ("PodLost", 1)
    refused = {**pod(), "reason": "OutOfcpu", "message": "Node didn't have enough resource: cpu"}
    assert ended(refused) == (
        "PodLost",
        None,
        "the program's pod was lost: OutOfcpu: Node didn't have enough resource: cpu",
    )


def test_only_the_program_s_own_container_counts() -> None:
    """A service mesh puts another one beside it, which ends after the program."""
    mesh = {"name": "proxy", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    both = pod(42)
    assert ended({**both, "containerStatuses": [mesh, *both["containerStatuses"]]})[:2] == ("ProgramFailed", 42)
