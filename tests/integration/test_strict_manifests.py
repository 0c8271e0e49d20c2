"""`qonverge validate` refuses what the API server refuses and nothing else: manifests that are changed in one place."""

from __future__ import annotations

import copy
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import ControlPlane
from qonverge.api import HybridJob
from qonverge.api.program import MAX_SOURCE
from qonverge.execution.result_room import room_for_result
from qonverge.local.manifests import ManifestError, read
from tests.integration.raw_api import RawApi

META = {
    "name": "one",
    "namespace": "default",
    "labels": {"example.com/team": "physics"},
    "annotations": {"example.com/Note": "any text"},
    "finalizers": ["example.com/hold"],
}
GROUP = "qonverge.io/v1alpha1"
CIRCUIT = {
    "openqasm": "OPENQASM 3.0;",
    "parameters": {"theta": 0.5},
    "observables": ["ZZ", {"XX": 0.5}],
}
SELECTOR = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}
RESOURCES = {"requests": {"cpu": "500m"}, "limits": {"memory": "2Gi", "nvidia.com/gpu": 1}}
AFFINITY = {
    "nodeAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}}
        ]
    },
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "a", "labelSelector": SELECTOR, "namespaces": ["b"], "namespaceSelector": {}}
        ]
    },
}
TEMPLATE = {
    "labels": {"a": "b"},
    "annotations": {"a": "b"},
    "env": [{"name": "A", "value": "b"}, {"name": "C", "valueFrom": {"secretKeyRef": {"name": "d", "key": "e"}}}],
    "envFrom": [{"configMapRef": {"name": "a"}, "prefix": "B_"}],
    "volumes": [
        {"name": "a", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        {"name": "b", "secret": {"secretName": "c", "items": [{"key": "d", "path": "e"}], "optional": True}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "d", "readOnly": True}},
    ],
    "volumeMounts": [{"name": "a", "mountPath": "/a", "subPath": "b", "readOnly": True}],
    "imagePullPolicy": "Always",
    "imagePullSecrets": [{"name": "a"}],
    "serviceAccountName": "a",
    "nodeSelector": {"a": "b"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": AFFINITY,
}
OBJECTS: list[dict[str, Any]] = [
    {
        "apiVersion": GROUP,
        "kind": "HybridJob",
        "metadata": META,
        "spec": {
            "program": {"circuit": CIRCUIT},
            "shots": 100,
            "seed": 7,
            "backend": {"selector": SELECTOR, "namespace": "default"},
            "placement": {
                "tiers": ["Edge"],
                "preferredTiers": ["OnPrem"],
                "regions": ["eu"],
                "dataSite": "lab",
                "objective": "Time",
                "weights": {"fidelity": 1, "time": 0.5, "cost": 0},
                "minFidelity": 0.5,
                "maxWait": "1h30m",
                "maxLatency": "20ms",
                "split": {"minShots": 10},
                "hedge": True,
                "preemption": "Never",
            },
            "priorityClassName": "high",
            "deadline": "2030-01-31T12:00:00Z",
            "budget": {"amount": "1.50", "currency": "EUR"},
            "suspend": True,
            "activeDeadlineSeconds": 60,
            "ttlSecondsAfterFinished": 0,
            "retryPolicy": {"maxAttempts": 2},
        },
    },
    {
        "apiVersion": GROUP,
        "kind": "HybridJob",
        "metadata": {"name": "two"},
        "spec": {
            "program": {"python": {"source": "print()", "args": ["a"], "image": "x", "resources": RESOURCES}},
            "precision": 0.5,
            "backend": {"name": "aer"},
        },
    },
    {
        "apiVersion": GROUP,
        "kind": "HybridJob",
        "metadata": {"name": "three"},
        "spec": {"program": {"circuit": {"configMapKeyRef": {"name": "a", "key": "b"}}}},
    },
    {
        "apiVersion": GROUP,
        "kind": "HybridJob",
        "metadata": {"name": "four"},
        "spec": {"program": {"circuit": {"qpy": "UUlTS0lU"}}},
    },
    {
        "apiVersion": GROUP,
        "kind": "HybridJob",
        "metadata": {"name": "five"},
        "spec": {
            "program": {
                "container": {"image": "a", "command": ["b"], "template": TEMPLATE},
                "parameters": {"steps": 3},
                "parameterSchema": {"required": ["steps"]},
            },
        },
    },
    {
        "apiVersion": GROUP,
        "kind": "HybridJob",
        "metadata": {"name": "six"},
        "spec": {
            "program": {
                "python": {
                    "git": {"url": "https://a.b/c", "revision": "v1", "path": "d/e.py", "credentials": {"name": "f"}},
                    "requirements": ["g==1"],
                },
            },
        },
    },
    {
        "apiVersion": GROUP,
        "kind": "QuantumBackend",
        "metadata": META,
        "spec": {
            "simulator": {
                "engine": "Aer",
                "method": "DensityMatrix",
                "seed": 1,
                "device": "CPU",
                "noise": {"rates": {"oneQubit": 0.001, "t1": 0.0001, "t2": 0.0002, "readoutSeconds": 1e-6}},
            },
            "replicas": 2,
            "capacity": {"concurrency": 2, "queueLimit": 5, "maxShots": 10, "maxQubits": 20},
            "location": {"tier": "Edge", "site": "lab", "region": "eu"},
            "pricing": {"currency": "EUR", "perTask": "0.30", "perShot": "0.01", "perSecond": "1"},
            "maxCalibrationAge": "24h",
            "access": {"namespaces": {"from": "Selector", "selector": SELECTOR}},
            "resultCache": "64Mi",
            "template": {
                "labels": {"a": "b"},
                "annotations": {"a": "b"},
                "resources": RESOURCES,
                "nodeSelector": {"a": "b"},
                "tolerations": [
                    {"key": "a", "operator": "Exists", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5}
                ],
            },
        },
    },
    {
        "apiVersion": GROUP,
        "kind": "QuantumBackend",
        "metadata": {"name": "two"},
        "spec": {"simulator": {"engine": "Stim", "method": "Stabilizer", "noise": {"device": "torino"}}},
    },
    {
        "apiVersion": GROUP,
        "kind": "QuantumQuota",
        "metadata": META,
        "spec": {
            "limits": {"shots": 5, "seconds": 1.5, "cost": {"amount": "5", "currency": "EUR"}, "concurrentJobs": 3},
            "period": "24h",
            "weight": 2,
        },
    },
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": META,
        "data": {"a.qasm": "text"},
        "binaryData": {"b": "eA=="},
        "immutable": True,
    },
]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 10.0, 1.5, 1e3, 0.25, 2**31, 2**63, 2**64, -(2**63) - 1, 1e300),
    *("", "10", "-1", "1.5", "1e3", "true", "x", "Upper", "a b", "a\n", "é", "x" * 64, "x" * 254, "x" * 5000),
    *("1h", "1h30m", "-5m", "1.5h", "1d", "5", "64Mi", "64MB", "1.5.2", "64m", "1e3", ".5Gi", "1E", "1E3", "1e", "+1"),
    *("2030-01-31T12:00:00Z", "2030-01-31T12:00:00+01:00", "2030-01-31t12:00:00.5z", "2030-01-31T12:00:00"),
    *("2030-01-31", "20300131T120000Z", "2030-02-30T12:00:00Z", "2030-01-31T24:00:00Z", "2030-01-31 12:00:00Z"),
    *("a.b", "a/b", "a/b/c", "-a", "a-", "A.b", "..", "a..b", "*", "eA==", "eA", "All", "EUR", "eur", "Edge"),
    *([], {}, [1], ["a"], ["a", "a"], [None], [[]], {"a": 1}, {"a": "b"}, {"a": None}, {"A b": "c"}),
]


