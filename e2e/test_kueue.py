"""Programs in a queue of a real Kueue. ``make test-ecosystem``: alone, since its webhooks see every pod."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import pytest

from e2e.cluster.access import ClusterAccess
from e2e.kueue import API, queues, running_kueue
from e2e.workspace import Workspace, backend, eventually, program

pytestmark = pytest.mark.ecosystem

_SELECTOR = {"kubernetes.io/os": "linux"}
#: Of the queue's quota, and what each rank of a program takes of it.
_QUOTA, _RANK = "400m", "200m"
#: Runs until the ConfigMap says otherwise when its pod starts.
_HELD = dedent(
    """
    import os, time
    from qonverge.client import result

    while os.environ["HOLD"] == "yes":
        time.sleep(1)
    result("done")
    """
)


@pytest.fixture(scope="module", autouse=True)
def kueue(cluster: ClusterAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kueue for the module's tests."""
    with running_kueue(cluster, tmp_path_factory.mktemp("kueue")):
        yield


@pytest.fixture
def lab(workspace: Workspace) -> Iterator[Workspace]:
    """A namespace with a queue for two ranks and a backend with three slots for programs, both its own."""
    name = workspace.namespace
    made = queues(name, name, cpu=_QUOTA, selector=_SELECTOR)
    workspace.cluster.apply(*made, namespace=name)
    # Of the node's CPUs, most are for the programs.
    template = {"resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "2Gi"}}}
    workspace.apply(backend("own", capacity={"concurrency": 1, "programs": 3}, template=template), _hold("yes"))
    workspace.wait("--for=condition=Ready", "quantumbackend/own")
    yield workspace
    workspace.kubectl("delete", "hybridjobs,jobs", "--all")
    for kind in ("localqueue", "clusterqueue", "resourceflavor"):
        workspace.kubectl("delete", f"{kind}.kueue.x-k8s.io", name)


def _hold(value: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hold"}, "data": {"hold": value}}


def _queued(workspace: Workspace, name: str, source: str = _HELD, *, cpu: str = _RANK, **spec: Any) -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu, "memory": "128Mi"}}
    job = program(name, source, resources=resources, backend={"name": "own"}, queueName=workspace.namespace, **spec)
    hold = {"name": "HOLD", "valueFrom": {"configMapKeyRef": {"name": "hold", "key": "hold"}}}
    job["spec"]["program"]["python"]["template"] = {"env": [hold]}
    return job


def _reserved(workspace: Workspace) -> str:
    """Return the CPUs of the queue's quota that are taken."""
    status = workspace.cluster.get("clusterqueue.kueue.x-k8s.io", workspace.namespace).get("status", {})
    (flavor,) = status["flavorsReservation"]
    return str(next(each["total"] for each in flavor["resources"] if each["name"] == "cpu"))


def _is(workspace: Workspace, name: str, *wanted: str) -> bool:
    status = workspace.status(name)
    return (status.get("state"), status.get("reason")) == wanted


def _workload(workspace: Workspace, job: str) -> dict[str, Any]:
    """Return Kueue's Workload of a job's only attempt that has not ended."""
    uids = {
        each["metadata"]["uid"]
        for each in workspace.items("jobs", f"--selector=qonverge.io/job-name={job}")
        if not _has(each, "Complete") and not _has(each, "Failed")
    }
    (found,) = (
        each
        for each in workspace.items("workloads.kueue.x-k8s.io")
        if uids & {owner["uid"] for owner in each["metadata"]["ownerReferences"]}
    )
    return found


def _has(obj: dict[str, Any], kind: str) -> bool:
    conditions = obj.get("status", {}).get("conditions", [])
    return any(each["type"] == kind and each["status"] == "True" for each in conditions)


def test_a_program_waits_for_its_slot_without_a_job_and_is_then_admitted(lab: Workspace) -> None:
    waits = "import time\ntime.sleep(3600)\n"
    lab.apply(*(program(name, waits, backend={"name": "own"}) for name in ("one", "two", "three")))
    lab.running("one", "two", "three")
    lab.apply(_hold("no"), _queued(lab, "queued"))
    eventually(lambda: _is(lab, "queued", "Pending", "WaitingForSlot"), "that it waits for a slot")
    assert not lab.items("jobs", "--selector=qonverge.io/job-name=queued")
    assert not lab.items("workloads.kueue.x-k8s.io"), "programs in no queue are none of Kueue's business"
    assert _reserved(lab) == "0"
    lab.kubectl("delete", "hybridjob", "one")
    status = lab.completed("queued")
    assert (status["result"]["value"], status["attempts"]) == ("done", 1)
    (job,) = lab.items("jobs", "--selector=qonverge.io/job-name=queued")
    # Kueue's part of the Job stays, and reaches its pod.
    assert job["spec"]["suspend"] is False
    assert job["spec"]["template"]["spec"]["nodeSelector"] == _SELECTOR
    (pod,) = lab.items("pods", "--selector=qonverge.io/job-name=queued")
    assert pod["spec"]["nodeSelector"] == _SELECTOR
    (workload,) = lab.items("workloads.kueue.x-k8s.io")
    assert _has(workload, "Finished")


