"""The server process over loopback: what it answers, what it refuses, and that nothing sent to it does it harm."""

from __future__ import annotations

import json
import random
import socket
import threading
import uuid
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from qiskit import QuantumCircuit

from qonverge.wire.codec import pack
from qonverge.wire.messages import Pub, Task
from qonverge.wire.tokens import OPERATOR_SUBJECT, Signer, generate_private_key

HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
BELL_TEXT = HEADER + "qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;"


@pytest.fixture(autouse=True)
def unharmed(backend: Any, kit: Any, bell: QuantumCircuit, request: pytest.FixtureRequest) -> Any:
    """After every test the server still is the same process, with the same workers where the test kills none."""
    before = {worker.pid for worker in backend.workers()}
    yield
    assert backend.process.poll() is None
    assert backend.ask("GET", "/healthz").status == 200
    answer = backend.send(kit.task(bell, f"after-{uuid.uuid4()}", shots=10))
    assert answer.body["state"] == "Completed"
    if "kills_a_worker" not in request.keywords:
        # The spare one may have come meanwhile.
        assert before <= {worker.pid for worker in backend.workers()}


def test_a_bell_pair_as_a_person_sends_it(backend: Any) -> None:
    answer = backend.send_json({"pubs": [{"openqasm": BELL_TEXT, "shots": 1000}], "seed": 4})
    assert answer.status == 200
    assert answer.body["state"] == "Completed"
    counts = answer.body["results"][0]["counts"][0]
    assert set(counts) == {"00", "11"}
    assert sum(counts.values()) == 1000
    assert answer.body["engine"].startswith("Aer ")
    again = backend.ask("GET", f"/v1/tasks/{answer.body['id']}", content_type="application/json")
    assert again.body == answer.body


def test_expectation_values_of_a_sweep_in_json(backend: Any) -> None:
    text = HEADER + "input float theta; qubit[1] q; ry(theta) q[0];"
    angles = [0.0, 0.5, 1.0]
    pub = {"openqasm": text, "parameters": {"theta": angles}, "observables": ["Z", {"X": 2.0}]}
    result = backend.send_json({"pubs": [pub]}).body["results"][0]
    assert np.array(result["expectation_values"]) == pytest.approx(
        np.stack([np.cos(angles), 2 * np.sin(angles)], axis=-1), abs=1e-9
    )
    sampled = backend.send_json({"pubs": [{**pub, "precision": 0.05}]}).body["results"][0]
    assert np.max(sampled["standard_errors"]) <= 0.05


def test_a_task_in_msgpack_is_answered_in_msgpack(backend: Any, kit: Any, bell: QuantumCircuit) -> None:
    answer = backend.send(kit.task(bell, "packed", shots=100, memory=True, seed=1))
    bits, array = answer.body["results"][0]["registers"]["c"]
    assert (bits, array.shape, array.dtype) == (2, (1, 100, 1), np.uint8)
    assert set(array.ravel().tolist()) == {0, 3}


