"""Parallel programs against a real API server and its Job controller: ranks on two backends, and one that fails.

No kubelet runs here: the test says of the pods what one would say.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from e2e.cluster.control_plane import ControlPlane
from tests.integration.conftest import Lab, backend, eventually, job, running_plane
from tests.integration.test_tokens import code, send

RANKS = 4
INDEX = "batch.kubernetes.io/job-completion-index"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server whose Jobs get pods."""
    with running_plane(tmp_path_factory.mktemp("plane"), "job-controller") as plane:
        yield plane


@pytest.fixture
def two(lab: Lab) -> Lab:
    """A lab with an operator and two backends, each with a pod that serves."""
    lab.apply(backend("one"), backend("two"))
    lab.start_operator()
    lab.ready()
    for name in ("one", "two"):
        lab.serve(name, f"{name}-0")
    return lab


def parallel(name: str, **spec: Any) -> dict[str, Any]:
    program = {"python": {"source": "pass"}, "parallelism": RANKS, "ranksPerBackend": 2}
    made = job(name, program=program, **spec)
    del made["spec"]["shots"]
    return made


def status(lab: Lab, name: str) -> dict[str, Any]:
    found: dict[str, Any] = lab.get("hj", name).get("status", {})
    return found


def placed(lab: Lab, name: str) -> dict[str, Any]:
    def there() -> dict[str, Any] | None:
        found = status(lab, name)
        return found if found.get("state") == "Placed" else None

    found: dict[str, Any] = eventually(there, f"a place for {name}")
    return found


def attempt(lab: Lab, name: str) -> str:
    return f"{name}-{lab.get('hj', name)['metadata']['uid'][:5]}-1"


def pods(lab: Lab, name: str) -> dict[int, dict[str, Any]]:
    """Return the pods that the Job controller made of an attempt, by rank, once all are there."""

    def made() -> dict[int, dict[str, Any]] | None:
        labelled = [
            pod
            for pod in lab.list("pod", "default")
            if (pod["metadata"].get("labels") or {}).get("batch.kubernetes.io/job-name") == attempt(lab, name)
        ]
        found = {int(pod["metadata"]["annotations"][INDEX]): pod for pod in labelled}
        return found if len(found) == RANKS else None

    found: dict[int, dict[str, Any]] = eventually(made, f"the pods of {name}")
    return found


def say(lab: Lab, pod: dict[str, Any], phase: str, exit_code: int | None = None) -> None:
    """Do what a kubelet does: say how a pod is."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    state: dict[str, Any] = {"running": {"startedAt": now}}
    if exit_code is not None:
        state = {"terminated": {"exitCode": exit_code, "reason": "Error", "startedAt": now, "finishedAt": now}}
    container = {"name": "program", "state": state, "ready": False, "restartCount": 0, "image": "i", "imageID": "i"}
    known = {"phase": phase, "startTime": now, "containerStatuses": [container]}
    lab.patch("pod", pod["metadata"]["name"], {"status": known}, "status")


def tokens(lab: Lab, name: str) -> list[str]:
    data = lab.get("secret", attempt(lab, name))["data"]
    return [base64.b64decode(data[key]).decode() for key in ("token", "token-1")]


def test_ranks_call_backends_of_their_own_and_all_is_metered(two: Lab) -> None:
    two.apply(parallel("qnn", budget={"amount": "5"}))
    found = placed(two, "qnn")
    first, second = found["backends"]
    assert {first, second} == {"one", "two"}
    assert found["backend"] == first
    assert f"; its ranks are spread over {first}, {second}" in found["placement"]
    batch = two.get("job", attempt(two, "qnn"))
    assert (batch["spec"]["completionMode"], batch["spec"]["parallelism"]) == ("Indexed", RANKS)
    made = pods(two, "qnn")
    name = batch["metadata"]["name"]
    assert [made[rank]["spec"]["hostname"] for rank in range(RANKS)] == [f"{name}-{rank}" for rank in range(RANKS)]
    (service,) = [each for each in two.list("service", "default") if each["metadata"]["name"].startswith("ranks-")]
    assert {made[rank]["spec"]["subdomain"] for rank in made} == {service["metadata"]["name"]}
    (policy,) = two.list("networkpolicy", "default")
    assert policy["spec"]["podSelector"]["matchLabels"] == service["spec"]["selector"]
    for rank in range(RANKS - 1):
        say(two, made[rank], "Running")
    assert status(two, "qnn")["state"] == "Placed"
    say(two, made[RANKS - 1], "Running")
    eventually(lambda: status(two, "qnn")["state"] == "Running", "the start of the last rank")
    # Each token opens the backend of its ranks, and no other.
    own = dict(zip((first, second), tokens(two, "qnn"), strict=True))
    ports = {each: two.port(f"{each}-0") for each in own}
    for each, token in own.items():
        assert code(send(ports[each], token, f"bell-{each}")) == "Completed"
        other = second if each == first else first
        assert send(ports[other], token, f"stolen-{each}")[0] == 401
    for pod in made.values():
        say(two, pod, "Succeeded", 0)
    ended = two.ended("qnn")
    assert (ended["state"], ended["message"]) == ("Complete", f"completed on {first}, {second}")
    assert ended["usage"]["shots"] == 20
    for each, token in own.items():
        eventually(partial(_is_over, ports[each], token), f"the end of the token for {each}")


def _is_over(port: int, token: str) -> bool:
    return code(send(port, token, "late")) == "AccessEnded"


def test_a_rank_that_fails_ends_the_job_and_is_named(two: Lab) -> None:
    two.apply(parallel("fails"))
    placed(two, "fails")
    made = pods(two, "fails")
    for pod in made.values():
        say(two, pod, "Running")
    eventually(lambda: status(two, "fails")["state"] == "Running", "the start of all ranks")
    say(two, made[2], "Failed", 3)
    ended = two.ended("fails")
    assert (ended["state"], ended["reason"], ended["exitCode"]) == ("Failed", "ProgramFailed", 3)
    assert ended["message"] == "rank 2 of 4 ended with exit code 3; its last lines are in status.log"
    assert ended["pod"] == made[2]["metadata"]["name"]


def test_a_job_waits_until_there_are_backends_for_all_of_its_ranks(lab: Lab) -> None:
    lab.apply(backend("one"))
    lab.start_operator()
    lab.ready()
    lab.serve("one", "one-0")
    lab.apply(parallel("waits"))
    why = "its ranks call 2 different backends and 1 of 1 can take it"
    eventually(lambda: status(lab, "waits").get("message") == why, "the reason why it waits")
    lab.apply(backend("two"))
    lab.serve("two", "two-0")
    assert set(placed(lab, "waits")["backends"]) == {"one", "two"}
