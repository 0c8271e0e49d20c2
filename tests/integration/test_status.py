"""What objects say of themselves, with a real API server: why things do not go on, and what kstatus makes of it."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.integration.conftest import Lab, backend, eventually, job
from tests.kstatus import kstatus

BAR = 5.0
"""Seconds within which a status is right after any change."""


def computed(lab: Lab, kind: str, name: str) -> str:
    return kstatus(lab.get(kind, name))


def soon(lab: Lab, kind: str, name: str, expected: str, says: str = "") -> dict[str, Any]:
    """Return the object as soon as it says so, and its kstatus is this."""

    def found() -> dict[str, Any]:
        obj = lab.get(kind, name)
        conditions = obj.get("status", {}).get("conditions", [])
        observed = obj.get("status", {}).get("observedGeneration") == obj["metadata"]["generation"]
        told = any(says in c["message"] for c in conditions)
        return obj if observed and kstatus(obj) == expected and told else {}

    obj: dict[str, Any] = eventually(found, f"{expected} of {kind} {name}: {says or 'any'}", BAR + 5)
    return obj


def patch(lab: Lab, kind: str, name: str, **fields: Any) -> None:
    lab.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(fields))


def patch_status(lab: Lab, kind: str, name: str, **status: Any) -> None:
    body = json.dumps({"status": status})
    lab.kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", body)


def program(name: str, **spec: Any) -> dict[str, Any]:
    python = {"source": "print(1)", **spec.pop("python", {})}
    return {**job(name), "spec": {"program": {"python": python}, **spec}}


def batch_of(lab: Lab, name: str) -> Callable[[], dict[str, Any]]:
    def found() -> dict[str, Any]:
        owned = [b for b in lab.list("job.batch") if b["metadata"]["ownerReferences"][0]["name"] == name]
        return owned[-1] if owned else {}

    return found


def pod_of(batch: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the pod that the controller manager makes for a batch Job, without what needs a kubelet."""
    template = batch["spec"]["template"]
    labels = {**template["metadata"]["labels"], "batch.kubernetes.io/job-name": batch["metadata"]["name"]}
    containers = [{"name": "program", "image": template["spec"]["containers"][0]["image"]}]
    metadata = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}


def event_of(batch: dict[str, Any], message: str) -> dict[str, Any]:
    """Return the event of the Job controller whose pods are not admitted."""
    metadata = batch["metadata"]
    involved = {"kind": "Job", "namespace": "default", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.1", "namespace": "default"},
        "involvedObject": {**involved, "apiVersion": "batch/v1"},
        "type": "Warning",
        "reason": "FailedCreate",
        "message": message,
        "lastTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "source": {"component": "job-controller"},
    }


def told(lab: Lab, name: str) -> list[tuple[str, str]]:
    events = [e for e in lab.list("events") if e["involvedObject"]["name"] == name]
    return [(e["type"], e["reason"]) for e in events]


