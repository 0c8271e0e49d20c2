"""The connection against servers and networks that misbehave."""

from __future__ import annotations

import ssl
import threading
from dataclasses import replace
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from bench.remote import certificate
from qonverge.amounts import TaskLimits
from qonverge.client.errors import BackendUnreachable, ClientError, NotConfigured, TaskFailed, UntrustedBackend
from qonverge.client.transport.connection import Connection
from qonverge.wire.codec import pack, unpack
from qonverge.wire.errors import (
    Draining,
    GrantPending,
    InvalidCircuit,
    QueueFull,
    TokenExpired,
    Unauthorized,
    UnknownCircuit,
    WireError,
    WorkerLost,
)
from qonverge.wire.messages import Pub, Task, TaskResult
from qonverge.wire.vendor import DeviceState, VendorTask

MSGPACK = "application/msgpack"
TASK = Task("job-1", (Pub("d" * 64, shots=5),), {"d" * 64: b"qpy"})


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def connection(url: str, time: Time, **more: Any) -> Connection:
    return Connection(url, clock=time.clock, sleep=time.sleep, **more)


def done(request: Any) -> tuple[int, str, bytes]:
    sent = unpack(request.body)
    return 200, MSGPACK, pack(TaskResult(sent["id"], "Completed", engine="Aer 1").to_dict())


def refused(error: WireError) -> tuple[int, str, bytes]:
    return error.status, MSGPACK, pack({"error": error.to_dict()})


def scripted(*answers: Any) -> Any:
    """Answer with each in turn, then as a good server would."""
    left = list(answers)
    return lambda request: left.pop(0) if left else done(request)


def test_a_result_arrives_and_circuits_travel_once(peer: Any) -> None:
    peer.answer = done
    client = connection(peer.url, Time())
    assert client.run(TASK).state == "Completed"
    client.run(Task("job-2", TASK.pubs, TASK.circuits))
    first, second = (unpack(request.body) for request in peer.received)
    assert first["circuits"] == TASK.circuits
    assert second["circuits"] == {}


def test_a_server_that_forgot_the_circuits_gets_them_again(peer: Any) -> None:
    peer.answer = done
    client = connection(peer.url, Time())
    client.run(TASK)
    peer.answer = scripted(refused(UnknownCircuit("gone", missing=["d" * 64])))
    client.run(Task("job-2", TASK.pubs, TASK.circuits))
    assert unpack(peer.received[-1].body)["circuits"] == TASK.circuits


def test_a_server_that_always_forgets_is_given_up(peer: Any) -> None:
    peer.answer = lambda _: refused(UnknownCircuit("gone", missing=["d" * 64]))
    with pytest.raises(ClientError, match="circuits"):
        connection(peer.url, Time()).run(TASK)


@pytest.mark.parametrize(
    "trouble",
    [
        refused(WorkerLost("gone")),
        refused(Draining("bye")),
        refused(QueueFull("full")),
        None,
        (503, "text/html", b"<html>no healthy upstream</html>"),
        (502, "text/html", b""),
        (504, "text/plain", b"Gateway Timeout"),
    ],
    ids=["WorkerLost", "Draining", "QueueFull", "hang up", "503 page", "502 empty", "504 text"],
)
def test_passing_trouble_is_waited_out(peer: Any, trouble: Any) -> None:
    time = Time()
    peer.answer = scripted(trouble, trouble)
    assert connection(peer.url, time).run(TASK).state == "Completed"
    assert len(peer.received) == 3
    assert time.naps == sorted(time.naps)


def failed(error: WireError) -> Any:
    return lambda request: (200, MSGPACK, pack(TaskResult(unpack(request.body)["id"], "Failed", error=error).to_dict()))


def ids(peer: Any) -> list[str]:
    return [unpack(request.body)["id"] for request in peer.received if request.method == "POST"]


def test_another_attempt_has_another_id_and_the_same_one_in_a_second_call(peer: Any) -> None:
    peer.answer = lambda request: failed(WorkerLost("gone"))(request) if len(peer.received) == 1 else done(request)
    connection(peer.url, Time()).run(TASK)
    assert ids(peer) == ["job-1", "job-1.1"]
    peer.received.clear()
    connection(peer.url, Time()).run(TASK)
    assert ids(peer) == ["job-1", "job-1.1"]


