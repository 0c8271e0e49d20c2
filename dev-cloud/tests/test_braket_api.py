"""The REST API beneath the SDK: what it refuses, tokens, searches, faults, and what the control API shows of them."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError

from qonverge_dev_cloud.braket.storage import KEY_ID, SECRET
from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.faults import Fault

Start = Callable[..., DevCloud]

GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
BELL = "OPENQASM 3.0;\nbit[2] b;\nqubit[2] q;\nh q[0];\ncnot q[0], q[1];\nb[0] = measure q[0];\nb[1] = measure q[1];"


def client(*, retries: int = 0, region: str = "eu-north-1", patience: float = 60.0) -> Any:
    config = Config(retries={"total_max_attempts": retries + 1, "mode": "standard"}, read_timeout=patience)
    return boto3.client("braket", region_name=region, config=config)


def action(source: str = BELL, **inputs: float) -> str:
    header = {"name": "braket.ir.openqasm.program", "version": "1"}
    return json.dumps({"braketSchemaHeader": header, "source": source, "inputs": inputs})


def task(token: str = "t", **changes: Any) -> dict[str, Any]:
    return {
        "clientToken": token,
        "deviceArn": GARNET,
        "shots": 10,
        "outputS3Bucket": os.environ["AMZN_BRAKET_OUT_S3_BUCKET"],
        "outputS3KeyPrefix": "tasks",
        "action": action(),
    } | changes


def control(path: str, method: str = "GET", body: Any = None) -> Any:
    request = urllib.request.Request(
        f"{os.environ['QONVERGE_DEV_CLOUD']}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def created() -> int:
    return len(control("/tasks"))


@pytest.mark.parametrize(
    ("changes", "code", "sentence"),
    [
        ({"shots": 20_001}, "ValidationException", "20001 shots: Garnet takes 1 to 20000"),
        ({"shots": 0}, "ValidationException", "0 shots: Garnet takes 1 to 20000"),
        (
            {"deviceArn": "arn:aws:braket:::none"},
            "ValidationException",
            "no device arn:aws:braket:::none in eu-north-1",
        ),
        (
            {"outputS3Bucket": "amazon-braket-none"},
            "ValidationException",
            "the bucket amazon-braket-none does not exist",
        ),
        (
            {"outputS3Bucket": "b" * 64},
            "ValidationException",
            "CreateQuantumTaskRequest.outputS3Bucket: 64 is more than 63",
        ),
        ({"action": "{}"}, "ValidationException", "action or deviceParameters cannot be read"),
        ({"action": action("OPENQASM 3.0; qubit q; hh q;")}, "ValidationException", "the program cannot be read"),
        (
            {"action": action("OPENQASM 3.0; qubit[21] q; h q;")},
            "ValidationException",
            "acts on 21 qubits; Garnet has 20",
        ),
        (
            {"action": action("OPENQASM 3.0; qubit[12] q; h q;")},
            "ValidationException",
            "acts on 12 qubits: dev-cloud simulates up to 11 with errors, though Garnet takes 20",
        ),
        (
            {"action": action("OPENQASM 3.0;\n#pragma braket verbatim\nbox{\ncz $1, $3;\n}")},
            "ValidationException",
            "qubits 1 and 3 of Garnet are not coupled",
        ),
        (
            {"action": action("OPENQASM 3.0;\n#pragma braket verbatim\nbox{\nh $1;\n}")},
            "ValidationException",
            "Garnet has no native gate h: use prx, cz in verbatim boxes",
        ),
        (
            {"action": action("OPENQASM 3.0;\n#pragma braket verbatim\nbox{\nprx(0.1, 0.2) $0;\n}")},
            "ValidationException",
            "Garnet has no qubit 0",
        ),
        (
            {"action": action("OPENQASM 3.0; bit b; qubit[2] q; h q[0]; b = measure q[0]; if (b) x q[1];")},
            "ValidationException",
            "it uses qubits again after it measured them, or their bits",
        ),
        (
            {"action": action("OPENQASM 3.0; bit[2] b; qubit q; h q; b[0] = measure q; x q; b[1] = measure q;")},
            "ValidationException",
            "it uses qubits again after it measured them, or their bits",
        ),
        (
            {"action": action("OPENQASM 3.0; bit b; qubit q; x q; reset q; b = measure q;")},
            "ValidationException",
            "Garnet has no reset here",
        ),
        (
            {"action": action("OPENQASM 3.0; qubit q; x q;\n#pragma braket noise bit_flip(0.1) q")},
            "ValidationException",
            "Garnet takes no noise: bit_flip",
        ),
        (
            {"action": action("OPENQASM 3.0; qubit q;\n#pragma braket unitary([[0, 1], [1, 0]]) q")},
            "ValidationException",
            "Garnet takes no unitary matrices",
        ),
        (
            {"action": action("OPENQASM 3.0; input float theta; qubit q; rx(theta) q;")},
            "ValidationException",
            "Missing input variable 'theta'",
        ),
        (
            {"action": action("OPENQASM 3.0; qubit q; h q;\n#pragma braket result state_vector")},
            "ValidationException",
            "Garnet does not have the result type StateVector",
        ),
        ({"jobToken": "job"}, "ValidationException", "dev-cloud takes no jobToken"),
    ],
)
def test_what_is_refused(start: Start, changes: dict[str, Any], code: str, sentence: str) -> None:
    start()
    with pytest.raises(ClientError) as error:
        client().create_quantum_task(**task(**changes))
    assert error.value.response["Error"]["Code"] == code
    assert sentence in error.value.response["Error"]["Message"]
    assert created() == 0
    assert [entry["effect"] for entry in control("/journal?operation=CreateQuantumTask")] == [False]


def test_a_request_without_a_member_or_a_signature_is_refused(start: Start) -> None:
    cloud = start()
    endpoint = cloud.environment["AWS_ENDPOINT_URL_BRAKET"]
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=K/20260101/eu-north-1/braket/aws4_request, Signature=0"}
    for headers, sent, status, sentence in (
        ({}, task(), 403, "not signed"),
        (signed, {**task(), "shots": None}, 400, 'Missing required parameter in input: "shots"'),
        (signed, {**task(), "shots": "ten"}, 400, "Invalid type for parameter shots"),
        (signed, {**task(), "shotz": 1}, 400, "unknown member 'shotz'"),
        (signed, {**task(), "tags": {"a": 1}}, 400, "Invalid type for parameter tags.a"),
    ):
        request = urllib.request.Request(f"{endpoint}/quantum-task", json.dumps(sent).encode(), dict(headers))
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request, timeout=60)
        assert error.value.code == status
        assert sentence in json.load(error.value)["message"]


def test_a_token_stands_for_one_task(start: Start) -> None:
    start()
    braket = client()
    with ThreadPoolExecutor(8) as pool:
        arns = set(pool.map(lambda _: braket.create_quantum_task(**task("same"))["quantumTaskArn"], range(16)))
    assert len(arns) == created() == 1
    assert braket.create_quantum_task(**task("another"))["quantumTaskArn"] not in arns
    with pytest.raises(ClientError, match="the client token was used for a task with other parameters: shots"):
        braket.create_quantum_task(**task("same", shots=11))
    made = [entry["made"] for entry in control("/journal?operation=CreateQuantumTask") if entry["effect"]]
    assert len(made) == created() == 2


def test_cancelling_is_answered_once_and_again_for_the_same_token(start: Start) -> None:
    start(virtualClock=True, braket={"devices": {"Garnet": {"queue": {"seconds": 60}}}})
    braket = client()
    arn = braket.create_quantum_task(**task())["quantumTaskArn"]
    for _ in range(2):
        done = braket.cancel_quantum_task(quantumTaskArn=arn, clientToken="c")
        assert done["cancellationStatus"] == "CANCELLED"
    with pytest.raises(ClientError, match="ConflictException"):
        braket.cancel_quantum_task(quantumTaskArn=arn, clientToken="d")
    assert [entry["effect"] for entry in control("/journal?operation=CancelQuantumTask")] == [True, False, False]


@pytest.mark.parametrize("kind", ["lostReply", "status"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_one_task_whatever_becomes_of_the_reply(start: Start, kind: str, when: str) -> None:
    """With the SDK's own retries, and with the caller's: the token is the same."""
    start(faults=[{"kind": kind, "when": when, "operation": "CreateQuantumTask", "calls": [1, 2]}])
    with pytest.raises((ClientError, HTTPClientError, ConnectionClosedError)):
        client().create_quantum_task(**task())
    assert created() == (when == "after")
    arn = client(retries=2).create_quantum_task(**task())["quantumTaskArn"]
    assert [own["arn"] for own in control("/tasks")] == [arn]
    entries = control("/journal?operation=CreateQuantumTask")
    assert [entry["effect"] for entry in entries] == ([True, False, False] if when == "after" else [False, False, True])
    assert [entry["status"] for entry in entries] == ([None, None, 201] if kind == "lostReply" else [500, 500, 201])


def test_faults_are_set_while_it_runs(start: Start) -> None:
    cloud = start()
    braket = client()
    cloud.set_faults(Fault(kind="status", status=429, operation="GetDevice"))
    with pytest.raises(braket.exceptions.ThrottlingException):
        braket.get_device(deviceArn=GARNET)
    put = control("/faults", "PUT", [{"kind": "slow", "seconds": 3, "operation": "GetDevice", "calls": [1]}])
    assert put == control("/faults")
    # Longer than the client waits.
    with pytest.raises(HTTPClientError, match="Read timeout"):
        client(patience=2).get_device(deviceArn=GARNET)
    assert client().get_device(deviceArn=GARNET)["deviceName"] == "Garnet"
    with pytest.raises(urllib.error.HTTPError) as error:
        control("/faults", "PUT", [{"kind": "loud"}])
    assert error.value.code == 400 and "0.kind" in json.load(error.value)["error"]


def test_calls_beyond_a_limit_are_throttled(start: Start) -> None:
    cloud = start(
        virtualClock=True,
        limits=[{"cloud": "braket", "operation": "CreateQuantumTask", "perSecond": 2, "burst": 3}],
    )
    braket = client()
    for index in range(3):
        braket.create_quantum_task(**task(str(index)))
    with pytest.raises(braket.exceptions.ThrottlingException):
        braket.create_quantum_task(**task("3"))
    assert created() == 3
    last = cloud.journal.entries("braket", "CreateQuantumTask")[-1]
    assert (last.status, last.effect, last.faults) == (429, False, ("limit",))
    cloud.advance(0.5)
    braket.create_quantum_task(**task("3"))
    assert created() == 4


def test_searches_have_filters_and_pages(start: Start) -> None:
    start(braket={"devices": {"Garnet": {"queue": {"seconds": 600}}}})
    braket = client()
    arns = [
        braket.create_quantum_task(**task(str(index), tags={"n": str(index)}))["quantumTaskArn"] for index in range(5)
    ]
    braket.cancel_quantum_task(quantumTaskArn=arns[1], clientToken="c")

    def found(*filters: tuple[str, str, list[str]], size: int = 2) -> list[str]:
        pages = braket.get_paginator("search_quantum_tasks").paginate(
            filters=[{"name": name, "operator": operator, "values": values} for name, operator, values in filters],
            PaginationConfig={"PageSize": size},
        )
        return [own["quantumTaskArn"] for page in pages for own in page["quantumTasks"]]

    assert sorted(found()) == sorted(arns)
    assert found(("status", "EQUAL", ["CANCELLED"])) == [arns[1]]
    assert sorted(found(("deviceArn", "EQUAL", [GARNET]), ("status", "EQUAL", ["QUEUED"]))) == sorted(
        arns[:1] + arns[2:]
    )
    created_at = braket.get_quantum_task(quantumTaskArn=arns[2])["createdAt"].isoformat()
    assert set(found(("createdAt", "GTE", [created_at]))) >= set(arns[3:])
    assert found(("createdAt", "LT", ["2020-01-01T00:00:00Z"])) == []
    for filters, sentence in (
        (("name", "EQUAL", ["x"]), "no filter 'name'"),
        (("status", "LT", ["QUEUED"]), "takes the operator EQUAL, not LT"),
        (("createdAt", "LT", ["yesterday"]), "no time in ISO 8601"),
    ):
        with pytest.raises(ClientError, match=sentence):
            found(filters)
    # Tasks of another region are not seen, and cannot be asked for.
    assert client(region="us-east-1").search_quantum_tasks(filters=[])["quantumTasks"] == []
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client(region="us-east-1").get_quantum_task(quantumTaskArn=arns[0])


def test_tags(start: Start) -> None:
    start()
    braket = client()
    arn = braket.create_quantum_task(**task(tags={"a": "1", "b": "2"}))["quantumTaskArn"]
    braket.tag_resource(resourceArn=arn, tags={"c": "3"})
    braket.untag_resource(resourceArn=arn, tagKeys=["a", "b"])
    assert braket.list_tags_for_resource(resourceArn=arn)["tags"] == {"c": "3"}
    assert braket.get_quantum_task(quantumTaskArn=arn)["tags"] == {"c": "3"}


def test_what_is_not_done_says_so(start: Start) -> None:
    start()
    with pytest.raises(ClientError, match="dev-cloud does not do SearchJobs: it does CancelQuantumTask, CreateQ"):
        client().search_jobs(filters=[])


def test_the_control_api_holds_no_credentials(start: Start) -> None:
    start(virtualClock=True)
    arn = client().create_quantum_task(**task())["quantumTaskArn"]
    control("/clock/advance", "POST", {"seconds": 5})
    assert control("/")["elapsed"] == 5
    seen = control("/tasks")
    assert [(own["arn"], own["status"], own["cost"]) for own in seen] == [(arn, "COMPLETED", 0.3145)]
    told = json.dumps([seen, control("/journal"), control("/"), control("/faults")])
    assert "CreateQuantumTask" in told and KEY_ID not in told and SECRET not in told
    control("/journal", "DELETE")
    assert control("/journal") == []


def test_requests_are_answered_while_tasks_run(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Circuits run beside the server: a state is answered meanwhile."""
    cloud = start()
    from qonverge_dev_cloud import simulation

    running, going_on = _gate(), _gate()
    original: Callable[..., Any] = simulation.run

    def held(*args: Any, **options: Any) -> Any:
        running.set()
        assert going_on.wait(30)
        return original(*args, **options)

    monkeypatch.setattr(simulation, "run", held)
    braket = client()
    arn = braket.create_quantum_task(**task())["quantumTaskArn"]
    assert running.wait(30)
    assert braket.get_quantum_task(quantumTaskArn=arn)["status"] == "RUNNING"
    going_on.set()
    cloud.advance(0)
    assert braket.get_quantum_task(quantumTaskArn=arn)["status"] == "COMPLETED"


def _gate() -> Any:
    from threading import Event

    return Event()
