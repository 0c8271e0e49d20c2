"""What the operator makes for a program, as the API server takes it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from e2e.cluster import ControlPlane
from qonverge.api import HybridJob, QuantumBackend
from qonverge.controller.jobs.kinds.container import ContainerJobs
from qonverge.controller.jobs.kinds.python import PythonJobs
from qonverge.controller.settings import Settings
from tests.integration.conftest import job

TERM = {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["a100"]}]}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NEAR = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}}
TEMPLATE: dict[str, Any] = {
    "labels": {"team": "chem"},
    "annotations": {"example.org/note": "any"},
    "env": [
        {"name": "LEVEL", "value": "$(QONVERGE_JOB)"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api"}}},
        {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "modes", "key": "mode"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ],
    "envFrom": [{"secretRef": {"name": "more"}, "prefix": "X_"}, {"configMapRef": {"name": "settings"}}],
    "volumes": [
        {"name": "data", "persistentVolumeClaim": {"claimName": "molecules", "readOnly": True}},
        {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        {"name": "plain", "emptyDir": {}},
        {"name": "keys", "secret": {"secretName": "keys", "items": [{"key": "api", "path": "api/key"}]}},
        {"name": "modes", "configMap": {"name": "modes", "optional": True}},
    ],
    "volumeMounts": [
        {"name": "data", "mountPath": "/data", "subPath": "h2", "readOnly": True},
        {"name": "scratch", "mountPath": "/scratch"},
        {"name": "plain", "mountPath": "/plain"},
        {"name": "keys", "mountPath": "/keys"},
        {"name": "modes", "mountPath": "/modes"},
    ],
    "imagePullPolicy": "Always",
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccountName": "programs",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            REQUIRED: {"nodeSelectorTerms": [TERM]},
            PREFERRED: [{"weight": 1, "preference": TERM}],
        },
        "podAffinity": {PREFERRED: [{"weight": 5, "podAffinityTerm": NEAR}]},
        "podAntiAffinity": {REQUIRED: [{**NEAR, "namespaces": ["chem"]}]},
    },
}
RESOURCES = {"limits": {"nvidia.com/gpu": 1, "memory": "4Gi"}}
SHARED = {"template": TEMPLATE, "resources": RESOURCES, "near": {"site": "lab", "nodes": "Required"}}
GIT = {"url": "https://git.example.org/lab/vqe.git", "path": "a.py", "credentials": {"name": "git"}}


@pytest.mark.parametrize(
    "program",
    [
        {"container": {"image": "vqe:1", "command": ["/solve"], "args": ["$(parameters.n)"], **SHARED}},
        {"python": {"source": "pass", "args": ["$(parameters.n)"], **SHARED}},
        {"python": {"git": GIT, "requirements": ["pyscf>=2.5,<3"], **SHARED}},
        {"python": {"volume": {"claimName": "code", "path": "a.py"}, **SHARED}},
        {"python": {"artifact": {"reference": "lab/vqe:1", "path": "a.py", "pullPolicy": "Never"}, **SHARED}},
    ],
    ids=["container", "text", "git", "volume", "artifact"],
)
def test_a_job_with_everything_and_its_pod_are_taken(plane: ControlPlane, program: dict[str, Any]) -> None:
    parameters = {"parameters": {"n": 4, "deep": {"a": [1]}}, "parameterSchema": {"required": ["n"]}}
    given = job("everything", program={**program, **parameters})
    del given["spec"]["shots"]
    stored = json.loads(dry_run(plane, given))
    # Nothing was dropped on the way.
    assert stored["spec"]["program"].items() >= {**parameters}.items()
    (kind,) = program
    assert stored["spec"]["program"][kind]["template"].items() >= TEMPLATE.items()
    stored["metadata"]["uid"] = "12345678-0000-0000-0000-000000000000"
    backend = QuantumBackend.model_validate({"metadata": {"name": "aer", "uid": "u"}, "spec": {"simulator": {}}})
    jobs = ContainerJobs() if kind == "container" else PythonJobs()
    model = HybridJob.model_validate({name: stored[name] for name in ("metadata", "spec")})
    *_, batch = jobs.objects(model, backend, Settings(requirements_claim="requirements"), attempt=1, tokens=["t"])
    made = json.loads(dry_run(plane, batch))["spec"]["template"]["spec"]
    assert made["serviceAccountName"] == "programs"
    assert made["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {volume["name"] for volume in TEMPLATE["volumes"]} <= {volume["name"] for volume in made["volumes"]}


def dry_run(plane: ControlPlane, obj: dict[str, Any]) -> str:
    """Return the object as the API server would store it; what its schema does not have is refused."""
    options = ("--dry-run=server", "--server-side", "--validate=strict", "-o", "json")
    return str(plane.kubectl("apply", *options, "-f", "-", stdin=json.dumps(obj)))
