"""Quantum clouds as a pod of a test's namespace, and a QuantumBackend of one of their devices."""

from __future__ import annotations

import json
from typing import Any

import yaml

from e2e.workspace import Workspace
from qonverge_dev_cloud.braket.cloud import BUCKET

_NAME = "dev-cloud"
#: Of the ports that dev-cloud takes from its first one on; 4512 is that of gRPC.
_CONTROL, _STORAGE, _BRAKET = 4510, 4511, 4513
#: Whoever signs is let in.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "E2ENOTAREALKEY000001", "AWS_SECRET_ACCESS_KEY": "e2e-not-a-real-secret"}
GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"


class CloudPod:
    """dev-cloud in a workspace."""

    def __init__(self, workspace: Workspace, **scenario: Any) -> None:
        """Start it, and return when it answers."""
        self._workspace = workspace
        workspace.apply(*_manifests(workspace.cluster.dev_cloud(), scenario))
        workspace.wait("--for=condition=Available", f"deployment/{_NAME}")

    def backend(self, name: str, device: str = GARNET) -> None:
        """Make a QuantumBackend of a Braket device, with credentials from a Secret, and wait until it takes jobs."""
        section = {
            "device": device,
            "bucket": BUCKET,
            "endpoint": f"http://{_NAME}:{_BRAKET}",
            "s3Endpoint": f"http://{_NAME}:{_STORAGE}",
            "credentials": {"name": "aws"},
        }
        metadata = {"name": name}
        self._workspace.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aws"}, "stringData": CREDENTIALS},
            {
                "apiVersion": "qonverge.io/v1alpha1",
                "kind": "QuantumBackend",
                "metadata": metadata,
                "spec": {"braket": section, "capacity": {"concurrency": 20}},
            },
        )
        self._workspace.wait("--for=condition=Available", f"quantumbackend/{name}")

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks that the clouds were given."""
        pods = f"/api/v1/namespaces/{self._workspace.namespace}/services/{_NAME}:control/proxy/tasks"
        found: list[dict[str, Any]] = json.loads(self._workspace.kubectl("get", f"--raw={pods}"))
        return found

    def advance(self, seconds: float) -> None:
        """Move the clouds' time, which stands still with ``virtualClock``."""
        path = f"/api/v1/namespaces/{self._workspace.namespace}/services/{_NAME}:control/proxy/clock/advance"
        self._workspace.kubectl("create", f"--raw={path}", "--filename=-", stdin=json.dumps({"seconds": seconds}))


def _manifests(image: str, scenario: dict[str, Any]) -> list[dict[str, Any]]:
    labels, metadata = {"app": _NAME}, {"name": _NAME}
    ports = {"control": _CONTROL, "storage": _STORAGE, "braket": _BRAKET}
    container = {
        "name": _NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--port", str(_CONTROL), "/scenario/scenario.yaml"],
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        "readinessProbe": {"httpGet": {"path": "/", "port": "control"}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "scenario", "mountPath": "/scenario"}],
    }
    pod = {
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "scenario", "configMap": {"name": _NAME}}],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    listed = [{"name": name, "port": port, "targetPort": name} for name, port in ports.items()]
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"scenario.yaml": yaml.safe_dump(scenario)},
        },
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": labels, "ports": listed}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
    ]
