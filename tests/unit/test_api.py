"""The resource types and what is generated from them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from qonverge.api import HybridJob, QuantumBackend, rights
from qonverge.api.base import LabelSelector
from qonverge.api.registry import KINDS, RESOURCES
from qonverge.api.schema import custom_resource_definitions, render
from qonverge.devices import Layout

ROOT = Path(__file__).parents[2]
BELL = {"circuit": {"openqasm": "OPENQASM 3.0;"}}


def laid_out(**layout: Any) -> dict[str, Any]:
    return {"circuit": {"openqasm": "x", "layout": layout}}


def job(**spec: Any) -> HybridJob:
    return HybridJob.model_validate({"metadata": {"name": "j"}, "spec": {"program": BELL, **spec}})


@pytest.mark.parametrize("folder", ["crds", "charts/qonverge/crds"])
def test_committed_definitions_are_the_models(folder: str) -> None:
    committed = {path.name: path.read_text() for path in (ROOT / folder).glob("*.yaml")}
    assert committed == render(), "run `make generate`"


def test_the_committed_rights_are_the_registry_s() -> None:
    committed = (ROOT / "charts/qonverge/templates/_rights.tpl").read_text()
    assert committed == rights.render(), "run `make generate`"


def test_what_is_owned_and_watched_is_registered() -> None:
    for resource in RESOURCES.values():
        assert resource.kind == resource.model.__name__
        assert resource.model.model_fields["kind"].default == resource.kind
        for owned in resource.owns:
            assert "create" in KINDS[owned].verbs, f"{resource.kind} owns {owned}, which the operator may not create"


def test_definitions_are_the_same_each_time_and_name_each_rule_once() -> None:
    def walk(schema: object) -> None:
        if isinstance(schema, dict):
            rules = [rule["rule"] for rule in schema.get("x-kubernetes-validations", [])]
            assert len(rules) == len(set(rules)), rules
            for value in schema.values():
                walk(value)
        elif isinstance(schema, list):
            for value in schema:
                walk(value)

    first = render()
    assert render() == first
    walk(custom_resource_definitions())


def test_every_field_is_described() -> None:
    def walk(schema: dict[str, Any], path: str) -> list[str]:
        missing = []
        for name, value in schema.get("properties", {}).items():
            if "description" not in value and path:
                missing.append(f"{path}.{name}")
            missing += walk(value, f"{path}.{name}") + walk(value.get("items", {}), f"{path}.{name}[]")
        return missing

    for crd in custom_resource_definitions().values():
        properties = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        assert walk(properties["spec"], "spec") == []
        assert walk(properties["status"], "status") == []


def test_schemas_are_structural() -> None:
    """No references, unions or titles are left, which the API server would refuse."""

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            assert not node.keys() & {"$ref", "anyOf", "allOf", "title", "const", "$defs"}
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    for crd in custom_resource_definitions().values():
        walk(crd["spec"]["versions"][0]["schema"])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"program": {}}, "program: set exactly one of circuit, python"),
        ({"program": {**BELL, "python": {"source": "x"}}}, "program: set exactly one of circuit, python"),
        ({"program": {"circuit": {}}}, "program.circuit: set exactly one of openqasm, qpy, configMapKeyRef"),
        ({"shots": 10, "precision": 0.1}, "set shots or precision, not both"),
        ({"shots": 0}, "greater than or equal to 1"),
        ({"backend": {}}, "backend: set exactly one of name, selector"),
        ({"shotz": 1}, "Extra inputs are not permitted"),
        ({"program": laid_out(qubits=[3, 5, 3])}, "puts qubits 0 and 2 of the circuit both on qubit 3"),
        ({"program": laid_out(qubits=[])}, "at least 1 item"),
        ({"program": laid_out(qubits=[-1])}, "greater than or equal to 0"),
        ({"program": laid_out(qubits=[0], routing="Maybe")}, "Input should be 'Allowed' or 'Never'"),
        ({"placement": {"maxErrors": {"twoQubit": 1.5}}}, "less than or equal to 1"),
        ({"placement": {"maxErrors": {"oneQubit": 0.1}}}, "Extra inputs are not permitted"),
    ],
)
def test_bad_jobs_are_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace(".", r"\.")):
        job(**spec)


@pytest.mark.parametrize(
    ("simulator", "message"),
    [
        ({"device": "TPU"}, "Input should be 'CPU' or 'GPU'"),
        ({"layout": "Trivial"}, "Input should be 'Optimized' or 'AsGiven'"),
        ({"noise": {}}, "noise: set exactly one of device, configMapKeyRef, rates"),
        ({"noise": {"device": "torrino"}}, "there is no snapshot of a device called torrino; did you mean torino?"),
        ({"noise": {"rates": {"oneQubit": 1.5}}}, "less than or equal to 1"),
        ({"noise": {"rates": {"readout": -0.1}}}, "greater than or equal to 0"),
        ({"noise": {"rates": {"t1": 1e-4, "t2": 3e-4, "readoutSeconds": 0}}}, "t2 is at most 2 t1"),
        ({"noise": {"rates": {"t2": 1e-4}}}, "t1 and t2 act over time"),
        (
            {"engine": "Aer", "method": "Stabilizer", "noise": {"device": "lima"}},
            "the method Stabilizer of Aer takes Pauli noise only",
        ),
        ({"engine": "Stim", "method": "Statevector"}, "the engine Stim has the methods Automatic and Stabilizer"),
        ({"engine": "Stim", "device": "GPU"}, "the engine Stim computes on CPU only"),
        ({"engine": "BraketLocal", "method": "Stabilizer"}, "the engine BraketLocal has the methods Automatic, State"),
        (
            {"engine": "Aer", "method": "Stabilizer", "noise": {"rates": {"t1": 1e-4, "readoutSeconds": 1e-6}}},
            "the method Stabilizer of Aer takes Pauli noise only",
        ),
    ],
)
def test_bad_simulators_are_refused(simulator: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        QuantumBackend.model_validate({"metadata": {"name": "b"}, "spec": {"simulator": simulator}})


@pytest.mark.parametrize(
    "simulator",
    [
        {"noise": {"device": "torino"}, "device": "GPU"},
        {"engine": "Stim", "method": "Stabilizer", "noise": {"device": "torino"}},
        {"engine": "BraketLocal", "method": "DensityMatrix"},
        {"method": "Stabilizer", "noise": {"device": "torino"}},
        {"noise": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"noise": {"rates": {"twoQubit": 0.01}}, "method": "Stabilizer"},
        {"noise": {"rates": {"t1": 1e-4, "t2": 2e-4, "twoQubitSeconds": 1e-7}}},
    ],
)
def test_good_simulators_are_taken(simulator: dict[str, Any]) -> None:
    backend = QuantumBackend.model_validate({"metadata": {"name": "b"}, "spec": {"simulator": simulator}})
    assert backend.to_dict()["spec"]["simulator"] == simulator


def test_a_layout_is_routed_unless_it_says_never() -> None:
    circuits = [
        job(program=laid_out(qubits=[3, 5], **routing)).spec.program.circuit
        for routing in ({}, {"routing": "Allowed"}, {"routing": "Never"})
    ]
    assert [None if circuit is None else circuit.given_layout for circuit in circuits] == [
        Layout((3, 5)),
        Layout((3, 5)),
        Layout((3, 5), routing=False),
    ]
    assert job(program={"circuit": {"openqasm": "x"}}).spec.program.circuit.given_layout is None  # type: ignore[union-attr]


def test_a_job_keeps_what_was_given() -> None:
    given = {"shots": 7, "program": {"circuit": {"openqasm": "x", "observables": ["ZZ", {"XX": 0.5}]}}}
    assert job(**given).to_dict()["spec"] == given


def test_a_backend_is_offered_to_other_namespaces_only_when_told() -> None:
    metadata = {"name": "b", "namespace": "lab"}
    own = QuantumBackend.model_validate({"metadata": metadata, "spec": {"simulator": {}}})
    assert not own.is_offered
    access = {"namespaces": {"from": "All"}}
    shared = QuantumBackend.model_validate({"metadata": metadata, "spec": {"simulator": {}, "access": access}})
    assert shared.is_offered


@pytest.mark.parametrize(
    ("requirement", "matches"),
    [
        ({"key": "tier", "operator": "In", "values": ["edge"]}, True),
        ({"key": "tier", "operator": "NotIn", "values": ["edge"]}, False),
        ({"key": "tier", "operator": "Exists"}, True),
        ({"key": "tier", "operator": "DoesNotExist"}, False),
    ],
)
def test_selectors(requirement: dict[str, Any], matches: bool) -> None:
    selector = LabelSelector.model_validate({"matchLabels": {"a": "b"}, "matchExpressions": [requirement]})
    assert selector.matches({"a": "b", "tier": "edge"}) is matches
    assert not selector.matches({"tier": "edge"})
