"""Every state of every kind, as kstatus reads it."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.accounting.ledger import Ledger
from qonverge.amounts import Amounts
from qonverge.api import HybridJobStatus, QuantumBackend, QuantumQuota
from qonverge.api.job_status import State as JobState
from qonverge.api.registry import RESOURCES
from qonverge.controller.backends.status import Seen, status_of
from qonverge.controller.kube.refusals import Refusal
from qonverge.controller.objects.pod_troubles import Trouble
from qonverge.controller.store.state import State
from qonverge.controller.watching.unreadable import status_of as status_of_unread
from qonverge.execution.transitions import move
from tests.kstatus import kstatus
from tests.unit.controller.worlds import NOW

JOBS: dict[JobState, str] = {
    "Pending": "InProgress",
    # As a batch/v1 Job that is suspended.
    "Suspended": "InProgress",
    "Placed": "InProgress",
    "Running": "InProgress",
    "Complete": "Current",
    "Failed": "Failed",
}


@pytest.mark.parametrize("state", JOBS)
@pytest.mark.parametrize("before", [None, *JOBS])
def test_jobs(before: JobState | None, state: JobState) -> None:
    status = HybridJobStatus()
    states: list[JobState] = [state] if before is None else [before, state]
    for generation, each in enumerate(states, 1):
        status = move(status, each, reason="R", message="m", now=NOW, generation=generation)
    obj = {"metadata": {"generation": status.observed_generation}, "status": status.to_dict()}
    assert kstatus(obj) == JOBS[state]
    newer = {**obj, "metadata": {"generation": 9}}
    assert kstatus(newer) == "InProgress"


def deployment(*, generation: int = 1, exist: int = 1, updated: int = 1, ready: int = 1, **fields: Any) -> Any:
    status = {"observedGeneration": 1, "replicas": exist, "updatedReplicas": updated, "readyReplicas": ready, **fields}
    return {"generation": generation, "status": status}


LATE = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "it took too long"}]
FULL = [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: pods"}]
PULL = Trouble("ImagePullBackOff", 'Back-off pulling image "nowhere"')
REFUSED = Refusal('Deployment b-qb: the API server answered 422: invalid label "!"', True, NOW, NOW + 1)
OVER = Refusal("Service b-qb: the API server answered 403: exceeded quota: services", False, NOW, NOW + 1)


@pytest.mark.parametrize(
    ("replicas", "seen", "computed", "ready", "says"),
    [
        (1, Seen(), "InProgress", ("False", "Starting"), "0 of 1 pods serve"),
        (1, Seen(deployment(ready=0)), "InProgress", ("False", "Starting"), "0 of 1 pods serve"),
        (1, Seen(deployment(ready=0), trouble=PULL), "InProgress", ("False", "Starting"), "ImagePullBackOff: Back-off"),
        (1, Seen(deployment(ready=0, conditions=LATE)), "Failed", ("False", "Stalled"), "it took too long"),
        (1, Seen(deployment(exist=0, updated=0, ready=0, conditions=FULL)), "Failed", ("False", "Stalled"), "quota"),
        (1, Seen(deployment()), "Current", ("True", "Serving"), "1 of 1 pods serve"),
        (2, Seen(deployment()), "InProgress", ("True", "Serving"), "1 of 2 pods serve"),
        (1, Seen(deployment(), silent=["lab/b"]), "InProgress", ("False", "Unreachable"), "lab/b does not answer"),
        (2, Seen(deployment(exist=2, updated=2, ready=2), silent=["lab/b"]), "Current", ("True", "Serving"), "lab/b"),
        # The Deployment's controller has not seen the new specification.
        (1, Seen(deployment(generation=2)), "InProgress", ("True", "Serving"), "some with the former specification"),
        (1, Seen(deployment(generation=2, conditions=LATE)), "InProgress", ("True", "Serving"), "former"),
        # New pods do not start while old ones serve.
        (1, Seen(deployment(exist=2), trouble=PULL), "InProgress", ("True", "Serving"), "former specification: ImageP"),
        (
            1,
            Seen(deployment(exist=2, conditions=LATE), trouble=PULL),
            "Failed",
            ("True", "Serving"),
            "1 of 1 pods",
        ),
        (0, Seen(deployment(exist=0, updated=0, ready=0)), "Current", ("True", "Stopped"), "spec.replicas is 0"),
        (0, Seen(deployment(ready=0)), "InProgress", ("False", "Stopping"), "spec.replicas is 0"),
        (1, Seen(refusal=REFUSED), "Failed", ("False", "ApplyFailed"), 'invalid label "!"'),
        (1, Seen(refusal=OVER), "InProgress", ("False", "ApplyFailed"), "exceeded quota"),
        (1, Seen(deployment(), refusal=REFUSED), "Failed", ("True", "Serving"), 'invalid label "!"'),
        (0, Seen(refusal=REFUSED), "Failed", ("False", "ApplyFailed"), 'invalid label "!"'),
    ],
)
def test_backends(replicas: int, seen: Seen, computed: str, ready: tuple[str, str], says: str) -> None:
    metadata = {"name": "b", "namespace": "lab", "uid": "u", "generation": 3}
    spec = {"simulator": {}, "replicas": replicas}
    backend = QuantumBackend.model_validate({"metadata": metadata, "spec": spec})
    status = status_of(backend, seen, NOW).to_dict()
    assert kstatus({"metadata": metadata, "status": status}) == computed
    condition = status["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Ready", *ready)
    assert says in condition["message"]


@pytest.mark.parametrize("used", [0, 20])
def test_quotas(used: int) -> None:
    metadata = {"name": "q", "namespace": "lab", "generation": 2}
    quota = QuantumQuota.model_validate({"metadata": metadata, "spec": {"limits": {"shots": 10}}})
    ledger = Ledger()
    ledger.see(quota)
    ledger.settle("u", "lab", Amounts(used), NOW)
    status = ledger.status(quota, NOW).to_dict()
    # That a limit is reached is what a quota is for.
    assert kstatus({"metadata": metadata, "status": status}) == "Current"


@pytest.mark.parametrize("kind", RESOURCES)
def test_what_cannot_be_read_says_so_itself(kind: str) -> None:
    state = State()
    metadata = {"name": "x", "namespace": "lab", "uid": "u", "generation": 4, "resourceVersion": "7"}
    ready = {"type": "Ready", "status": "True", "reason": "R", "lastTransitionTime": "1970-01-01T00:00:00Z"}
    obj: dict[str, Any] = {"metadata": metadata, "spec": {"later": 1}, "status": {"conditions": [ready]}}
    state.observe(kind, obj, deleted=False)
    (unread,) = state.unread.values()
    body = status_of_unread(unread, NOW)
    assert body is not None
    assert kstatus({"metadata": metadata, "status": body}) == "Failed"
    told = {c["type"]: c["message"] for c in body["conditions"]}
    assert told["Ready"] == told["Stalled"]
    assert "this operator may be older than the CustomResourceDefinitions" in told["Stalled"]
    # Once is enough.
    state.observe(kind, {**obj, "metadata": {**metadata, "resourceVersion": "8"}, "status": body}, deleted=False)
    assert status_of_unread(state.unread[f"{kind} lab/x"], NOW + 60) is None
    state.observe(kind, {**obj, "metadata": {**metadata, "resourceVersion": "9"}}, deleted=True)
    assert not state.unread


def test_a_job_that_has_ended_observes_what_changes() -> None:
    state = State()
    status = move(HybridJobStatus(), "Failed", reason="R", message="m", now=NOW, generation=1).to_dict()
    metadata = {"name": "x", "namespace": "lab", "uid": "u", "generation": 1, "resourceVersion": "7"}
    state.observe("HybridJob", {"metadata": metadata, "spec": {}, "status": status}, deleted=False)
    (before,) = state.finished.values()
    assert before.observed is None
    newer = {**metadata, "generation": 2, "resourceVersion": "8"}
    state.observe("HybridJob", {"metadata": newer, "spec": {"suspend": True}, "status": status}, deleted=False)
    (after,) = state.finished.values()
    observed = after.observed
    assert observed is not None
    assert kstatus({"metadata": newer, "status": {**status, **observed}}) == "Failed"
    assert {c["observedGeneration"] for c in observed["conditions"]} == {2}
    assert [c["type"] for c in observed["conditions"]] == [c["type"] for c in status["conditions"]]
