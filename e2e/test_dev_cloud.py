"""A circuit on a device of Amazon Braket, with everything in pods: the cloud is dev-cloud."""

from __future__ import annotations

import json

from e2e.dev_cloud import CREDENTIALS, CloudPod
from e2e.workspace import Workspace, circuit


def test_a_circuit_runs_on_braket_with_credentials_from_a_secret(workspace: Workspace) -> None:
    cloud = CloudPod(workspace)
    cloud.backend("garnet")
    # Without noise nothing but 00 and 11 comes; Garnet errs in about one shot of twenty.
    workspace.apply(circuit("bell", shots=2000, backend={"name": "garnet"}, budget={"amount": "3.20"}))
    status = workspace.completed("bell")
    counts = status["result"]["counts"]
    assert sum(counts.values()) == 2000
    assert 700 < counts["00"] < 1100
    assert 700 < counts["11"] < 1100
    # One task, which the cloud knows by the same id and charges as the status says.
    (known,) = cloud.tasks()
    assert [each["id"] for each in status["cloudTasks"]] == [known["arn"]]
    assert (known["device"], known["status"], known["shots"]) == ("Garnet", "COMPLETED", 2000)
    assert status["usage"]["costs"] == [{"amount": f"{known['cost']:g}", "currency": "USD"}]
    assert status["provenance"]["calibration"] == workspace.get("qb", "garnet")["status"]["calibration"]["digest"]
    # Nothing that anybody reads has a credential in it.
    pods = [pod["metadata"]["name"] for pod in workspace.backend_pods("garnet")]
    told = [
        json.dumps(workspace.get("hj,qb,deploy,pods,events")),
        *(workspace.kubectl("logs", pod) for pod in pods),
        workspace.cluster.kubectl(
            "logs",
            f"--namespace={workspace.cluster.namespace}",
            "--selector=app.kubernetes.io/name=qonverge",
            "--tail=-1",
        ),
    ]
    assert not [value for value in CREDENTIALS.values() for text in told if value in text]
