"""Meters and grants on a running server: what programs use is counted, and the operator says how much it may be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from qiskit import QuantumCircuit

from qonverge.amounts import Limits, Money, Prices
from qonverge.backend.http.openapi import MetersAnswer, MetersRequest
from qonverge.wire.codec import pack
from qonverge.wire.grants import Grant, Meters
from qonverge.wire.tokens import OPERATOR_SUBJECT


@pytest.fixture
def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def meet(backend: Any, grants: Mapping[str, Grant] | None = None) -> Meters:
    given = None if grants is None else {name: grant.to_dict() for name, grant in grants.items()}
    body = {"grants": given, "boot": None if given is None else meet(backend).boot}
    answer = backend.ask("POST", "/v1/meters", body=pack(body), subject=OPERATOR_SUBJECT)
    assert answer.status == 200
    return Meters.from_dict(answer.body)


def send(backend: Any, task: Any, account: str, *, attempt: int = 0, wait: int = 30) -> Any:
    token = backend.token("chem/job", account=account, attempt=attempt)
    return backend.send(task, wait=wait, authorization=f"Bearer {token}")


def test_a_program_is_held_to_its_grant(backend: Any, kit: Any, bell: QuantumCircuit) -> None:
    assert send(backend, kit.task(bell, "m-1", shots=100), "uid-1").body["error"]["code"] == "GrantPending"
    assert meet(backend).by_account["uid-1"].wanted is not None
    limit = Limits(150, 60.0, Money(Decimal(2), "EUR"))
    grants = {"uid-1": Grant(limit, limit, Prices(shot=Decimal("0.01"), currency="EUR"), "2030-01-01T00:00:00Z")}
    meet(backend, grants)
    first = send(backend, kit.task(bell, "m-2", shots=100), "uid-1")
    assert first.body["state"] == "Completed"
    # The same task again is no further one.
    assert send(backend, kit.task(bell, "m-2", shots=100), "uid-1").body["state"] == "Completed"
    refused = send(backend, kit.task(bell, "m-3", shots=100), "uid-1")
    assert (refused.status, refused.body["error"]["code"]) == (403, "QuotaExceeded")
    assert refused.body["error"]["message"] == (
        "the task asks for 100 shots and 50 are left of what the namespace's quotas allow; they are renewed at "
        "2030-01-01T00:00:00Z: ask for less, or for a larger quota"
    )
    meter = meet(backend, grants).by_account["uid-1"]
    assert (meter.used.tasks, meter.used.shots, meter.now) == (1, 100, limit)
    assert meter.used.seconds == pytest.approx(first.body["run_seconds"])
    # A program that has ended, as the operator sees it, may use nothing more.
    assert meet(backend, {}).by_account["uid-1"].now == Limits(0, 0.0)
    late = send(backend, kit.task(bell, "m-4", shots=1), "uid-1")
    assert (late.status, late.body["error"]["code"]) == (403, "AccessEnded")


@pytest.mark.kills_a_worker
def test_a_closed_account_ends_with_its_tasks(backend: Any, kit: Any, bell: QuantumCircuit, endless: Any) -> None:
    """What runs, what waits, and every request: the task of another account is left alone."""
    meet(backend, {"closing": Grant(), "staying": Grant()})
    workers = {worker.pid for worker in backend.workers()}
    for number in range(3):
        assert send(backend, kit.task(endless, f"closing-{number}", shots=1), "closing", wait=0).status == 202
    kit.until(lambda: backend.info()["running"] == 2, "two tasks run")
    assert send(backend, kit.task(bell, "staying", shots=1), "staying", wait=0).status == 202
    meter = meet(backend, {"staying": Grant()}).by_account["closing"]
    assert (meter.used.shots, meter.under_way) == (0, 0)
    answer = backend.ask("GET", "/v1/tasks/staying?wait=30", subject="chem/job")
    assert answer.body["state"] == "Completed"
    for number in range(3):
        answer = backend.ask("GET", f"/v1/tasks/closing-{number}", subject=OPERATOR_SUBJECT)
        assert (answer.body["state"], answer.body["error"]["code"]) == ("Cancelled", "AccessEnded")
    headers = {"authorization": f"Bearer {backend.token(account='closing')}"}
    for method, path in (
        ("GET", "/v1/tasks"),
        ("GET", "/v1/tasks/closing-0"),
        ("DELETE", "/v1/tasks/staying"),
        ("GET", "/v1/backend"),
    ):
        answer = backend.ask(method, path, **headers)
        assert (answer.status, answer.body["error"]["code"]) == (403, "AccessEnded"), path
    kit.until(lambda: len({worker.pid for worker in backend.workers()} - workers) >= 2, "their workers are replaced")


def test_an_attempt_that_is_over_ends_with_its_tasks(backend: Any, kit: Any, endless: Any) -> None:
    meet(backend, {"tried": Grant(attempt=1)})
    assert send(backend, kit.task(endless, "first", shots=1), "tried", attempt=1, wait=0).status == 202
    meet(backend, {"tried": Grant(attempt=2)})
    answer = backend.ask("GET", "/v1/tasks/first", subject=OPERATOR_SUBJECT)
    assert (answer.body["state"], answer.body["error"]["code"]) == ("Cancelled", "AccessEnded")
    assert "attempt 1 of chem/job is over" in answer.body["error"]["message"]


def test_a_program_that_the_server_was_not_told_of_waits(backend: Any, kit: Any, bell: QuantumCircuit) -> None:
    meet(backend, {})
    answer = send(backend, kit.task(bell, "early", shots=1), "early")
    error = answer.body["error"]
    assert (answer.status, error["code"], error["retryable"]) == (429, "GrantPending", True)
    assert backend.info()["unnamed"] == 1
    meet(backend, {"early": Grant()})
    assert send(backend, kit.task(bell, "early", shots=1), "early").body["state"] == "Completed"
    assert backend.info()["unnamed"] == 0


def test_what_fails_or_is_not_run_takes_no_shots(backend: Any, kit: Any, endless: QuantumCircuit) -> None:
    meet(backend, {"uid-2": Grant()})
    assert send(backend, kit.task(endless, "m-fails", shots=10_000_000), "uid-2").body["state"] == "Failed"
    token = backend.token("chem/job", account="uid-2")
    backend.send(kit.task(endless, "m-endless", shots=7), wait=0, authorization=f"Bearer {token}")
    assert meet(backend).by_account["uid-2"].used.shots == 7
    assert backend.ask("DELETE", "/v1/tasks/m-endless").status == 200
    assert meet(backend).by_account["uid-2"].used.shots == 0


def test_meters_are_the_operator_s(backend: Any) -> None:
    answer = backend.ask("POST", "/v1/meters", body=pack({"grants": {}}))
    assert answer.status == 404
    for bad in (b"\xc1", pack({"grants": {"a": 1}}), pack({"grants": {"a": {"now": [1]}}}), pack([1])):
        answer = backend.ask("POST", "/v1/meters", body=bad, subject=OPERATOR_SUBJECT)
        assert (answer.status, answer.body["error"]["code"]) == (400, "InvalidTask")


def test_meters_are_as_described(backend: Any, kit: Any, bell: QuantumCircuit) -> None:
    meet(backend, {"uid-3": Grant()})
    send(backend, kit.task(bell, "m-described"), "uid-3")
    body = json.dumps({"grants": {"uid-3": Grant().to_dict()}})
    MetersRequest.model_validate_json(body)
    kind = {"content_type": "application/json", "subject": OPERATOR_SUBJECT}
    answer = backend.ask("POST", "/v1/meters", body=body.encode(), **kind)
    MetersAnswer.model_validate_json(json.dumps(answer.body), strict=True)
    assert "uid-3" in answer.body["meters"]
