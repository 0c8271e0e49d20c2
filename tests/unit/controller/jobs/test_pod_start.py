"""A program whose pod does not start: what is said of it, and when it ends."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from qonverge.controller.jobs.actions import Action, Requeue, SetStatus, Warn
from qonverge.controller.jobs.decisions import decide as decided
from qonverge.controller.jobs.kinds.pod_actions import Finish, Launch, ReadEvents, TryAgain
from qonverge.controller.jobs.view import View
from qonverge.controller.kube.client import KubeError
from qonverge.controller.kube.refusals import Refusal
from qonverge.controller.objects import pod_troubles
from qonverge.controller.objects.pod_troubles import Trouble
from tests.kstatus import kstatus
from tests.unit.controller.jobs.test_decisions import AER, CREATED, job, planned, program, source, view, written


def decide(given: View) -> list[Action]:
    """Return what is decided, but for the renewal of the token."""
    if given.flight is not None:
        given.flight.renew(math.inf)
    return [action for action in decided(given) if action != Requeue(math.inf)]


BATCH = {"owner": "default/j", "uid": "batch-uid"}
BOUND = {"type": "PodScheduled", "status": "True"}
UNBOUND = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}


def placed(**fields: Any) -> Any:
    return program("Placed", reason="Placed", observedGeneration=1, placement="aer is the only candidate", **fields)


def pod(*conditions: dict[str, Any], **container: Any) -> dict[str, Any]:
    statuses = {"containerStatuses": [{"name": "program", **container}]} if container else {}
    return {"name": "j-1", "uid": "pod-uid", "phase": "Pending", "conditions": list(conditions), **statuses}


def waiting(reason: str, message: str = "m") -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (pod(UNBOUND), "Unschedulable: 0/3 nodes are available"),
        (pod(BOUND, **waiting("ErrImagePull", "not found")), "ImagePullBackOff: not found"),
        (pod(BOUND, **waiting("ImagePullBackOff")), "ImagePullBackOff: m"),
        (
            pod(BOUND, **waiting("CreateContainerConfigError", 'secret "s" not found')),
            'ConfigError: secret "s" not found',
        ),
        (pod(BOUND, **waiting("InvalidImageName", "couldn't parse")), "InvalidImageName: couldn't parse"),
        (
            pod(BOUND, **waiting("CrashLoopBackOff", "back-off 10s"), lastState={"terminated": {"message": "a\nb\n"}}),
            "CrashLoopBackOff: b",
        ),
        ({"initContainerStatuses": [waiting("ImagePullBackOff", "mesh")]}, "ImagePullBackOff: mesh"),
        (
            {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "no GPU"},
            "AdmissionError: no GPU",
        ),
        (pod(BOUND, **waiting("ContainerCreating", "")), "None"),
        (pod(BOUND), "None"),
        ({}, "None"),
    ],
)
def test_a_pod_says_itself_what_keeps_it(there: dict[str, Any], expected: str) -> None:
    assert expected in str(pod_troubles.of_pod(there))


def event(version: int, kind: str, reason: str, **fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"resourceVersion": str(version)},
        "type": kind,
        "reason": reason,
        "message": "what happened",
        **fields,
    }


def test_the_last_event_counts() -> None:
    assert pod_troubles.of_events([]) is None
    quota = event(5, "Warning", "FailedCreate", lastTimestamp="2026-01-01T00:00:05Z")
    old = event(9, "Normal", "Scheduled", eventTime="2026-01-01T00:00:04.000000Z")
    assert pod_troubles.of_events([quota, old]) == Trouble("FailedCreate", "what happened")
    again = event(2, "Warning", "FailedScheduling", series={"lastObservedTime": "2026-01-01T00:00:06.000000Z"})
    assert str(pod_troubles.of_events([again, quota, old])).startswith("FailedScheduling")
    # Once things go on, what was before is no trouble.
    on = event(7, "Normal", "Pulling", lastTimestamp="2026-01-01T00:00:06Z")
    assert pod_troubles.of_events([again, on]) is None


def test_what_keeps_a_pod_is_said_once_and_taken_back() -> None:
    stuck = view(placed(), source(), batch=BATCH, pod=pod(UNBOUND), after=1)
    set_status, warn, again = decide(stuck)
    assert isinstance(set_status, SetStatus)
    status = set_status.status
    assert (status.state, status.reason, status.pod) == ("Placed", "PodPending", "j-1")
    assert status.message == "the pod j-1 has not started: Unschedulable: 0/3 nodes are available"
    assert kstatus({"metadata": {"generation": 1}, "status": status.to_dict()}) == "InProgress"
    assert warn == Warn("Unschedulable", status.message)
    assert again == Requeue(CREATED + 900)
    told = replace(stuck, job=job(status.to_dict(), python=True))
    assert decide(told) == [again]
    other = {**UNBOUND, "message": "0/4 nodes are available"}
    assert decide(replace(told, pods=(pod(other),))) == [again]
    bound = decide(replace(told, pods=(pod(BOUND),)))
    assert (written(bound).reason, written(bound).message) == ("Placed", "aer is the only candidate")
    running = decide(replace(told, pods=({**pod(BOUND), "phase": "Running"},)))
    assert (written(running).state, written(running).pod) == ("Running", "j-1")


def test_one_reason_is_told_once_and_its_words_now_and_then() -> None:
    flight = source()
    stuck = view(placed(), flight, batch=BATCH, pod=pod(BOUND, **waiting("ErrImagePull", "rpc error")), after=1)
    first = written(decide(stuck))
    told = job(first.to_dict(), python=True)
    flight.record_write(CREATED + 1)
    later = replace(stuck, job=told, pods=(pod(BOUND, **waiting("ImagePullBackOff", "Back-off")),), now=CREATED + 2)
    assert decide(later) == [Requeue(CREATED + 900), Requeue(CREATED + 31)]
    at_last = decide(replace(later, now=CREATED + 31))
    assert (written(at_last).message or "").endswith("ImagePullBackOff: Back-off")
    assert not any(isinstance(action, Warn) for action in at_last)
    other = decide(replace(later, pods=(pod(UNBOUND),)))
    assert Warn("Unschedulable", written(other).message or "") in other


def test_events_are_read_less_and_less_often() -> None:
    quiet = source()
    assert decide(view(placed(), quiet, batch=BATCH, after=2)) == [Requeue(CREATED + 5)]
    assert decide(view(placed(), quiet, batch=BATCH, after=3)) == [ReadEvents(BATCH), Requeue(CREATED + 6)]
    quiet.read_events(CREATED + 3)
    quiet.record_trouble(Trouble("FailedCreate", "exceeded quota: pods"))
    status, warn, again = decide(view(placed(), quiet, batch=BATCH, after=4))
    assert isinstance(status, SetStatus)
    assert status.status.message == "the program's pod was not created: FailedCreate: exceeded quota: pods"
    assert isinstance(warn, Warn)
    assert again == Requeue(CREATED + 7)
    quiet.read_events(CREATED + 40)
    there = pod(BOUND, **waiting("ContainerCreating"))
    assert decide(view(placed(), quiet, batch=BATCH, pod=there, after=79))[-1] == Requeue(CREATED + 82)
    assert ReadEvents(there) in decide(view(placed(), quiet, batch=BATCH, pod=there, after=80))


def test_a_deadline_ends_what_does_not_start() -> None:
    limited = job(placed().status.to_dict(), python=True, startDeadlineSeconds=60)
    stuck = view(limited, source(), batch=BATCH, pod=pod(UNBOUND), after=60)
    (finish,) = decide(stuck)
    assert isinstance(finish, Finish)
    status = finish.status
    assert (status.state, status.reason) == ("Failed", "StartDeadlineExceeded")
    assert status.message == (
        "the pod j-1 has not started within startDeadlineSeconds, 60 s: Unschedulable: 0/3 nodes are available"
    )
    assert finish.remove


def test_where_a_pod_had_a_node_another_attempt_may_help() -> None:
    pulls = pod(BOUND, **waiting("ImagePullBackOff"))
    stuck = view(placed(), planned(placed(), source(), AER), batch=BATCH, pod=pulls, after=900)
    again, warn, _ = decide(stuck)
    assert isinstance(again, TryAgain)
    assert (again.status.failures, again.remove) == (1, True)
    assert isinstance(warn, Warn)
    assert warn.reason == "StartDeadlineExceeded"
    last = job({**placed().status.to_dict(), "attempts": 3, "failures": 2}, python=True)
    (ended,) = decide(replace(stuck, job=last))
    assert isinstance(ended, Finish)
    assert ended.status.reason == "StartDeadlineExceeded"
    assert (ended.status.message or "").startswith("after 3 attempts: the pod j-1 has not started")
    assert ended.remove


OBJ = {"kind": "Job", "metadata": {"name": "j-1"}}


def test_what_is_refused_is_tried_again_less_and_less_often() -> None:
    waits, now, refusal = [], 0.0, None
    for _ in range(9):
        refusal = Refusal.of(KubeError(403, "exceeded quota"), OBJ, refusal, now)
        waits.append(refusal.again_at - now)
        now = refusal.again_at
    assert waits == [1, 1, 2, 4, 8, 16, 32, 60, 60]
    assert refusal is not None
    assert refusal.message == "Job j-1: the API server answered 403: exceeded quota"


@pytest.mark.parametrize("status", [0, 409, 429, 500, 503])
def test_what_refused_nothing_is_no_refusal(status: int) -> None:
    with pytest.raises(KubeError):
        Refusal.of(KubeError(status, "later"), OBJ, None, 0.0)


def test_a_job_says_what_the_api_server_refused() -> None:
    asked = planned(job(python=True), source(), AER)
    asked.refuse(Refusal.of(KubeError(403, "exceeded quota: secrets"), OBJ, None, CREATED + 3))
    status, again = decide(view(job(python=True), asked, after=3.5))
    assert isinstance(status, SetStatus)
    assert (status.status.state, status.status.reason) == ("Pending", "ApplyFailed")
    assert status.status.message == "Job j-1: the API server answered 403: exceeded quota: secrets"
    assert again == Requeue(CREATED + 4)
    # Its slot was another's meanwhile, so that a round decides again.
    assert decide(view(job(python=True), asked, after=4)) == []
    again_placed = planned(job(python=True), source(), AER)
    again_placed.refusal = asked.refusal
    assert isinstance(decide(view(job(python=True), again_placed, after=4))[-1], Launch)
    late = decide(view(job(python=True), asked, after=3 + 900))
    assert written(late).reason == "StartDeadlineExceeded"
    asked.refuse(Refusal.of(KubeError(422, 'invalid: "!"'), OBJ, None, CREATED))
    never = written(decide(view(job(python=True), asked, after=1)))
    assert (never.state, never.reason) == ("Failed", "ApplyFailed")
    assert kstatus({"metadata": {"generation": 1}, "status": never.to_dict()}) == "Failed"
