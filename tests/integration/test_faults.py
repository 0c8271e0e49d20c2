"""What goes wrong around the operator, done to the real thing."""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from qonverge.controller.kube.lease import LABEL
from qonverge.controller.watching.watches import WATCHED
from tests.integration.conftest import SLOW, SOME_SECONDS, TWO_WORKERS, Lab, backend, eventually, job
from tests.integration.faulty_proxy import faulty_proxy


@pytest.fixture
def size() -> dict[str, Any]:
    """Places are taken over by others."""
    return TWO_WORKERS


def running_tasks(lab: Lab) -> int:
    value: int = lab.get("qb", "aer")["status"].get("running", 0)
    return value


def complete(lab: Lab) -> int:
    return sum(1 for obj in lab.list("hj") if obj.get("status", {}).get("state") == "Complete")


def test_a_deleted_job_frees_its_worker(served: Lab) -> None:
    served.apply(job("slow", SLOW))
    eventually(lambda: running_tasks(served) == 1, "a running task")
    served.kubectl("delete", "hj", "slow")
    eventually(lambda: running_tasks(served) == 0, "the end of the task")
    served.apply(*(job(f"next-{n}", SOME_SECONDS, shots=10) for n in range(2)))
    # Both workers are there again.
    eventually(lambda: running_tasks(served) == 2, "two running tasks")
    assert [served.ended(f"next-{n}")["state"] for n in range(2)] == ["Complete", "Complete"]


def test_a_lost_pod_costs_an_attempt(served: Lab) -> None:
    served.apply(job("some", SOME_SECONDS, shots=10))
    eventually(lambda: served.status("some").get("state") == "Running", "the start of the job")
    served.kill_pod("pod-0")
    served.serve("aer", "pod-1")
    ended = served.ended("some")
    assert ended["state"] == "Complete"
    assert ended["attempts"] == 2


def test_a_pod_that_is_silent_for_a_moment_is_used_again(served: Lab) -> None:
    """Nothing in Kubernetes changes here: the pod stays ready all the time."""
    served.pods["pod-0"].kill()
    served.pods["pod-0"].wait()
    served.apply(job("early"))
    message = eventually(lambda: served.status("early").get("message"), "a reason to wait")
    assert "default/pod-0 does not answer" in message
    served.start_server("pod-0")
    assert served.ended("early")["state"] == "Complete"


def test_the_operator_is_killed_with_jobs_in_every_stage(served: Lab) -> None:
    names = [f"job-{n}" for n in range(200)]
    with watched(served) as seen:
        served.apply(job("some", SOME_SECONDS, shots=10))
        eventually(lambda: served.status("some").get("state") == "Running", "a job that runs")
        served.apply(*(job(name) for name in names[:150]))
        eventually(lambda: complete(served) >= 20, "20 ends")
        served.stop_operator(9)
        before = complete(served)
        served.apply(*(job(name) for name in names[150:-1]))
        served.start_operator()
        eventually(lambda: complete(served) == 200, "200 ends")
        # A last one, whose end the watch shows after all others.
        served.apply(job(names[-1]))
        served.ended(names[-1])
        eventually(
            lambda: any(obj["metadata"]["name"] == names[-1] and ended(obj) for obj in list(seen)), "the last end"
        )
    assert before < 151, "all had ended before the operator was killed"
    ends = defaultdict(set)
    for obj in seen:
        if ended(obj):
            ends[obj["metadata"]["name"]].add(obj["metadata"]["resourceVersion"])
    assert len(ends) == 201
    twice = {name: versions for name, versions in ends.items() if len(versions) > 1}
    assert not twice
    for obj in served.list("hj"):
        assert sum(obj["status"]["result"]["counts"].values()) == obj["spec"]["shots"]


def ended(obj: dict[str, Any]) -> bool:
    return bool(obj.get("status", {}).get("state") == "Complete")


@contextmanager
def watched(lab: Lab) -> Iterator[list[dict[str, Any]]]:
    """Collect each version of each job that a watch shows.

    The API server ends the watch of a reader that a busy machine makes slow; it goes on from the last version seen.
    """
    path = "/apis/qonverge.io/v1alpha1/namespaces/default/hybridjobs"
    seen: list[dict[str, Any]] = []
    over = threading.Event()
    version = json.loads(lab.kubectl("get", "--raw", path))["metadata"]["resourceVersion"]

    def follow(version: str) -> None:
        while not over.is_set():
            query = f"{path}?watch=1&resourceVersion={version}&timeoutSeconds=5"
            for line in lab.kubectl("get", "--raw", query).splitlines():
                event = json.loads(line)
                assert event["type"] != "ERROR", event
                seen.append(event["object"])
                version = event["object"]["metadata"]["resourceVersion"]

    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(follow, version)
        try:
            yield seen
        finally:
            over.set()
    following.result()