def test_a_program_says_what_keeps_it_from_running(served: Lab) -> None:
    # One that does not start holds its slot.
    patch(served, "qb", "aer", spec={"capacity": {"programs": 3}})
    served.apply(program("stuck"), program("late", startDeadlineSeconds=1))
    batch = eventually(batch_of(served, "stuck"), "the batch Job")
    assert batch["spec"]["template"]["metadata"]["labels"]["qonverge.io/job-name"] == "stuck"
    served.apply(event_of(batch, "Error creating: pods is forbidden: exceeded quota: small"))
    soon(served, "hj", "stuck", "InProgress", "FailedCreate: Error creating: pods is forbidden: exceeded quota: small")

    served.apply(pod_of(batch, "stuck-pod"))
    unbound = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes fit"}
    patch_status(served, "pod", "stuck-pod", phase="Pending", conditions=[unbound])
    stuck = soon(served, "hj", "stuck", "InProgress", "the pod stuck-pod has not started: Unschedulable: 0/3 nodes fit")
    assert (stuck["status"]["state"], stuck["status"]["reason"]) == ("Placed", "PodPending")
    waits = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    container = {"name": "program", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    patch_status(served, "pod", "stuck-pod", conditions=[], containerStatuses=[{**container, "state": waits}])
    soon(served, "hj", "stuck", "InProgress", "ImagePullBackOff: no such image")
    runs: dict[str, Any] = {"running": {}}
    patch_status(served, "pod", "stuck-pod", phase="Running", containerStatuses=[{**container, "state": runs}])
    running = soon(served, "hj", "stuck", "InProgress", "attempt 1")
    assert (running["status"]["state"], running["status"]["pod"]) == ("Running", "stuck-pod")
    # What may change while it runs is observed.
    patch(served, "hj", "stuck", spec={"ttlSecondsAfterFinished": 3600})
    soon(served, "hj", "stuck", "InProgress", "attempt 1")
    events = eventually(lambda: ("Normal", "Running") in (e := told(served, "stuck")) and e, "the events of stuck")
    for expected in (("Normal", "Placed"), *(("Warning", r) for r in ("FailedCreate", "Unschedulable"))):
        assert events.count(expected) == 1, events
    assert events.count(("Warning", "ImagePullBackOff")) == 1

    late = served.ended("late")
    assert late["reason"] == "StartDeadlineExceeded"
    assert late["message"] == "the program's pod was not created within startDeadlineSeconds, 1 s"
    assert computed(served, "hj", "late") == "Failed"
    eventually(lambda: not batch_of(served, "late")(), "the end of its batch Job")
    # A job that has ended observes what changes, and stays what it is.
    patch(served, "hj", "late", spec={"suspend": True, "activeDeadlineSeconds": 9})
    soon(served, "hj", "late", "Failed", "was not created")

    # What the API server refuses is on the job, too.
    hard = {"count/jobs.batch": "0"}
    metadata = {"name": "small", "namespace": "default"}
    served.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}})
    # The controller manager's part.
    patch_status(served, "resourcequota", "small", hard=hard, used=hard)
    try:
        served.apply(program("over"), program("wrong", python={"resources": {"limits": {"abacus": 1}}}))
        over = soon(served, "hj", "over", "InProgress", "exceeded quota: small")
        assert (over["status"]["state"], over["status"]["reason"]) == ("Pending", "ApplyFailed")
    finally:
        served.kubectl("delete", "resourcequota", "small")
    eventually(lambda: served.status("over")["state"] == "Placed", "another try")
    wrong = served.ended("wrong")
    assert wrong["reason"] == "ApplyFailed"
    assert "must be a standard resource type or fully qualified" in wrong["message"]
    assert computed(served, "hj", "wrong") == "Failed"
    assert ("Warning", "ApplyFailed") in eventually(lambda: told(served, "wrong"), "an event")


def made_again(lab: Lab, kind: str, name: str) -> Callable[[], bool]:
    """Return whether another object has taken the place of the one that is there now."""
    uid = lab.get(kind, name)["metadata"]["uid"]
    return lambda: lab.get(kind, name).get("metadata", {}).get("uid", uid) != uid