# What the API server does otherwise, and why that is left.
DIFFERENT = {
    "spec.replicas = 10.0": "it does not convert numbers in fields of the scale subresource, and converts all others",
    "spec.replicas = 1000.0": "the same",
    "binaryData.b = []": "it takes a list of numbers for bytes, as Go does",
    "binaryData.b = [1]": "the same",
    "binaryData.b = [null]": "the same",
}
# Of each object's thousands, so many are compared.
SAMPLE = 250

# Good names of namespaces that are not there.
_NAMESPACES = ("10", "1e3", "true", "x", "1h", "1h30m", "1d", "5", "64m", "1e", "2030-01-31", "eur")


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*path, key)
        yield from paths(item, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def mutants(obj: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield manifests that differ from a good one in one place, each with a word on where."""
    for path in paths(obj):
        if path in (("apiVersion",), ("kind",)):
            continue
        for value in VALUES:
            if path == ("metadata", "namespace") and value in _NAMESPACES:
                continue
            changed = copy.deepcopy(obj)
            at(changed, path[:-1])[path[-1]] = value
            yield f"{'.'.join(map(str, path))} = {json.dumps(value)[:60]}", changed
        changed = copy.deepcopy(obj)
        del at(changed, path[:-1])[path[-1]]
        yield f"{'.'.join(map(str, path))} left out", changed
        if isinstance(at(obj, path), dict):
            for name, value in (("unknownField", 1), ("unknown", None), ("a b", "x"), ("1" * 70, "x"), ("a/b/c", "x")):
                changed = copy.deepcopy(obj)
                at(changed, path)[name] = value
                yield f"{'.'.join(map(str, path))}.{name} = {json.dumps(value)}", changed


def verdict(text: str, file: Path) -> str:
    """Return why `qonverge` refuses a manifest, nothing where it does not."""
    file.write_text(text)
    try:
        read([str(file)])
    except ManifestError as error:
        return "; ".join(error.problems)
    return ""


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda obj: f"{obj['kind']}-{obj['metadata']['name']}")
def test_both_refuse_the_same(plane: ControlPlane, tmp_path: Path, obj: dict[str, Any]) -> None:
    api = RawApi(plane.kubeconfig)
    assert (api.refusal(obj, json.dumps(obj)), verdict(json.dumps(obj), tmp_path / "good.json")) == ("", "")
    disagreements = []
    everything = list(mutants(obj))
    for where, changed in random.Random(1).sample(everything, min(SAMPLE, len(everything))):
        text = json.dumps(changed)
        theirs, ours = api.refusal(changed, text), verdict(text, tmp_path / "changed.json")
        if bool(theirs) != bool(ours) and where not in DIFFERENT:
            disagreements.append(f"{where}: server: {theirs[:200] or 'good'}; here: {ours[:200] or 'good'}")
    assert disagreements == []


def test_a_circuit_as_large_as_a_job_may_hold_is_stored_with_a_result(plane: ControlPlane) -> None:
    """The limits of the schema, of etcd and of the status fit together: lines are short, so JSON adds much."""
    line = "  x q[0];\n"
    text = (line * (MAX_SOURCE // len(line) + 1))[:MAX_SOURCE]
    obj = {**OBJECTS[0], "metadata": {"name": "large"}, "spec": {"program": {"circuit": {"openqasm": text}}}}
    plane.kubectl("create", "-f", "-", stdin=json.dumps(obj))
    room = room_for_result(HybridJob.model_validate(obj))
    assert room > 250_000
    value = "y" * (room - 100)
    patch = json.dumps({"status": {"result": {"value": value}}})
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(patch)
        file.flush()
        plane.kubectl("patch", "hj", "large", "--subresource=status", "--type=merge", "--patch-file", file.name)
    plane.kubectl("delete", "hj", "large")


def test_a_text_that_is_too_long_is_refused_by_both_without_the_text(plane: ControlPlane, tmp_path: Path) -> None:
    obj = {**OBJECTS[0], "spec": {"program": {"circuit": {"openqasm": "x" * (MAX_SOURCE + 1)}}}}
    theirs, ours = RawApi(plane.kubeconfig).refusal(obj, json.dumps(obj)), verdict(json.dumps(obj), tmp_path / "x.json")
    assert "Too long" in theirs
    assert ours.endswith(
        f"spec.program.circuit.openqasm: {MAX_SOURCE + 1} characters are given, and at most {MAX_SOURCE} are taken: "
        "compress it with gzip and put it into a ConfigMap, which configMapKeyRef names"
    )
    assert len(ours) < 400