def test_what_a_server_hands_back_late_is_sent_again_however_long_that_took(peer: Any) -> None:
    """Its time to be patient begins when the server was asked to end, and not when the task was sent."""
    time = Time()

    def late(request: Any) -> Any:
        if len(peer.received) > 1:
            return done(request)
        time.now += 1000
        return failed(Draining("handed back"))(request)

    peer.answer = late
    assert connection(peer.url, time).run(TASK).state == "Completed"
    assert ids(peer) == ["job-1", "job-1.1"]


def test_a_task_is_asked_for_where_it_is_when_the_name_leads_elsewhere(peer: Any) -> None:
    """Kubernetes takes a pod out of its Service as soon as it is to end; what it runs, it runs to its end."""
    there, port = ["127.0.0.1"], peer.url.rpartition(":")[2]

    def answer(request: Any) -> Any:
        if request.method == "POST":
            there[:] = ["127.0.0.9"]
            return 202, MSGPACK, pack(TaskResult(unpack(request.body)["id"], "Running").to_dict())
        return 200, MSGPACK, pack(TaskResult("job-1", "Completed", engine="Aer 1").to_dict())

    peer.answer = answer
    client = connection(f"http://backend.test:{port}", Time(), resolve=lambda *_: list(there))
    assert client.run(TASK).state == "Completed"
    assert [request.method for request in peer.received] == ["POST", "GET"]
    assert {request.headers["host"] for request in peer.received} == {f"backend.test:{port}"}


def test_what_may_be_under_way_is_sent_again_under_its_own_id(peer: Any) -> None:
    """As by a proxy that was replaced and that the operator has still to tell of the program."""
    first = [failed(WorkerLost("gone")), refused(GrantPending("not yet")), None, refused(QueueFull("full"))]

    def answer(request: Any) -> Any:
        said = first.pop(0) if first else done
        return said(request) if callable(said) else said

    peer.answer = answer
    assert connection(peer.url, Time()).run(TASK).state == "Completed"
    assert ids(peer) == ["job-1", *["job-1.1"] * 4]


RUNNING = (202, MSGPACK, pack(TaskResult("job-1.1", "Running").to_dict()))


@pytest.mark.parametrize(
    "lost",
    [None, refused(TokenExpired("old")), (404, MSGPACK, pack({"error": {"code": "NotFound", "message": "no task"}}))],
    ids=["no answer", "another token", "another server"],
)
def test_an_attempt_that_was_taken_goes_on_under_its_id_and_says_so(peer: Any, lost: Any) -> None:
    """The server may have been replaced by one that knows nothing of it, and whose cloud cannot say what it has."""
    answers = [failed(WorkerLost("gone")), RUNNING, lost]

    def answer(request: Any) -> Any:
        said = answers.pop(0) if answers else done
        return said(request) if callable(said) else said

    peer.answer = answer
    assert connection(peer.url, Time(), renewal=30).run(TASK).state == "Completed"
    assert ids(peer) == ["job-1", "job-1.1", "job-1.1"]
    sent = [unpack(request.body)["again"] for request in peer.received if request.method == "POST"]
    assert sent == [False, False, True]


@pytest.mark.parametrize("interrupted", [True, False], ids=["interrupted", "out of patience"])
def test_a_second_call_goes_on_with_the_attempt_under_way(peer: Any, interrupted: bool) -> None:
    """Not with the first one, which a server that was replaced would begin anew beside it."""
    time, answers = Time(), [failed(WorkerLost("gone")), RUNNING]

    def answer(request: Any) -> Any:
        said = answers.pop(0) if answers else None
        return said(request) if callable(said) else said

    peer.answer = answer
    client = connection(peer.url, time, patience=1)
    if interrupted:
        sleep = time.sleep

        def interrupt(seconds: float) -> None:
            sleep(seconds)
            if not answers:
                raise KeyboardInterrupt

        client = Connection(peer.url, clock=time.clock, sleep=interrupt)
    with pytest.raises(KeyboardInterrupt if interrupted else BackendUnreachable):
        client.run(TASK)
    peer.answer = done
    peer.received.clear()
    assert client.run(TASK).id == "job-1.1"
    assert [(unpack(own.body)["id"], unpack(own.body)["again"]) for own in peer.received] == [("job-1.1", True)]
    # It has ended: another call is another task.
    peer.received.clear()
    client.run(TASK)
    assert ids(peer) == ["job-1"]


def test_patience_ends(peer: Any) -> None:
    time = Time()
    peer.answer = lambda _: refused(WorkerLost("the worker is gone"))
    with pytest.raises(TaskFailed, match="the worker is gone") as caught:
        connection(peer.url, time, patience=30).run(TASK)
    assert caught.value.code == "WorkerLost"
    assert 20 < time.now <= 30


