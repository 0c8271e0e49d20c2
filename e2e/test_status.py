"""What jobs and backends say when their pods do not start: the words of the scheduler, the kubelet, controllers."""

from __future__ import annotations

import json

from e2e.workspace import Workspace, backend, eventually, program
from tests.kstatus import kstatus

_MUCH = {"requests": {"cpu": "1000"}}


def _says(workspace: Workspace, kind: str, name: str, words: str, computed: str) -> None:
    def said() -> bool:
        obj = workspace.get(kind, name)
        conditions = obj.get("status", {}).get("conditions", [])
        return any(words in c["message"] for c in conditions) and kstatus(obj) == computed

    eventually(said, f"{words} of {kind} {name}")


def _warned(workspace: Workspace, kind: str, name: str, reason: str) -> bool:
    fields = f"involvedObject.kind={kind},involvedObject.name={name},type=Warning,reason={reason}"
    return len(workspace.items("events", f"--field-selector={fields}")) == 1


def test_what_does_not_start_says_why(workspace: Workspace) -> None:
    pull = program("pull", "print(1)", startDeadlineSeconds=20, retryPolicy={"maxAttempts": 1})
    pull["spec"]["program"]["python"]["image"] = "nowhere.invalid/none:1"
    template = {"resources": {**_MUCH, "limits": {"cpu": "1000", "memory": "1Gi"}}}
    workspace.apply(pull, program("big", "print(1)", resources=_MUCH), backend("big", template=template))
    _says(workspace, "hybridjob", "pull", "the pod pull-", "InProgress")
    _says(workspace, "hybridjob", "big", "Unschedulable: 0/1 nodes are available", "InProgress")
    _says(workspace, "quantumbackend", "big", "Unschedulable: 0/1 nodes are available", "InProgress")
    eventually(lambda: _warned(workspace, "HybridJob", "big", "Unschedulable"), "an event of the job")
    eventually(lambda: _warned(workspace, "QuantumBackend", "big", "Unschedulable"), "an event of the backend")
    ended = workspace.ended("pull")
    assert ended["reason"] == "StartDeadlineExceeded"
    assert "Image" in ended["message"]
    assert "within startDeadlineSeconds, 20 s" in ended["message"]
    workspace.kubectl("delete", "hybridjob/big", "quantumbackend/big")

    hard = {"pods": "0"}
    workspace.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": hard}})
    workspace.wait("--for=jsonpath={.status.hard.pods}=0", "resourcequota/none")
    workspace.apply(program("full", "print(1)"), backend("full"))
    _says(workspace, "hybridjob", "full", "exceeded quota: none", "InProgress")
    _says(workspace, "quantumbackend", "full", "exceeded quota: none", "Failed")
    workspace.kubectl("delete", "resourcequota/none")


def test_the_edit_role_scales_a_backend_and_what_it_deletes_is_made_again(workspace: Workspace) -> None:
    subject = {"kind": "ServiceAccount", "name": "editor", "namespace": workspace.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "editor"}}
    workspace.apply({**binding, "roleRef": role, "subjects": [subject]}, backend("small", replicas=0))
    edit = f"--as=system:serviceaccount:{workspace.namespace}:editor"
    _says(workspace, "quantumbackend", "small", "spec.replicas is 0", "Current")
    workspace.kubectl(edit, "scale", "quantumbackend/small", "--replicas=1")
    _says(workspace, "quantumbackend", "small", "1 of 1 pods serve", "Current")
    uid = workspace.get("service", "small-qb")["metadata"]["uid"]
    workspace.kubectl(edit, "delete", "service/small-qb")
    workspace.wait("--for=create", "service/small-qb")
    assert workspace.get("service", "small-qb")["metadata"]["uid"] != uid

    workspace.apply(program("named", "import time\ntime.sleep(3600)\n"))
    workspace.running("named")
    (pod,) = workspace.items("pods", "--selector=qonverge.io/job-name=named")
    assert workspace.status("named")["pod"] == pod["metadata"]["name"]
    # New pods that do not start leave the former ones serving, and both is said.
    patch = json.dumps({"spec": {"template": {"nodeSelector": {"no": "where"}}}})
    workspace.kubectl(edit, "patch", "quantumbackend/small", "--type=merge", "--patch", patch)
    says = (
        "1 of 1 pods serve, some with the former specification: Unschedulable: no node that would take the pod has the "
    )
    says += "labels no=where, qonverge.io/tier!=Cloud|Edge: 0/1 nodes are available"
    _says(workspace, "quantumbackend", "small", says, "InProgress")