def test_json_may_ask_for_a_packed_answer(backend: Any) -> None:
    answer = backend.ask(
        "POST",
        "/v1/tasks?wait=60",
        json.dumps({"pubs": [{"openqasm": BELL_TEXT}]}).encode(),
        content_type="application/json",
        accept="application/msgpack",
    )
    assert answer.status == 200, answer.body
    assert answer.body["state"] == "Completed"


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        (b"", 400, "InvalidTask", "JSON"),
        (b"{", 400, "InvalidTask", "JSON"),
        (b"[" * 100_000, 400, "InvalidTask", "JSON"),
        (b"\xff\xfe", 400, "InvalidTask", "JSON"),
        (b"[]", 400, "InvalidTask", "object such as"),
        (b'{"pubs": []}', 400, "InvalidTask", "at least one circuit"),
        ({"pubs": [{"circuit": "d"}]}, 400, "InvalidTask", "openqasm"),
        ({"pubs": [{"openqasm": "hello"}]}, 422, "InvalidCircuit", "line 1"),
        ({"pubs": [{"openqasm": HEADER + "qubit q; foo q;"}]}, 422, "InvalidCircuit", "foo"),
        ({"pubs": [{"openqasm": HEADER + "qubit q; h q;"}]}, 422, "InvalidCircuit", "measures nothing"),
        ({"pubs": [{"openqasm": HEADER + 'include "/etc/passwd"; qubit q;'}]}, 422, "InvalidCircuit", "include"),
        ({"pubs": [{"openqasm": BELL_TEXT, "parameters": [1]}]}, 400, "InvalidTask", "parameters is an object"),
        ({"pubs": [{"openqasm": BELL_TEXT, "parameters": {"x": 1}}]}, 422, "InvalidCircuit", "no parameter x"),
        ({"pubs": [{"openqasm": BELL_TEXT, "observables": 5}]}, 400, "InvalidTask", "observables"),
        ({"pubs": [{"openqasm": BELL_TEXT, "observables": ["ZZZ"]}]}, 422, "InvalidCircuit", "2 qubits"),
        ({"pubs": [{"openqasm": BELL_TEXT, "shots": 0}]}, 400, "InvalidTask", "shots is 0"),
        ({"pubs": [{"openqasm": BELL_TEXT, "shots": "many"}]}, 400, "InvalidTask", "shots"),
        ({"pubs": [{"openqasm": BELL_TEXT, "precision": -1}]}, 400, "InvalidTask", "precision"),
        ({"pubs": [{"openqasm": BELL_TEXT, "pairs": "x"}]}, 400, "InvalidTask", "pairs"),
        ({"pubs": [{"openqasm": BELL_TEXT, "pairs": [[0, 2**40]]}]}, 400, "InvalidTask", "pairs"),
        ({"pubs": [{"openqasm": BELL_TEXT}], "seed": 2**40}, 400, "InvalidTask", "seed"),
        ({"pubs": [{"openqasm": BELL_TEXT}], "id": 5}, 400, "InvalidTask", "id must be"),
        ({"pubs": [{"openqasm": BELL_TEXT}], "id": "a/b"}, 400, "InvalidTask", "id"),
    ],
    ids=lambda value: str(value)[-40:] if isinstance(value, (dict, bytes)) else str(value),
)
def test_bad_json_is_refused_with_a_sentence(backend: Any, body: Any, status: int, code: str, says: str) -> None:
    answer = backend.send_json(body)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert says in answer.error["message"]
    assert "Traceback" not in "".join(backend.lines)


def test_a_sweep_with_nan_is_refused(backend: Any) -> None:
    text = HEADER + "input float theta; qubit[1] q; bit c; ry(theta) q[0]; c = measure q[0];"
    body = json.dumps({"pubs": [{"openqasm": text, "parameters": {"theta": [0.5, float("nan")]}}]}).encode()
    answer = backend.send_json(body)
    assert answer.status in (400, 422)
    assert "NaN" in answer.error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x91" * 3000,
        msgpack.packb(5),
        msgpack.packb({"id": "t", "pubs": 5}),
        msgpack.packb({"id": "t", "pubs": [{"circuit": "d", "parameters": [1]}]}),
        msgpack.packb({"id": "t", "pubs": [{"circuit": "d", "observables": 5}]}),
        msgpack.packb({"id": "t", "pubs": [{"circuit": "d", "pairs": [[0, 2**40]]}]}),
        msgpack.packb({"id": "t", "pubs": [{"circuit": "d"}], "circuits": {"d": "text"}}),
        msgpack.packb({"id": "t", "pubs": [{"circuit": "d", "parameters": {"a": float("nan")}}]}),
    ],
    ids=lambda body: body[-12:].hex(),
)
def test_bad_messages_are_refused_with_a_sentence(backend: Any, body: bytes) -> None:
    answer = backend.ask("POST", "/v1/tasks", body)
    assert (answer.status, answer.error["code"]) == (400, "InvalidTask")
    assert " " in answer.error["message"]


def test_no_damaged_message_is_the_servers_fault(backend: Any, kit: Any, bell: QuantumCircuit) -> None:
    good = pack(kit.task(bell, "damaged", shots=5, parameters={"a": np.arange(2.0)}).to_dict())
    chance = random.Random(11)
    for _ in range(200):
        damaged = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        answer = backend.ask("POST", "/v1/tasks", bytes(damaged[: chance.randrange(1, len(damaged) + 1)]))
        assert answer.status < 500, answer.body


def test_qpy_that_is_none_is_refused(backend: Any, kit: Any, bell: QuantumCircuit) -> None:
    import hashlib

    _, good = kit.travelling(bell)
    chance = random.Random(3)
    bodies = [b"", b"QISKIT", b"\0" * 1000, good[:-5], good + good]
    for _ in range(60):
        damaged = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        bodies.append(bytes(damaged))
    refused = 0
    for number, body in enumerate(bodies):
        digest = hashlib.sha256(body).hexdigest()
        answer = backend.send(Task(f"qpy-{number}", (Pub(digest, shots=5),), {digest: body}))
        error = answer.body["error"]
        if error is not None:
            refused += 1
            assert not error["retryable"], error
            assert error["code"] in ("InvalidCircuit", "InvalidTask", "CircuitTooLarge", "EngineFailed"), error
            assert " " in error["message"]
    assert refused >= len(bodies) // 2