def test_nobody_there_is_a_sentence(peer: Any) -> None:
    time = Time()
    with pytest.raises(BackendUnreachable, match=r"has not answered for 30 s"):
        connection("http://127.0.0.1:9", time, patience=30).run(TASK)
    assert 20 < time.now <= 30


@pytest.mark.parametrize(
    "answer",
    [
        (404, "text/plain", b"Not Found"),
        (200, "text/html", b"<html>welcome</html>"),
        (200, MSGPACK, b"\xc1"),
        (200, MSGPACK, pack([1, 2])),
        (200, MSGPACK, pack({"state": "Completed"})),
        (400, MSGPACK, pack({"error": "text"})),
    ],
    ids=["404 text", "200 page", "not msgpack", "a list", "half a result", "odd error"],
)
def test_an_answer_of_something_else_is_a_sentence(peer: Any, answer: Any) -> None:
    peer.answer = lambda _: answer
    with pytest.raises(ClientError, match=r"\w+ \w+"):
        connection(peer.url, Time(), patience=1).run(TASK)


def test_a_refused_task_is_not_tried_again(peer: Any) -> None:
    peer.answer = lambda _: refused(InvalidCircuit("line 1: no", line=1))
    with pytest.raises(TaskFailed, match="line 1: no") as caught:
        connection(peer.url, Time()).run(TASK)
    assert (caught.value.code, caught.value.detail) == ("InvalidCircuit", {"line": 1})
    assert len(peer.received) == 1


def test_a_long_task_is_polled_until_it_ends(peer: Any) -> None:
    running = (202, MSGPACK, pack(TaskResult("job-1", "Running").to_dict()))
    finished = (200, MSGPACK, pack(TaskResult("job-1", "Completed").to_dict()))
    peer.answer = scripted(running, running, finished)
    assert connection(peer.url, Time()).run(TASK).state == "Completed"
    assert [(request.method, request.path.partition("?")[0]) for request in peer.received] == [
        ("POST", "/v1/tasks"),
        ("GET", "/v1/tasks/job-1"),
        ("GET", "/v1/tasks/job-1"),
    ]


def test_a_server_that_restarts_in_the_middle_gets_the_task_again(peer: Any) -> None:
    running = (202, MSGPACK, pack(TaskResult("job-1", "Running").to_dict()))
    peer.answer = scripted(running, None)
    assert connection(peer.url, Time()).run(TASK).state == "Completed"
    assert unpack(peer.received[-1].body)["circuits"] == TASK.circuits
    # It says that it may have been sent before: some clouds cannot tell.
    assert [unpack(own.body)["again"] for own in (peer.received[0], peer.received[-1])] == [False, True]


def test_a_task_lost_between_two_polls_is_sent_again(peer: Any) -> None:
    running = (202, MSGPACK, pack(TaskResult("job-1", "Running").to_dict()))
    gone = (404, MSGPACK, pack({"error": {"code": "NotFound", "message": "there is no task job-1"}}))
    peer.answer = scripted(running, gone)
    assert connection(peer.url, Time()).run(TASK).state == "Completed"


def test_the_token_is_read_anew_for_every_request(peer: Any, tmp_path: Path) -> None:
    peer.answer = done
    token = tmp_path / "token"
    token.write_text("first\n")
    client = Connection.from_environment({"QONVERGE_BACKEND_URL": peer.url, "QONVERGE_TOKEN_FILE": str(token)})
    client.run(TASK)
    token.write_text("second\n")
    client.run(TASK)
    assert [request.headers["authorization"] for request in peer.received] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("error", [TokenExpired("the token has expired"), Unauthorized("the token is not valid")])
def test_a_refused_token_is_read_again_until_a_new_one_is_there(peer: Any, error: Unauthorized) -> None:
    """The same task goes on meanwhile: under another id it would run twice."""
    token, time = ["old"], Time()

    def renew(seconds: float) -> None:
        time.sleep(seconds)
        if time.now > 600:
            token[0] = "new"

    running = (202, MSGPACK, pack(TaskResult("job-1", "Running").to_dict()))
    finished = (200, MSGPACK, pack(TaskResult("job-1", "Completed").to_dict()))

    def answer(request: Any) -> tuple[int, str, bytes]:
        if len(peer.received) == 1:
            return running
        return finished if request.headers["authorization"] == "Bearer new" else refused(error)

    peer.answer = answer
    client = Connection(peer.url, lambda: token[0], renewal=900, clock=time.clock, sleep=renew)
    assert client.run(TASK).state == "Completed"
    assert {unpack(request.body)["id"] for request in peer.received if request.method == "POST"} == {"job-1"}


