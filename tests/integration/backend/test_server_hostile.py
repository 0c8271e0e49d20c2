"""Callers who take, send or hold too much are refused or cut off; the server, its memory and others are unharmed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import socket
import struct
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
import psutil
import pytest
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter

from qonverge.wire.codec import pack, unpack
from qonverge.wire.messages import Pub, Task

MIB = 1024**2
GIB = 1024**3


@pytest.fixture(scope="module")
def server(kit: Any) -> Iterator[Any]:
    """A server whose limits of time are short, so that tests see them."""
    shortened = {
        "qonverge.backend.http.caller_limits": {"HEADER_SECONDS": 2.0, "STALL_SECONDS": 3.0},
        "qonverge.backend.http.server": {"_PAUSE_SECONDS": 2.0, "_BUDGET_SECONDS": 20.0},
    }
    with kit.serving("--concurrency", "2", "--memory-limit", str(6 * GIB), constants=shortened) as running:
        yield running


class Watch:
    """Peak memory of the server's own process during a block."""

    def __init__(self, backend: Any) -> None:
        self._process = psutil.Process(backend.process.pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.before = self.most = self._process.memory_info().rss

    def _look(self) -> None:
        while not self._stop.wait(0.01):
            self.most = max(self.most, self._process.memory_info().rss)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def grown(self) -> int:
        return self.most - self.before


@pytest.fixture
def others(server: Any, kit: Any, bell: QuantumCircuit) -> Callable[[], None]:
    """Return a function that runs another session's task."""

    def run() -> None:
        answer = server.send(kit.task(bell, f"other-{uuid.uuid4()}", shots=10), subject="bio/other", wait=30)
        assert answer.body["state"] == "Completed"

    return run


@contextlib.contextmanager
def connected(backend: Any, *, small: bool = False) -> Iterator[socket.socket]:
    """Connect; ``small`` leaves the system little room to take an answer for a caller that does not read."""
    made = socket.socket()
    if small:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.settimeout(60)
    made.connect((backend.host, backend.port))
    with made:
        yield made


def head(backend: Any, method: str, path: str, *lines: str, subject: str = "chem/job") -> bytes:
    given = [
        f"{method} {path} HTTP/1.1",
        "host: x",
        f"authorization: Bearer {backend.token(subject)}",
        "content-type: application/msgpack",
    ]
    return "\r\n".join([*given, *lines, "", ""]).encode()


def all_of(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    came = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(MIB):
            came += more
    return came


def answer_of(connection: socket.socket) -> bytes:
    """Return one answer, headers and body."""
    came = b""
    while b"\r\n\r\n" not in came:
        more = connection.recv(65536)
        assert more, came
        came += more
    header, _, body = came.partition(b"\r\n\r\n")
    length = int(header.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return header + b"\n\n" + body


@pytest.mark.parametrize("length", [f"content-length: {GIB}", "transfer-encoding: chunked"])
def test_a_body_of_a_gigabyte_is_refused(server: Any, others: Any, length: str) -> None:
    chunk = b"x" * MIB
    if "chunked" in length:
        chunk = b"100000\r\n" + chunk + b"\r\n"
    answers = []

    def send() -> None:
        answer = b""
        with connected(server) as connection:
            connection.sendall(head(server, "POST", "/v1/tasks", length))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(1024):
                    connection.sendall(chunk)
            with contextlib.suppress(ConnectionResetError):
                answer = connection.recv(65536)
        answers.append(answer)

    with Watch(server) as memory:
        callers = [threading.Thread(target=send) for _ in range(3)]
        for caller in callers:
            caller.start()
        others()
        for caller in callers:
            caller.join()
    assert len(answers) == 3
    # A reset may come before the answer; who gets one gets this one.
    assert all(b" 413 " in answer and b"split the task" in answer for answer in answers if answer)
    assert memory.grown < 256 * MIB


def test_bodies_at_the_limit_share_a_budget(server: Any, others: Any) -> None:
    """More announced bytes than there are for bodies: the rest waits unread."""
    with contextlib.ExitStack() as stack, Watch(server) as memory:
        for _ in range(12):
            connection = stack.enter_context(connected(server))
            connection.settimeout(0.5)
            connection.sendall(head(server, "POST", "/v1/tasks", f"content-length: {64 * MIB}"))
            with contextlib.suppress(TimeoutError):
                for _ in range(63):
                    connection.sendall(b"x" * MIB)
        others()
    assert memory.grown < 420 * MIB


@pytest.mark.parametrize("body", [b"", b"x"])
def test_a_body_that_does_not_come_is_given_up(server: Any, others: Any, body: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(head(server, "POST", "/v1/tasks", "content-length: 1000") + body)
        others()
        answer = answer_of(connection)
    assert b" 408 " in answer
    assert b"TooSlow" in answer


def test_a_body_that_trickles_is_given_up(server: Any, others: Any) -> None:
    with connected(server) as connection:
        connection.sendall(head(server, "POST", "/v1/tasks", "content-length: 1000"))
        connection.settimeout(0.2)
        answer, began = b"", time.monotonic()
        while not answer and time.monotonic() - began < 30:
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(65536)
        others()
    assert b" 408 " in answer


@pytest.mark.parametrize("first", [b"", b"GET /v1/backend HTTP/1.1\r\nhost: x\r\n", b"\r\n"])
def test_headers_that_do_not_end_end_the_connection(server: Any, others: Any, first: bytes) -> None:
    with connected(server) as connection:
        connection.settimeout(0.2)
        connection.sendall(first)
        ended, began = False, time.monotonic()
        while not ended and time.monotonic() - began < 30:
            try:
                # An empty line before a request is nothing, and a header more is no end of them.
                connection.sendall(b"\r\n" if first == b"\r\n" else first and b"a: b\r\n")
                ended = connection.recv(1) == b""
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                ended = True
        assert ended
    others()


def test_a_second_request_on_a_kept_connection_must_end_too(server: Any) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b" 200 " in answer_of(connection)
        # Idle for longer than headers may take: a kept connection may be.
        time.sleep(2.5)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b" 200 " in answer_of(connection)
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert all_of(connection) == b""


def test_a_thousand_idle_connections_are_nothing(server: Any, others: Any) -> None:
    with contextlib.ExitStack() as stack, Watch(server) as memory:
        idle = [stack.enter_context(connected(server)) for _ in range(1000)]
        for connection in idle[:500]:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        others()
        for connection in idle[:500]:
            assert b" 200 " in connection.recv(4096)
    assert memory.grown < 128 * MIB


def large_task(kit: Any, identity: str, sets: int) -> Task:
    """Return a task whose result has so many MB."""
    angle = Parameter("t")
    circuit = QuantumCircuit(8, 8)
    circuit.ry(angle, range(8))
    circuit.measure(range(8), range(8))
    task: Task = kit.task(
        circuit, identity, seed=1, memory=True, shots=1_000_000, parameters={"t": np.linspace(0, 1, sets)}
    )
    return task


def test_callers_who_stop_reading_are_cut_off(server: Any, kit: Any, others: Any) -> None:
    task = large_task(kit, "unread", 100)
    assert server.send(task, wait=60).body["state"] == "Completed"
    process = psutil.Process(server.process.pid)
    with contextlib.ExitStack() as stack, Watch(server) as memory:
        stalled = []
        for _ in range(8):
            connection = stack.enter_context(connected(server, small=True))
            connection.sendall(head(server, "GET", "/v1/tasks/unread"))
            # It begins to read, and stops in the middle.
            for _ in range(50):
                assert connection.recv(4096)
            stalled.append(connection)
        others()
        ports = {connection.getsockname()[1] for connection in stalled}

        def left() -> set[int]:
            return ports & {
                c.raddr.port for c in process.net_connections("tcp") if c.raddr and c.status != "CLOSE_WAIT"
            }

        kit.until(lambda: not left(), "all are cut off", seconds=60)
        # Eight copies of the answer would be 800 MB.
        assert memory.grown < 64 * MIB
        for connection in stalled:
            assert len(all_of(connection)) < 90 * MIB
    # Who reads gets it all.
    answer = server.ask("GET", "/v1/tasks/unread")
    assert answer.body["results"][0]["registers"]["c"][1].shape == (100, 1_000_000, 1)


def test_a_large_result_is_not_told_in_json(server: Any, kit: Any, others: Any) -> None:
    assert server.send(large_task(kit, "as-json", 20), wait=60).body["state"] == "Completed"
    with Watch(server) as memory:
        answer = server.ask("GET", "/v1/tasks/as-json", content_type="application/json")
        others()
    assert (answer.status, answer.error["code"]) == (413, "TooLarge")
    assert "Accept: application/msgpack" in answer.error["message"]
    assert memory.grown < 32 * MIB


def crowded_json() -> bytes:
    return b'{"pubs": [' + b"[]," * (21 * MIB) + b"[]]}"


def crowded_msgpack() -> bytes:
    return b"\xdd" + (60 * MIB).to_bytes(4, "big") + b"\x90" * (60 * MIB)


def crowded_head() -> bytes:
    return b"\xdd" + (8 * MIB - 8).to_bytes(4, "big") + b"\x80" * (8 * MIB - 8)


def announced(depth: int) -> bytes:
    """Return lists within lists, each of which announces as many items as the whole body has bytes."""
    return b"\xdd\x00\x7f\x00\x00" * depth + b"\x00" * (8 * MIB - 10 * depth)


def far_array() -> bytes:
    described = msgpack.packb(msgpack.ExtType(1, msgpack.packb(("<f8", [2**40]))))
    return b"".join((struct.pack(">BIB", 0xC9, len(described), 2), described, bytes(64)))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (crowded_json(), "application/json"),
        (b"[" * (7 * MIB), "application/json"),
        (b'{"pubs": [' + b"1," * (3 * MIB) + b"1]}", "application/json"),
        (crowded_msgpack(), "application/msgpack"),
        (crowded_head(), "application/msgpack"),
        (announced(1), "application/msgpack"),
        (announced(500), "application/msgpack"),
        (b"\x91" * (7 * MIB), "application/msgpack"),
        (far_array(), "application/msgpack"),
    ],
    ids=[
        "json-crowd",
        "json-depth",
        "json-numbers",
        "crowd",
        "head-crowd",
        "announced",
        "announced-deep",
        "depth",
        "far",
    ],
)
def test_a_body_that_unfolds_is_refused(server: Any, others: Any, body: bytes, kind: str) -> None:
    with Watch(server) as memory:
        answer = server.ask("POST", "/v1/tasks", body, content_type=kind)
        others()
    assert answer.status in (400, 413)
    assert answer.error["code"] in ("InvalidTask", "TooLarge")
    assert " " in answer.error["message"]
    assert memory.grown < 320 * MIB


def test_what_waits_in_the_queue_is_bounded_in_bytes(server: Any, kit: Any, others: Any, endless: Any) -> None:
    angle = Parameter("t")
    circuit = QuantumCircuit(1, 1)
    circuit.ry(angle, 0)
    circuit.measure(0, 0)
    for number in range(2):
        server.send(kit.task(endless, f"hog-{number}"), wait=0)
    kit.until(lambda: server.info()["running"] == 2, "both workers are busy")
    # 40 MB of parameters each.
    task = kit.task(circuit, "heavy", shots=1, parameters={"t": np.zeros(5_000_000)})
    refused = None
    with Watch(server) as memory:
        for number in range(10):
            answer = server.send(Task(f"heavy-{number}", task.pubs, task.circuits), wait=0)
            if answer.status == 429:
                refused = answer
                break
    assert refused is not None
    assert refused.error["code"] == "QueueFull"
    assert "MiB" in refused.error["message"]
    assert memory.grown < 600 * MIB
    for number in range(10):
        server.ask("DELETE", f"/v1/tasks/heavy-{number}")
    for number in range(2):
        server.ask("DELETE", f"/v1/tasks/hog-{number}")
    others()


def qpy_of(circuit: QuantumCircuit) -> bytes:
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    return buffer.getvalue()


def qpy_bombs() -> dict[str, bytes]:
    """Return QPY that announces far more than it has, in every field of its header and around it."""
    good = qpy_of(QuantumCircuit(2, 2))
    bombs = {"zlib": zlib.compress(b"\0" * (200 * MIB)), "long": good + b"\0" * (30 * MIB)}
    for offset in range(6, min(len(good), 90), 4):
        bombs[f"count-at-{offset}"] = good[:offset] + b"\x7f\xff\xff\xff" + good[offset + 4 :]
    nested = QuantumCircuit(1, name="g0")
    nested.x(0)
    for level in range(1, 25):
        outer = QuantumCircuit(1, name=f"g{level}")
        outer.append(nested.to_gate(), [0])
        nested = outer
    nested.measure_all()
    bombs["nested"] = qpy_of(nested)
    return bombs


def test_qpy_bombs_harm_their_worker_at_most(server: Any, others: Any) -> None:
    refusals = ("InvalidCircuit", "InvalidTask", "CircuitTooLarge", "EngineFailed", "WorkerLost")
    with Watch(server) as memory:
        for name, body in qpy_bombs().items():
            digest = hashlib.sha256(body).hexdigest()
            answer = server.send(Task(f"bomb-{name}", (Pub(digest, shots=5),), {digest: body}), wait=10)
            if answer.status == 202:
                # It asks for more than can be done soon; that it can be ended is all that others need.
                for worker in server.workers():
                    assert worker.memory_info().rss < 3 * GIB
                assert server.ask("DELETE", f"/v1/tasks/bomb-{name}").body["state"] == "Cancelled"
            elif (error := answer.body["error"]) is not None:
                assert " " in error["message"], name
                assert error["code"] in refusals, name
            else:
                assert answer.body["state"] == "Completed", name
    others()
    assert memory.grown < 256 * MIB


def test_a_compressed_body_is_not_unfolded(server: Any, others: Any, kit: Any, bell: QuantumCircuit) -> None:
    body = zlib.compress(pack(kit.task(bell, "small", shots=1).to_dict()) + b"\0" * (500 * MIB))
    with Watch(server) as memory:
        answer = server.ask("POST", "/v1/tasks", body, content_encoding="deflate")
        others()
    assert (answer.status, answer.error["code"]) == (400, "InvalidTask")
    assert memory.grown < 32 * MIB


def test_a_whole_answer_is_one_message(server: Any, kit: Any) -> None:
    """What comes over a socket is the content-length that was announced, and reads as a result."""
    assert server.send(large_task(kit, "whole", 3), wait=60).body["state"] == "Completed"
    with connected(server) as connection:
        connection.sendall(head(server, "GET", "/v1/tasks/whole", "connection: close"))
        answer = all_of(connection)
    header, _, body = answer.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in header.lower()
    assert unpack(body)["results"][0]["registers"]["c"][1].nbytes == 3_000_000