@pytest.mark.parametrize("wait", ["x", "-1", "1e9", "nan", ""])
def test_any_wait_is_answered(backend: Any, wait: str) -> None:
    answer = backend.ask("GET", f"/v1/tasks/none?wait={wait}")
    assert answer.status in (400, 404)
    assert answer.error["message"]


@pytest.mark.parametrize(("method", "path"), [("PUT", "/v1/tasks"), ("GET", "/nowhere"), ("GET", "/v1/tasks/a/b")])
def test_what_is_not_served_is_said_in_the_protocols_words(backend: Any, method: str, path: str) -> None:
    answer = backend.ask(method, path)
    assert answer.status in (404, 405)
    assert answer.error["code"] == "NotFound"
    assert answer.error["message"]


def test_a_body_over_the_limit_is_refused_unread(backend: Any) -> None:
    # The length is announced and never sent.
    with socket.create_connection(("127.0.0.1", backend.port), timeout=30) as connection:
        head = (
            f"POST /v1/tasks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {backend.token()}\r\n"
            f"content-type: application/msgpack\r\ncontent-length: {10**12}\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert b" 413 " in connection.recv(4096)


def test_a_body_without_a_length_is_bounded_too(backend: Any) -> None:
    with socket.create_connection(("127.0.0.1", backend.port), timeout=60) as connection:
        head = (
            f"POST /v1/tasks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {backend.token()}\r\n"
            "content-type: application/msgpack\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode())
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        answer = b""
        try:
            for _ in range(80):
                connection.sendall(chunk)
            answer = connection.recv(4096)
        except (BrokenPipeError, ConnectionResetError):
            answer = answer or b" 413 "
        assert b" 413 " in answer


@pytest.mark.parametrize("path", ["/v1/backend", "/v1/tasks/x"])
def test_a_token_is_needed(backend: Any, path: str) -> None:
    other = Signer(generate_private_key()).sign(audience="lab/aer", subject="s", now=2e9, ttl=60)
    for header, code, says in [
        ("", "Unauthorized", "bearer token is needed"),
        ("Basic abc", "Unauthorized", "bearer token is needed"),
        ("Bearer x.y.z", "Unauthorized", "not valid"),
        (f"Bearer {other}", "Unauthorized", "not valid"),
        (f"Bearer {backend.token(audience='lab/other')}", "Unauthorized", "another service"),
        (f"Bearer {backend.token(ttl=-10)}", "TokenExpired", "expired"),
    ]:
        answer = backend.ask("GET", path, authorization=header)
        assert (answer.status, answer.error["code"]) == (401, code)
        assert says in answer.error["message"]


def test_tasks_belong_to_who_sent_them(backend: Any, kit: Any, bell: QuantumCircuit) -> None:
    task = kit.task(bell, "mine", shots=5)
    assert backend.send(task, subject="a/one").status == 200
    for method in ("GET", "DELETE"):
        assert backend.ask(method, "/v1/tasks/mine", subject="b/two").status == 404
    assert backend.send(task, subject="b/two").status == 404
    for subject in ("a/one", OPERATOR_SUBJECT):
        assert backend.ask("GET", "/v1/tasks/mine", subject=subject).body["state"] == "Completed"


def test_a_circuit_that_cannot_fit_is_refused_with_the_numbers(backend: Any) -> None:
    rotations = "".join(f"rx(0.3) q[{qubit}]; cx q[{qubit}], q[{39 - qubit}];" for qubit in range(20))
    text = HEADER + f"qubit[40] q; bit[40] c; {rotations} c = measure q;"
    answer = backend.send_json({"pubs": [{"openqasm": text}]})
    error = answer.error
    assert error["code"] == "CircuitTooLarge"
    assert "needs 16 TiB" in error["message"]
    assert error["detail"]["has_bytes"] == backend.info()["memory_bytes"] < 2 * 1024**3
    assert "40 qubits" in error["message"]
    assert not error["retryable"]


def test_a_caller_who_leaves_does_not_cancel(backend: Any, kit: Any) -> None:
    circuit = QuantumCircuit(12, 1)
    circuit.rx(0.3, range(12))
    circuit.reset(0)
    circuit.rx(0.3, 0)
    circuit.measure(0, 0)
    body = pack(kit.task(circuit, "left-alone", shots=20_000).to_dict())
    with socket.create_connection(("127.0.0.1", backend.port), timeout=30) as connection:
        head = (
            f"POST /v1/tasks?wait=60 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {backend.token()}\r\n"
            f"content-type: application/msgpack\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        kit.until(lambda: backend.ask("GET", "/v1/tasks/left-alone").status != 404, "the task has arrived")
    answer = backend.ask("GET", "/v1/tasks/left-alone?wait=60")
    assert answer.body["state"] == "Completed"


def test_many_callers_who_send_the_same_task_share_one_run(backend: Any, kit: Any, bell: QuantumCircuit) -> None:
    done = backend.metric('qonverge_backend_tasks_total{state="Completed"}')
    task = kit.task(bell, "shared", shots=1000)
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(backend.send(task))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({json.dumps(answer.body, sort_keys=True) for answer in answers}) == 1
    assert backend.metric('qonverge_backend_tasks_total{state="Completed"}') == done + 1


@pytest.mark.kills_a_worker
def test_a_running_task_is_cancelled_and_its_worker_is_free_again(
    backend: Any, kit: Any, bell: Any, endless: Any
) -> None:
    kit.until(lambda: len(backend.workers()) == 3, "two workers and a spare one")
    before = {worker.pid for worker in backend.workers()}
    for number in range(2):
        assert backend.send(kit.task(endless, f"endless-{number}"), wait=0).status == 202
    kit.until(lambda: backend.info()["running"] == 2, "both workers are busy")
    assert backend.send(kit.task(bell, "behind"), wait=0).body["state"] == "Queued"
    assert backend.metric("qonverge_backend_tasks_running") == 2
    assert backend.metric("qonverge_backend_queue_length") == 1
    for number in range(2):
        answer = backend.ask("DELETE", f"/v1/tasks/endless-{number}")
        assert answer.body["state"] == "Cancelled"
        assert answer.error["code"] == "Cancelled"
    assert backend.ask("GET", "/v1/tasks/behind?wait=60").body["state"] == "Completed"
    kit.until(lambda: len(backend.workers()) == 3, "two workers and a spare one again")
    # Of the three only the spare one lives on, now in a place.
    assert len(before & {worker.pid for worker in backend.workers()}) == 1


@pytest.mark.kills_a_worker
def test_a_full_queue_says_so(backend: Any, kit: Any, bell: Any, endless: Any) -> None:
    for number in range(2):
        backend.send(kit.task(endless, f"hog-{number}"), wait=0)
    kit.until(lambda: backend.info()["running"] == 2, "both workers are busy")
    for number in range(50):
        assert backend.send(kit.task(bell, f"filler-{number}", shots=1), wait=0).status == 202
    answer = backend.send(kit.task(bell, "one-more"), wait=0)
    assert (answer.status, answer.error["code"], answer.error["retryable"]) == (429, "QueueFull", True)
    for number in range(2):
        backend.ask("DELETE", f"/v1/tasks/hog-{number}")
    for number in range(50):
        assert backend.ask("GET", f"/v1/tasks/filler-{number}?wait=60").body["state"] == "Completed"


def test_the_server_tells_what_it_is_and_how_busy(backend: Any) -> None:
    info = backend.info()
    assert info["workers"] == 2
    assert info["queue_limit"] == 50
    assert {"Automatic", "Statevector", "DensityMatrix", "MatrixProductState", "Stabilizer"} <= set(info["methods"])
    assert {"h", "cx", "rz"} <= set(info["basis_gates"])
    assert (info["queued"], info["running"], info["draining"]) == (0, 0, False)


def test_metrics_have_names_units_and_move(backend: Any, kit: Any, bell: QuantumCircuit) -> None:
    def seen() -> list[float]:
        return [
            backend.metric("qonverge_backend_queue_seconds_count"),
            backend.metric("qonverge_backend_run_seconds_count"),
            backend.metric('qonverge_backend_tasks_total{state="Completed"}'),
        ]

    before = seen()
    backend.send(kit.task(bell, "counted"))
    assert seen() == [value + 1 for value in before]
    text = backend.ask("GET", "/metrics", authorization="").body
    for name in ("queue_seconds_bucket", "run_seconds_bucket", "queue_length", "tasks_running", "workers"):
        assert f"qonverge_backend_{name}" in text
    kit.until(lambda: backend.metric("qonverge_backend_workers") == 2, "both workers are counted")


def test_the_server_itself_never_loads_qiskit(backend: Any, kit: Any) -> None:
    def libraries(pid: int) -> str:
        return Path(f"/proc/{pid}/maps").read_text()

    if not Path("/proc/self/maps").exists():
        pytest.skip("needs Linux's /proc")
    assert "qiskit" not in libraries(backend.process.pid)
    # Workers that an earlier test had replaced may still be loading.
    kit.until(lambda: all("qiskit_aer" in libraries(worker.pid) for worker in backend.workers()), "workers load Aer")
    assert "qiskit" not in libraries(backend.process.pid)