@pytest.mark.parametrize("fault", ["killed", "paused"])
def test_an_api_server_that_goes_away(served: Lab, fault: str) -> None:
    """Killed it refuses connections; paused it takes requests and never answers."""
    served.apply(job("some", SOME_SECONDS, shots=10))
    eventually(lambda: served.status("some").get("state") == "Running", "the start of the job")
    if fault == "killed":
        served.plane.kill_api_server()
    else:
        served.plane.pause_api_server()
    status, text = eventually(lambda: (answer := served.readiness())[0] == 503 and answer, "unreadiness")
    assert status == 503
    assert text == "the API server does not answer\n"
    assert served.operator is not None
    # The outage that it must survive; the job ends meanwhile and its result has to wait.
    time.sleep(100 if fault == "killed" else 20)
    assert served.operator.poll() is None
    if fault == "killed":
        served.plane.start_api_server()
    else:
        served.plane.resume_api_server()
    served.ready()
    ended = served.ended("some")
    assert (ended["state"], ended["attempts"]) == ("Complete", 1)
    served.apply(job("after"))
    assert served.ended("after")["state"] == "Complete"


def test_an_operator_that_renews_its_lease_late_looks_at_what_came_meanwhile(lab: Lab) -> None:
    """As where its node or the API server is too busy. It must not act then, and nobody else did."""
    lab.start_operator(QONVERGE_LEASE_SECONDS="2")
    lab.apply(job("before"))
    eventually(lambda: "message" in lab.status("before"), "a look at the first job")
    assert lab.operator is not None

    def lapsed() -> bool:
        (lease,) = (each for each in lab.list("lease", "kube-system") if LABEL in each["metadata"].get("labels", {}))
        return (datetime.now(UTC) - datetime.fromisoformat(lease["spec"]["renewTime"])).total_seconds() > 2

    lab.operator.send_signal(signal.SIGSTOP)
    try:
        lab.apply(job("meanwhile"))
        eventually(lapsed, "the end of the lease")
    finally:
        lab.operator.send_signal(signal.SIGCONT)
    eventually(lambda: "message" in lab.status("meanwhile"), "a look at the second job")
    lab.stop_operator()


@pytest.mark.parametrize(("code", "reason"), [(410, "Expired"), (500, "InternalError")])
def test_a_watch_that_breaks(lab: Lab, code: int, reason: str) -> None:
    """With an error inside the stream. What happened before it is open again is not shown by any watch."""
    with faulty_proxy(lab.plane, lab.folder) as (proxy, kubeconfig):
        lab.apply(backend("aer"))
        lab.start_operator(kubeconfig)
        lab.ready()
        lab.serve("aer")
        lab.apply(job("slow", SLOW), job("before"))
        eventually(lambda: running_tasks(lab) == 1, "a running task")
        lab.ended("before")
        watched = proxy.watched
        assert proxy.breaks(code, reason) == len(WATCHED)
        lab.kubectl("delete", "hj", "slow")
        lab.apply(job("unseen"))
        proxy.lets_in()
        assert lab.ended("unseen", 180)["state"] == "Complete"
        eventually(lambda: running_tasks(lab) == 0, "the end of the deleted job's task")
        assert proxy.watched > watched
        lab.apply(job("after"))
        assert lab.ended("after")["state"] == "Complete"
        lab.ready()
        lab.stop_operator()


def test_a_watch_that_stays_open_and_silent(lab: Lab) -> None:
    with faulty_proxy(lab.plane, lab.folder) as (proxy, kubeconfig):
        lab.apply(backend("aer"))
        lab.start_operator(kubeconfig)
        lab.ready()
        lab.serve("aer")
        lab.apply(job("before"))
        lab.ended("before")
        watched = proxy.watched
        assert proxy.silences() == len(WATCHED)
        lab.apply(job("unseen"))
        # The next comparison finds it within a minute, and is believed when another one has not changed its mind.
        assert lab.ended("unseen", 180)["state"] == "Complete"
        assert proxy.watched >= watched + 5
        lab.ready()
        lab.apply(job("after"))
        assert lab.ended("after")["state"] == "Complete"
        lab.stop_operator()


def test_what_vanished_while_the_operator_was_down(served: Lab) -> None:
    served.apply(job("slow", SLOW))
    eventually(lambda: running_tasks(served) == 1, "a running task")
    served.stop_operator(9)
    served.kubectl("delete", "hj", "slow")
    served.start_operator()
    served.ready()
    # Nobody waits for the task any more, and its worker is free.
    eventually(lambda: running_tasks(served) == 0, "the end of the deleted job's task")
    served.apply(job("next"))
    assert served.ended("next")["state"] == "Complete"
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{served.health}/metrics", timeout=60).read().decode()
    assert "qonverge_operator_jobs_in_flight 0.0" in metrics