def reconciles(lab: Lab, kind: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{lab.health}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    pattern = rf'^qonverge_operator_reconciles_total{{kind="{kind}",outcome="\w+"}} (\S+)$'
    return sum(map(float, re.findall(pattern, text, re.MULTILINE)))


def test_every_kind_says_how_far_it_is_after_every_change(lab: Lab) -> None:
    lab.apply(job("waits"), backend("aer"), quota(10))
    for kind, name in (("hj", "waits"), ("qb", "aer"), ("quantumquota", "q")):
        assert computed(lab, kind, name) == "InProgress", "of what no operator has seen yet"
    lab.kubectl("delete", "qb", "aer")
    lab.start_operator()
    lab.ready()
    other_states(lab)
    lab.api.delete_all("hj", "default")
    lab.apply(backend("aer", template={"labels": {"team": "not a value"}}))
    refused = soon(lab, "qb", "aer", "Failed", "a valid label must be")
    assert refused["status"]["conditions"][0]["reason"] == "ApplyFailed"
    before = reconciles(lab, "QuantumBackend")
    time.sleep(2)
    assert reconciles(lab, "QuantumBackend") - before < 5, "what is refused is tried again and again"
    patch(lab, "qb", "aer", spec={"template": {"labels": None}})
    soon(lab, "qb", "aer", "InProgress", "0 of 1 pods serve")

    pods = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "conditions": []}
    lab.deployment_status("aer-qb", **pods)
    soon(lab, "qb", "aer", "Current", "1 of 1 pods serve")
    patch(lab, "qb", "aer", spec={"template": {"labels": {"team": "chem"}}})
    soon(lab, "qb", "aer", "InProgress", "some with the former specification")
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too slow"}
    lab.deployment_status("aer-qb", **{**pods, "replicas": 2, "conditions": [late]})
    ready = soon(lab, "qb", "aer", "Failed", "some with the former specification: too slow")["status"]["conditions"][0]
    assert (ready["type"], ready["status"]) == ("Ready", "True")
    lab.deployment_status("aer-qb", **pods)
    soon(lab, "qb", "aer", "Current", "1 of 1 pods serve")
    lab.kubectl("scale", "qb", "aer", "--replicas=0")
    soon(lab, "qb", "aer", "InProgress")
    lab.deployment_status("aer-qb", replicas=0, updatedReplicas=0, readyReplicas=0, conditions=[])
    soon(lab, "qb", "aer", "Current", "spec.replicas is 0")
    assert "spec.replicas is 0" in lab.kubectl("get", "qb", "-o", "wide")

    # What somebody deletes or changes is made again.
    for kind in ("service", "deployment", "secret"):
        again = made_again(lab, kind, "aer-qb")
        lab.kubectl("delete", kind, "aer-qb")
        eventually(again, f"a new {kind}")
    patch(lab, "service", "aer-qb", spec={"selector": {"qonverge.io/backend": "somebody-else"}})
    selector = {"qonverge.io/backend": "aer-qb"}
    eventually(lambda: lab.get("service", "aer-qb")["spec"]["selector"] == selector, "the selector", BAR)


def quota(shots: int) -> dict[str, Any]:
    return {**backend("q"), "kind": "QuantumQuota", "spec": {"limits": {"shots": shots}}}


def other_states(lab: Lab) -> None:
    """Bring jobs and quotas into the states that need no backend."""
    lab.apply(job("held", suspend=True))
    soon(lab, "hj", "waits", "InProgress", "there is none")
    soon(lab, "hj", "held", "InProgress", "the job is suspended")
    # Until it was started once, all of a job that is held may change.
    patch(lab, "hj", "held", spec={"shots": 7, "backend": {"name": "b"}})
    soon(lab, "hj", "held", "InProgress", "the job is suspended")
    patch(lab, "hj", "waits", spec={"activeDeadlineSeconds": 3600})
    soon(lab, "hj", "waits", "InProgress", "there is none")
    pending = lab.kubectl("get", "hj", "--field-selector=status.state=Pending", "-o", "name").split()
    assert pending == ["hybridjob.qonverge.io/waits"]

    soon(lab, "quantumquota", "q", "Current", "within its limits")
    lab.apply(quota(0))
    soon(lab, "quantumquota", "q", "Current", "nothing is left of shots")

    # Definitions of a later version take what this one does not know.
    crd = json.loads(lab.kubectl("get", "crd", "hybridjobs.qonverge.io", "-o", "json"))
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/later"
    add, remove = [{"op": "add", "path": path, "value": {"type": "integer"}}], [{"op": "remove", "path": path}]
    lab.kubectl("patch", "crd", crd["metadata"]["name"], "--type=json", "-p", json.dumps(add))
    try:
        later = job("later", later=1)
        eventually(lambda: "later" in lab.kubectl("explain", "hj.spec"), "the new definition")
        lab.apply(later)
        strange = soon(lab, "hj", "later", "Failed", "Extra inputs are not permitted")
        assert (strange["status"]["state"], strange["status"]["reason"]) == ("Pending", "InvalidSpec")
        patch(lab, "hj", "later", spec={"later": None})
        soon(lab, "hj", "later", "InProgress", "there is none")
    finally:
        lab.kubectl("patch", "crd", crd["metadata"]["name"], "--type=json", "-p", json.dumps(remove))