def test_a_token_that_is_never_renewed_ends_in_a_sentence(peer: Any) -> None:
    time = Time()
    peer.answer = lambda _: refused(TokenExpired("the token has expired"))
    with pytest.raises(TaskFailed, match=r"has not done so for 900 s \[TokenExpired\]"):
        connection(peer.url, time, renewal=900).run(TASK)
    assert 890 < time.now <= 900
    # A person's own is refused at once.
    peer.received.clear()
    own = {"QONVERGE_BACKEND_URL": peer.url, "QONVERGE_TOKEN": "own"}
    with pytest.raises(TaskFailed, match=r"^the token has expired \[TokenExpired\]$"):
        Connection.from_environment(own).run(TASK)
    assert len(peer.received) == 1


def test_a_missing_token_file_is_a_sentence(peer: Any, tmp_path: Path) -> None:
    client = Connection.from_environment(
        {"QONVERGE_BACKEND_URL": peer.url, "QONVERGE_TOKEN_FILE": str(tmp_path / "none")}
    )
    with pytest.raises(ClientError, match="none"):
        client.run(TASK)


def test_outside_of_a_job_it_says_what_to_do() -> None:
    with pytest.raises(NotConfigured, match="qonverge run"):
        Connection.from_environment({})


def test_cancel_asks_the_server_and_bears_its_absence(peer: Any) -> None:
    connection(peer.url, Time()).cancel("job-1")
    assert [(request.method, request.path) for request in peer.received] == [("DELETE", "/v1/tasks/job-1")]
    with pytest.raises(ClientError):
        connection("http://127.0.0.1:9", Time()).cancel("job-1")


def test_what_may_be_at_a_vendor_stays_the_same_task(peer: Any) -> None:
    """By the limits of its device as they were, and the ids that a server told and gave its word for."""

    def device(shots: int) -> None:
        peer.info = replace(peer.info, device=DeviceState(True, limits=TaskLimits(shots)))

    told = VendorTask("task-1", "Queued", key="k1", seal="word"), VendorTask("", "Queued", key="k2")
    running = (202, MSGPACK, pack(TaskResult("job-1", "Running", vendor_tasks=told).to_dict()))

    def busy(_: Any) -> Any:
        device(20)
        return refused(QueueFull("full"))

    def lost(_: Any) -> None:
        device(5)

    device(10)
    left = [busy, lambda _: running, lost]
    peer.answer = lambda request: left.pop(0)(request) if left else done(request)
    client = connection(peer.url, Time())
    assert client.run(TASK).state == "Completed"
    client.run(Task("job-2", TASK.pubs, TASK.circuits))
    sent = [unpack(request.body) for request in peer.received if request.method == "POST"]
    # What was refused was not sent: it is for the device as it is then.
    assert [each["limits"][0] for each in sent] == [10, 20, 20, 5]
    assert [(each["known"], each["seals"]) for each in sent] == [
        ({}, {}),
        ({}, {}),
        ({"k1": "task-1"}, {"k1": "word"}),
        ({}, {}),
    ]


def test_a_server_that_has_not_heard_of_its_device_is_waited_for(peer: Any) -> None:
    peer.answer, whole = done, peer.info
    time, peer.info = Time(), replace(peer.info, engine="", device=DeviceState(False, "not heard yet"))
    with pytest.raises(BackendUnreachable, match="not heard of its device"):
        connection(peer.url, time, patience=1).run(TASK)
    assert not peer.received
    peer.info = replace(whole, device=DeviceState(False, "in maintenance", limits=TaskLimits(7)))
    connection(peer.url, time).run(TASK)
    assert unpack(peer.received[0].body)["limits"] == [7, 1, None, 1]


def test_a_certificate_that_is_not_trusted_ends_the_task_at_once(tmp_path: Path) -> None:
    certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        time = Time()
        try:
            url = f"https://localhost:{server.server_address[1]}"
            with pytest.raises(UntrustedBackend, match=f"{url} has a certificate .* of its authority in SSL_CERT_FILE"):
                connection(url, time).run(TASK)
        finally:
            server.shutdown()
            thread.join()
    assert time.naps == []