def test_a_full_queue_holds_a_program_until_there_is_quota(lab: Workspace) -> None:
    lab.apply(_queued(lab, "first", cpu=_QUOTA))
    lab.running("first")
    lab.apply(_hold("no"), _queued(lab, "second"))
    eventually(lambda: _is(lab, "second", "Placed", "WaitingForAdmission"), "that it waits for Kueue")
    eventually(lambda: "conditions" in _workload(lab, "second").get("status", {}), "Kueue's word about it")
    assert not _has(_workload(lab, "second"), "QuotaReserved")
    assert f"to the LocalQueue {lab.namespace}" in lab.status("second")["message"]
    assert not lab.items("pods", "--selector=qonverge.io/job-name=second")
    lab.kubectl("delete", "hybridjob", "first")
    assert lab.completed("second")["attempts"] == 1


def test_a_program_that_kueue_preempts_begins_again_and_no_attempt_is_lost(lab: Workspace) -> None:
    lab.apply(_queued(lab, "preempted", cpu=_QUOTA, retryPolicy={"maxAttempts": 1}))
    lab.running("preempted")
    lab.apply(_hold("no"))
    # Somebody else's batch Job, of a higher priority for Kueue alone.
    urgent = {
        "apiVersion": API,
        "kind": "WorkloadPriorityClass",
        "metadata": {"name": lab.namespace},
        "value": 1000,
        "description": "urgent",
    }
    lab.apply(urgent, _bulk(lab, "urgent"))
    try:
        lab.wait("--for=condition=Complete", "job/urgent")
        status = lab.completed("preempted")
    finally:
        lab.kubectl("delete", "workloadpriorityclass.kueue.x-k8s.io", lab.namespace)
    # What its first pod had begun never ends: another has, of the same attempt.
    assert (status["result"]["value"], status["attempts"]) == ("done", 1)


def _bulk(workspace: Workspace, name: str) -> dict[str, Any]:
    """Return a batch Job of the namespace that takes the whole quota for a moment."""
    labels = {"kueue.x-k8s.io/queue-name": workspace.namespace, "kueue.x-k8s.io/priority-class": workspace.namespace}
    requests = {"cpu": _QUOTA, "memory": "64Mi", "ephemeral-storage": "1Mi"}
    container = {
        "name": "bulk",
        "image": workspace.cluster.images.image("program"),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", "pass"],
        "resources": {"requests": requests},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {"containers": [container], "securityContext": security, "restartPolicy": "Never"}
    spec = {"suspend": True, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": labels}, "spec": spec}


def test_a_program_whose_workload_is_deactivated_waits_until_it_is_active_again(lab: Workspace) -> None:
    lab.apply(_queued(lab, "stopped", retryPolicy={"maxAttempts": 1}))
    lab.running("stopped")
    lab.apply(_hold("no"))
    workload = _workload(lab, "stopped")["metadata"]["name"]
    activate = ("patch", "workload.kueue.x-k8s.io", workload, "--type=merge")
    lab.kubectl(*activate, '--patch={"spec": {"active": false}}')
    eventually(lambda: _is(lab, "stopped", "Placed", "WaitingForAdmission"), "the eviction")
    eventually(lambda: not lab.items("pods", "--selector=qonverge.io/job-name=stopped"), "the end of its pod")
    lab.kubectl(*activate, '--patch={"spec": {"active": true}}')
    status = lab.completed("stopped")
    assert (status["result"]["value"], status["attempts"]) == ("done", 1)


def test_the_ranks_of_a_program_are_admitted_together(lab: Workspace) -> None:
    lab.apply(_queued(lab, "first"))
    lab.running("first")
    ranks = """
        from qonverge.client import communicator, rank, result

        everyone = communicator().allgather(rank())
        if rank() == 0:
            result(everyone)
    """
    both = _queued(lab, "both", dedent(ranks))
    both["spec"]["program"]["parallelism"] = 2
    lab.apply(both)
    eventually(lambda: _is(lab, "both", "Placed", "WaitingForAdmission"), "that it waits for Kueue")
    # There is quota for one of the two, and it stays free.
    eventually(lambda: "conditions" in _workload(lab, "both").get("status", {}), "Kueue's word about it")
    assert _reserved(lab) == _RANK
    lab.kubectl("delete", "hybridjob", "first")
    status = lab.completed("both")
    assert (status["result"]["value"], status["attempts"]) == ([0, 1], 1)
    (workload,) = lab.items("workloads.kueue.x-k8s.io")
    (pods,) = workload["status"]["admission"]["podSetAssignments"]
    assert (pods["count"], pods["resourceUsage"]["cpu"]) == (2, _QUOTA)
