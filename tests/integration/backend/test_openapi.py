"""The description of the protocol is true of a running server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from qiskit import QuantumCircuit
from starlette.routing import Route

from qonverge.backend.config import EngineConfig
from qonverge.backend.http.openapi import (
    BackendAnswer,
    ErrorAnswer,
    IdentityAnswer,
    TaskAnswer,
    TaskList,
    TaskRequest,
)
from qonverge.backend.http.operations import OPERATIONS
from qonverge.backend.http.server import Server
from qonverge.backend.tasks.engine import Engine
from qonverge.circuits.checker.checker import Checker
from qonverge.wire.proof import prove
from tests.integration.backend.conftest import serving

HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
BELL = HEADER + "qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;"
TURN = HEADER + "input float theta; qubit[1] q; ry(theta) q[0];"


@pytest.fixture(scope="module")
def described(backend: Any) -> dict[str, Any]:
    answer = backend.ask("GET", "/openapi.json", authorization="")
    assert answer.status == 200
    found: dict[str, Any] = answer.body
    return found


async def test_every_route_is_described_and_every_described_one_is_there(described: dict[str, Any]) -> None:
    routes = Server(Engine(EngineConfig()), Checker(), None).app().routes
    served = {
        (method.lower(), route.path)
        for route in routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert served == {(method, path) for path, methods in described["paths"].items() for method in methods}


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    text = json.dumps(described)
    references = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    assert references
    for reference in references:
        assert reference.removeprefix("#/components/schemas/") in described["components"]["schemas"]


@pytest.mark.parametrize(
    "body",
    [
        {"pubs": [{"openqasm": BELL, "shots": 10}], "seed": 1, "id": "api-1"},
        {"pubs": [{"openqasm": BELL, "shots": 10}], "memory": True},
        {"pubs": [{"openqasm": TURN, "parameters": {"theta": [0.1, 0.2]}, "observables": ["Z", {"X": 0.5}]}]},
        {
            "pubs": [{"openqasm": TURN, "parameters": {"theta": 0.1}, "observables": ["Z"], "precision": 0.1}],
            "id": "api-1",
        },
        {"pubs": [{"openqasm": TURN, "parameters": {"theta": [0.1, 0.2]}, "observables": ["Z"], "pairs": [[1, 0]]}]},
        {"pubs": [{"openqasm": BELL, "shots": 10_000_000}]},
    ],
    ids=["counts", "memory", "values", "precision", "pairs", "failed"],
)
def test_real_requests_and_answers_are_as_described(backend: Any, body: dict[str, Any]) -> None:
    TaskRequest.model_validate_json(json.dumps(body), strict=True)
    answer = backend.send_json(body)
    assert answer.status == 200
    TaskAnswer.model_validate_json(json.dumps(answer.body), strict=True)


def test_other_answers_are_as_described(backend: Any, kit: Any, endless: QuantumCircuit) -> None:
    json_kind = {"content_type": "application/json"}
    BackendAnswer.model_validate_json(json.dumps(backend.ask("GET", "/v1/backend", **json_kind).body), strict=True)
    assert backend.send(kit.task(endless, "api-endless"), wait=0).status == 202
    listed = backend.ask("GET", "/v1/tasks", **json_kind)
    assert TaskList.model_validate_json(json.dumps(listed.body), strict=True).tasks
    standing = backend.ask("GET", "/v1/tasks/api-endless", **json_kind)
    assert standing.status == 202
    TaskAnswer.model_validate_json(json.dumps(standing.body), strict=True)
    ended = backend.ask("DELETE", "/v1/tasks/api-endless", **json_kind)
    assert TaskAnswer.model_validate_json(json.dumps(ended.body), strict=True).state == "Cancelled"


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.guarded], ids=lambda each: each.handler)
def test_refusals_and_tokens_are_as_described(backend: Any, operation: Any, described: dict[str, Any]) -> None:
    path = operation.path.replace("{identity}", "none")
    refused = backend.ask(operation.method, path, b"{}", authorization="", content_type="application/json")
    assert refused.status == 401
    assert ErrorAnswer.model_validate_json(json.dumps(refused.body), strict=True).error.code == "Unauthorized"
    own = described["paths"][operation.path][operation.method.lower()]
    assert {"token": []} in own["security"]


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if not (each.guarded or each.proves)], ids=lambda each: each.handler
)
def test_what_is_described_without_a_token_needs_none(backend: Any, operation: Any) -> None:
    assert backend.ask(operation.method, operation.path, authorization="").status in operation.statuses


def test_a_server_proves_itself_to_whoever_asks(backend: Any, described: dict[str, Any]) -> None:
    assert backend.ask("GET", "/v1/identity?challenge=x", authorization="").status == 404, "it was given no key"
    with serving("--concurrency", "1", "--instance", "uid-1", "--key", "secret") as running:
        answer = running.ask("GET", "/v1/identity?challenge=x", authorization="")
        assert answer.status == 200
        assert IdentityAnswer.model_validate(answer.body).proof == prove("secret", "x", "uid-1")
        for challenge in ("", "x" * 129):
            refused = running.ask("GET", f"/v1/identity?challenge={challenge}", authorization="")
            assert (refused.status, refused.error["code"]) == (400, "InvalidTask")
    (parameter,) = described["paths"]["/v1/identity"]["get"]["parameters"]
    assert parameter["name"] == "challenge"
