"""What the API server itself refuses, with the sentence that a person reads, and what `kubectl explain` says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from e2e.cluster import ControlPlane
from e2e.cluster.errors import CommandFailed
from qonverge.api import QuantumBackend
from tests.integration.conftest import backend, job
from tests.integration.raw_api import RawApi

CIRCUIT = {"circuit": {"openqasm": "OPENQASM 3.0;"}}
PYTHON = {"python": {"source": "print()"}}
SWEEP = {"parameters": {"t": {"linspace": {"start": 0, "stop": 1, "points": 3}}}}
PAIR = {"p": {"values": [1, 2]}}
KEY = {"name": "programs", "key": "a.qasm"}
DEVICE = "arn:aws:braket:us-east-1::device/qpu/ionq/Aria-1"
BRAKET = {"device": DEVICE, "bucket": "results"}
BUDGET = {"perReplicaHour": "0.00", "maxPerHour": "1"}
PAID = {"perReplicaHour": "0.10"}
SCALING: list[tuple[dict[str, Any], str]] = [
    ({"scaling": {}}, "maxReplicas goes with mode: Auto, and Auto needs it"),
    ({"scaling": {"mode": "External", "maxReplicas": 2}}, "maxReplicas goes with mode: Auto"),
    ({"scaling": {"mode": "External", "minReplicas": 0}}, "mode: External takes nothing else"),
    ({"scaling": {"minReplicas": 3, "maxReplicas": 2}}, "minReplicas is at most maxReplicas"),
    ({"scaling": {"maxReplicas": 2, "scaleToZeroAfter": "1m"}}, "scaleToZeroAfter goes with minReplicas: 0"),
    ({"scaling": {"maxReplicas": 2, "targetQueueTime": "0s"}}, "targetQueueTime is longer than 0s"),
    ({"scaling": {"maxReplicas": 2, "stableWindow": "5s"}}, "stableWindow is between 10s and 1h"),
    ({"scaling": {"maxReplicas": 2, "stableWindow": "1h1ms"}}, "stableWindow is between 10s and 1h"),
    ({"scaling": {"maxReplicas": 2, "budget": BUDGET}}, "budget.perReplicaHour is more than 0"),
    ({"scaling": {"maxReplicas": 2, "vertical": {"maxMemory": "1000Mi"}}}, "maxMemory is more than template.resources"),
    ({"scaling": {"maxReplicas": 2, "vertical": {"maxMemory": "1001Gi"}}}, "at most 1024 times as much"),
    ({"scaling": {"maxReplicas": 2, "vertical": {"maxMemory": 2**31}}, "template": {}}, "scaling.vertical goes with"),
    ({"scaling": {"maxReplicas": 2, "vertical": {"maxMemory": "4G"}, "budget": BUDGET | PAID}}, "budget counts pods"),
    ({"scaling": {"mode": "External", "vertical": {"maxMemory": "4Gi"}}}, "mode: External takes nothing else"),
    ({"scaling": {"maxReplicas": 2}, "replicas": 2}, "set replicas to 1, or to 0 to stop it"),
    ({"simulator": None, "plugin": {"provider": "Acme"}, "scaling": {"maxReplicas": 2}}, "scaling is for simulators"),
]


def pod_program(**template: Any) -> dict[str, Any]:
    """Return a specification whose program asks for this of its pod."""
    return {"program": {"container": {"image": "a", "template": template}}}


def refusal(plane: ControlPlane, obj: Mapping[str, Any]) -> str:
    """Return what kubectl prints; fields that are None are left out."""
    obj = {**obj, "spec": {name: value for name, value in obj["spec"].items() if value is not None}}
    with pytest.raises(CommandFailed) as caught:
        plane.kubectl("apply", "--dry-run=server", "--server-side", "-f", "-", stdin=json.dumps(obj))
    return caught.value.output


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"program": {}}, "program: set exactly one of circuit, python, container"),
        ({"program": {**CIRCUIT, **PYTHON}}, "program: set exactly one of circuit, python, container"),
        ({"program": {"circuit": {}}}, "program.circuit: set exactly one of openqasm, qpy, configMapKeyRef"),
        (
            {"program": {"circuit": {"openqasm": "x", "configMapKeyRef": KEY}}},
            "program.circuit: set exactly one of openqasm, qpy, configMapKeyRef",
        ),
        ({"program": {"container": {"image": "x"}, "sweep": SWEEP}}, "sweep is about circuits and Python programs"),
        (
            {"program": {"circuit": {"openqasm": "x", "parameters": {"t": 1}}, "sweep": SWEEP}},
            "a parameter is in program.circuit.parameters and in program.sweep.parameters",
        ),
        (
            {"program": {**CIRCUIT, "sweep": {"parameters": {**PAIR, **SWEEP["parameters"]}, "combination": "Zip"}}},
            "give all of them the same number of values",
        ),
        ({"program": {**CIRCUIT, "sweep": {"parameters": {"t": {}}}}}, "set exactly one of values, linspace"),
        ({"program": {"python": {}}}, "program.python: set exactly one of source, configMapKeyRef, git, volume"),
        (
            pod_program(env=[{"name": "QONVERGE_TOKEN", "value": "x"}]),
            "names that begin with QONVERGE_ are Qonverge's own",
        ),
        (pod_program(env=[{"name": "A"}]), "env: set exactly one of value, valueFrom"),
        (pod_program(env=[{"name": "A", "value": "1"}] * 2), 'env: duplicate entries for key [name="A"]'),
        (pod_program(volumes=[{"name": "v"}]), "volumes: set exactly one of emptyDir, configMap, secret"),
        (pod_program(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), "field not declared in schema"),
        (pod_program(volumes=[{"name": "qonverge-tmp", "emptyDir": {}}]), "names that begin with qonverge- are"),
        (pod_program(volumeMounts=[{"name": "v", "mountPath": "/tmp"}]), "are Qonverge's own: mount it elsewhere"),
        (pod_program(labels={"qonverge.io/backend": "b"}), "labels that begin with qonverge.io/ are Qonverge's own"),
        ({"program": {"python": {"source": "x", "requirements": ["--pre"]}}}, "requirements[0] in body should match"),
        ({"program": {"python": {"git": {"url": "file:///etc", "path": "a.py"}}}}, "git.url in body should match"),
        ({"program": {"python": {"volume": {"claimName": "c", "path": "../a"}}}}, "volume.path in body should match"),
        ({"program": {**CIRCUIT, "parallelism": 2}}, "parallelism is about programs that run code"),
        ({"program": {**PYTHON, "ranksPerBackend": 2}}, "ranksPerBackend divides the ranks of a parallel program"),
        (
            {"program": {"container": {"image": "i"}, "parallelism": 4, "ranksPerBackend": 2}},
            "ranksPerBackend is about Python programs",
        ),
        ({"program": {**PYTHON, "parallelism": 257}}, "should be less than or equal to 256"),
        (
            {"program": {"python": {"source": "pass", "pauseAfterSeconds": 9}, "parallelism": 2}},
            "pauseAfterSeconds is about programs that run alone",
        ),
        ({"backend": {}}, "backend: set exactly one of name, selector"),
        ({"backend": {"name": "a", "selector": {"matchLabels": {"b": "c"}}}}, "backend: set exactly one of"),
        ({"shots": 10, "precision": 0.1}, "set shots or precision, not both: precision is the standard error wanted"),
        ({"shots": 0}, "spec.shots in body should be greater than or equal to 1"),
        ({"shots": "many"}, ".spec.shots: expected numeric (int or float), got string"),
        ({"precision": -0.1}, "spec.precision in body should be greater than 0"),
        ({"sohts": 10}, "field not declared in schema"),
        ({"program": None}, "spec.program: Required value"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(plane: ControlPlane, spec: dict[str, Any], message: str) -> None:
    assert message in refusal(plane, job("j", **spec))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"simulator": None}, "source: set exactly one of simulator, braket, google, ibm, ionq, remote, plugin"),
        ({"simulator": {"engine": "abacus"}}, "should match '^[A-Z][A-Za-z0-9]{0,62}$'"),
        ({"simulator": {"method": "Guess"}}, "the engine Automatic has the methods Automatic, Statevector"),
        ({"simulator": {"device": "TPU"}}, 'Unsupported value: "TPU": supported values: "CPU", "GPU"'),
        ({"simulator": {"engine": "Stim", "method": "Statevector"}}, "the engine Stim has the methods Automatic and"),
        ({"simulator": {"engine": "BraketLocal", "method": "Stabilizer"}}, "the engine BraketLocal has the methods"),
        ({"simulator": {"noise": {}}}, "noise: set exactly one of device, configMapKeyRef, rates"),
        ({"simulator": {"noise": {"device": "lima", "rates": {}}}}, "noise: set exactly one of"),
        ({"simulator": {"noise": {"device": "torrino"}}}, 'Unsupported value: "torrino": supported values: "aachen"'),
        ({"simulator": {"noise": {"rates": {"twoQubit": 1.5}}}}, "should be less than or equal to 1"),
        (
            {"simulator": {"noise": {"rates": {"t1": 1e-4, "t2": 3e-4, "readoutSeconds": 1e-6}}}},
            "t2 is at most 2 t1",
        ),
        ({"simulator": {"noise": {"rates": {"t1": 1e-4}}}}, "t1 and t2 act over time"),
        (
            {"simulator": {"engine": "Aer", "method": "Stabilizer", "noise": {"device": "lima"}}},
            "the method Stabilizer of Aer takes Pauli noise only",
        ),
        ({"braket": BRAKET}, "source: set exactly one of simulator, braket, google, ibm, ionq, remote, plugin"),
        ({"simulator": None, "braket": {**BRAKET, "region": "eu-north-1"}}, "region is another one than the device's"),
        (
            {"simulator": None, "braket": {"device": "sv1", "bucket": "results"}},
            "spec.braket.device in body should match",
        ),
        ({"simulator": None, "braket": {"device": DEVICE}}, "spec.braket.bucket: Required value"),
        (
            {"simulator": None, "ionq": {"backend": "qpu.forte-1", "noiseModel": "aria-1"}},
            "noiseModel is for the simulator: a QPU has its own errors",
        ),
        ({"simulator": None, "ionq": {"backend": "simulator", "debiasing": False}}, "debiasing is for QPUs"),
        ({"simulator": None, "ionq": {"backend": "simulator", "costLimit": "1"}}, "costLimit is for QPUs"),
        (
            {"simulator": None, "google": {"project": "lab", "processor": "one", "snapshotId": "s"}},
            "set deviceConfigName together with one of runName and snapshotId",
        ),
        ({"simulator": None, "plugin": {"provider": "Acme"}, "replicas": 2}, "has one pod: set replicas to 1, or to 0"),
        ({"replicas": -1}, "spec.replicas in body should be greater than or equal to 0"),
        *SCALING,
        ({"capacity": {"concurrency": 0}}, "spec.capacity.concurrency in body should be greater than or equal to 1"),
        ({"access": {"namespaces": {"from": "Some"}}}, 'Unsupported value: "Some"'),
    ],
)
def test_a_backend_that_makes_no_sense_is_refused(plane: ControlPlane, spec: dict[str, Any], message: str) -> None:
    assert message in refusal(plane, backend("b", **spec))


@pytest.mark.parametrize(("spec", "message"), SCALING)
def test_the_model_refuses_the_same_scaling(spec: dict[str, Any], message: str) -> None:
    given = {name: value for name, value in backend("b", **spec)["spec"].items() if value is not None}
    with pytest.raises(ValidationError, match=message):
        QuantumBackend.model_validate({"metadata": {"name": "b"}, "spec": given})


@pytest.mark.parametrize("most", ["0.5", "1.2", "3.0", "99"])
def test_scaling_that_makes_sense_is_taken(plane: ControlPlane, most: str) -> None:
    budget = {"perReplicaHour": "0.4", "maxPerHour": most, "currency": "EUR"}
    scaling = {"minReplicas": 0, "maxReplicas": 9, "scaleToZeroAfter": "90s", "maxScaleUpRate": 2.5, "budget": budget}
    obj = backend("b", scaling=scaling)
    plane.kubectl("apply", "--dry-run=server", "--server-side", "-f", "-", stdin=json.dumps(obj))
    found = QuantumBackend.model_validate({"metadata": {"name": "b"}, "spec": obj["spec"]}).spec.scaling
    assert found is not None
    assert found.affordable_replicas == {"0.5": 1, "1.2": 3, "3.0": 7, "99": 247}[most]


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        (
            {"braket": BRAKET},
            {
                "device is immutable": {"braket": {**BRAKET, "device": DEVICE.replace("Aria-1", "Forte-1")}},
                "region is immutable": {"braket": {**BRAKET, "region": "us-east-1"}},
                "from one section to another": {"plugin": {"provider": "Acme"}},
                "": {"braket": {**BRAKET, "bucket": "others", "credentials": {"name": "aws"}}, "replicas": 0},
            },
        ),
        (
            {"ionq": {"backend": "qpu.forte-1"}},
            {
                "backend is immutable": {"ionq": {"backend": "qpu.forte-2"}},
                "endpoint is immutable": {"ionq": {"backend": "qpu.forte-1", "endpoint": "http://127.0.0.1:1"}},
                "": {"ionq": {"backend": "qpu.forte-1", "costLimit": "9", "gateset": "Native"}},
            },
        ),
        (
            {"plugin": {"provider": "Acme", "options": {"machine": 1}}},
            {
                "provider is immutable": {"plugin": {"provider": "Other"}},
                "": {"plugin": {"provider": "Acme", "options": {"machine": 1, "zone": {"deep": [2]}}}},
            },
        ),
        (
            {"simulator": {"engine": "Aer"}},
            {"engine is immutable": {"simulator": {}}, "": {"simulator": {"engine": "Aer"}}},
        ),
    ],
)
def test_what_a_backend_is_does_not_change(
    plane: ControlPlane, section: dict[str, Any], changes: dict[str, dict[str, Any]]
) -> None:
    obj = backend("fixed", simulator=None)
    del obj["spec"]["simulator"]
    plane.kubectl("create", "-f", "-", stdin=json.dumps({**obj, "spec": {**obj["spec"], **section}}))
    try:
        for says, changed in changes.items():
            text = json.dumps({**obj, "spec": {**obj["spec"], **changed}})
            if says:
                with pytest.raises(CommandFailed, match=says):
                    plane.kubectl("replace", "-f", "-", stdin=text)
            else:
                plane.kubectl("replace", "-f", "-", stdin=text)
    finally:
        plane.kubectl("delete", "qb", "fixed")


QUANTITIES = ["2GB", "2G", "1.5Gi", "1e3", "1e99", "1e-3", "1E", "+.5Ki", "5.", "1m", "1n", "1u", "9" * 30, "1e", "Gi"]
QUANTITIES += ["1Gi\n", " 1", "1_0", "-1", "0x10", "٣", "", "1,5", "9999999999E", "1.123456789123456789Gi"]


def test_a_quantity_that_is_taken_is_one_for_pods_too(plane: ControlPlane) -> None:
    """What the definitions take and the API server then refuses of a pod would only show later."""
    api = RawApi(plane.kubeconfig)
    refused = set()
    for given in QUANTITIES:
        limits = {"limits": {"cpu": given}, "requests": {"memory": given}}
        resources = [
            backend("b", template={"resources": {"limits": limits["limits"]}}),
            backend("b", template={"resources": {"requests": limits["requests"]}}),
            job("j", program={"python": {"source": "x", "resources": {"limits": limits["limits"]}}}),
            job("j", program={"python": {"source": "x", "resources": {"requests": limits["requests"]}}}),
        ]
        answers = {bool(api.refusal(each, json.dumps(each))) for each in resources}
        assert len(answers) == 1, f"{given!r} is taken in one place and not in another"
        cache = backend("b", resultCache=given)
        container = {"name": "c", "image": "i", "resources": {"limits": {"cpu": given}}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}
        if answers == {True}:
            refused.add(given)
            assert api.refusal(cache, json.dumps(cache)), f"{given!r} is taken as a cache's size"
        else:
            assert not api.refusal(pod, json.dumps(pod)), f"{given!r} is taken, and not of a pod"
    assert {"2GB", "1e", "Gi", "-1", "", "1,5"} <= refused
    assert not {"2G", "1.5Gi", "1e3", "+.5Ki"} & refused


@pytest.mark.parametrize(
    ("field", "value"),
    [("shots", 5), ("precision", 0.1), ("seed", 7), ("backend", {"name": "other"}), ("program", PYTHON)],
)
def test_what_a_job_asks_for_does_not_change(plane: ControlPlane, field: str, value: Any) -> None:
    obj = job("fixed")
    if field == "precision":
        del obj["spec"]["shots"]
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(obj))
    try:
        changed = {**obj, "spec": {**obj["spec"], field: value}}
        with pytest.raises(CommandFailed) as caught:
            plane.kubectl("replace", "-f", "-", stdin=json.dumps(changed))
        says = f"{field} is immutable unless the job is suspended and was never started: create a new HybridJob instead"
        assert says in caught.value.output
        # How long it may take and whether it is held may change.
        patch = json.dumps({"spec": {"suspend": True, "activeDeadlineSeconds": 60}})
        plane.kubectl("patch", "hj", "fixed", "--type=merge", "-p", patch)
        # Nobody started it, so that all may change, also in the change that resumes it.
        plane.kubectl("replace", "-f", "-", stdin=json.dumps(changed))
        with pytest.raises(CommandFailed):
            plane.kubectl("replace", "-f", "-", stdin=json.dumps(obj))
        patch = json.dumps({"spec": {"suspend": True}})
        plane.kubectl("patch", "hj", "fixed", "--type=merge", "-p", patch)
        started = json.dumps({"status": {"attempts": 1}})
        plane.kubectl("patch", "hj", "fixed", "--subresource=status", "--type=merge", "-p", started)
        with pytest.raises(
            CommandFailed, match=f"{field} is immutable once the job was started: create a new HybridJob"
        ):
            plane.kubectl("replace", "-f", "-", stdin=json.dumps(obj))
    finally:
        plane.kubectl("delete", "hj", "fixed")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("hybridjob", "KIND:       HybridJob"),
        ("hybridjob.spec.program", "circuit"),
        ("hybridjob.spec.program", "python"),
        ("hybridjob.spec.program.circuit.openqasm", "OpenQASM"),
        ("hybridjob.spec.shots", "shots"),
        ("hybridjob.status.result", "counts"),
        ("quantumbackend.spec.simulator.method", "Automatic"),
    ],
)
def test_explain_is_useful(plane: ControlPlane, path: str, says: str) -> None:
    printed = plane.kubectl("explain", path)
    assert says in printed
    assert "<no description>" not in printed.lower()
    description = printed.split("DESCRIPTION:")[1].split("FIELDS:")[0].strip()
    assert len(description.split()) >= 3
