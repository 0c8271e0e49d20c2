"""The client of IBM's API against a server that answers as it is told, on this machine."""

from __future__ import annotations

import json
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from qonverge.backend.clouds.errors import (
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    CredentialsRefused,
    ReplyLost,
)
from qonverge.backend.clouds.ibm.cloud import IBMCloud
from qonverge.backend.clouds.ibm.options import api_of
from qonverge.backend.clouds.protocol import (
    JOB_TAG,
    NAMESPACE_TAG,
    RUN_TAG,
    CloudConfig,
    CloudTask,
    Submission,
    TaggingCloud,
)

CRN = "crn:v1:bluemix:public:quantum-computing:eu-de:a/b:c::"
KEY = "a" * 64
SECRETS = ("first-api-key", "first-token", "second-token")
PROGRAM = json.dumps({"program_id": "sampler", "params": {"pubs": []}})
JOB = {"id": "j1", "state": {"status": "Queued"}, "tags": ["qonverge", KEY]}


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    headers: dict[str, str]


@dataclass
class IBM:
    """What the server answers, and what it was asked."""

    url: str
    answer: Callable[[Request], tuple[int, Any] | None] = lambda request: (200, {})
    """Gives the status and the body; None: the connection is closed without an answer."""
    token: Callable[[], tuple[int, Any]] = lambda: (200, {"access_token": "first-token", "expires_in": 3600})
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    tokens: list[dict[str, list[str]]] = field(default_factory=list)


@pytest.fixture
def ibm() -> Iterator[IBM]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            data = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            url = urlsplit(self.path)
            if url.path == "/identity/token":
                state.tokens.append(parse_qs(data))
                given: tuple[int, Any] | None = state.token()
            else:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = json.loads(data) if data else None
                request = Request(self.command, url.path, parse_qs(url.query), body, headers)
                state.requests.append(request)
                given = state.answer(request)
            if given is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, answer = given
            content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**state.headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = IBM(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "QISKIT_IBM_TOKEN").write_text("first-api-key\n")
    return tmp_path


class Now:
    """A clock that stands where it is put."""

    time = 1.8e9

    def __call__(self) -> float:
        return self.time


def cloud(ibm: IBM, secret: Path, clock: Now | None = None, **options: Any) -> IBMCloud:
    given = {"backend": "ibm_fez", "instance": CRN, "endpoint": f"{ibm.url}/api/v1", "iamEndpoint": ibm.url, **options}
    return IBMCloud(CloudConfig(given, str(secret)), clock or Now())


def refusal(status: int, words: str = "no", code: int = 1234) -> Callable[[Request], tuple[int, Any]]:
    return lambda _: (status, {"errors": [{"code": code, "message": words, "solution": ""}], "trace": "t"})


def fault(call: Callable[[], Any]) -> CloudError:
    with pytest.raises(CloudError) as info:
        call()
    return info.value


def test_a_job_is_sent_with_its_key_as_a_tag(ibm: IBM, secret: Path) -> None:
    ibm.answer = lambda request: (200, {"id": "j1", "backend": "ibm_fez"})
    assert cloud(ibm, secret, maxExecutionTime=60).submit(KEY, Submission(PROGRAM, 100)) == "j1"
    (request,) = ibm.requests
    assert (request.method, request.path) == ("POST", "/api/v1/jobs")
    assert request.body == {
        "backend": "ibm_fez",
        "tags": ["qonverge", KEY],
        "cost": 60,
        "program_id": "sampler",
        "params": {"pubs": []},
    }
    assert request.headers["authorization"] == "Bearer first-token"
    assert request.headers["service-crn"] == CRN
    assert ibm.tokens == [{"grant_type": ["urn:ibm:params:oauth:grant-type:apikey"], "apikey": ["first-api-key"]}]


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (429, "slow down", CloudBusy),
        (403, "You have reached the limit of pending jobs", CloudBusy),
        (403, "not authorized", CredentialsRefused),
        (401, "expired", CredentialsRefused),
        (400, "Too many shots: the limit is 100000", CloudRefused),
        (404, "no such backend", CloudRefused),
        (409, "conflict", CloudRefused),
        (408, "timeout", ReplyLost),
        (500, "oops", ReplyLost),
        (503, "maintenance", ReplyLost),
    ],
)
def test_what_refusals_mean(status: int, words: str, kind: type[CloudError], ibm: IBM, secret: Path) -> None:
    ibm.answer = refusal(status, words)
    found = fault(lambda: cloud(ibm, secret).submit(KEY, Submission(PROGRAM, 1)))
    assert type(found).__mro__[:-1].count(kind) == 1
    assert str(found) == f"IBM Quantum, a new job: 1234 {words}"
    # What may be sent again is for the executor to say.
    assert len(ibm.requests) == 1


def test_a_wait_that_is_asked_for(ibm: IBM, secret: Path) -> None:
    ibm.answer, ibm.headers = refusal(429), {"Retry-After": "7"}
    found = fault(lambda: cloud(ibm, secret).device())
    assert isinstance(found, CloudBusy)
    assert found.after == 7


def test_a_lost_reply_is_told_from_a_request_that_was_not_sent(ibm: IBM, secret: Path) -> None:
    def submit(to: IBM, **options: Any) -> CloudError:
        return fault(lambda: cloud(to, secret, **options).submit(KEY, Submission(PROGRAM, 1)))

    ibm.answer = lambda request: None
    assert isinstance(submit(ibm), ReplyLost)
    assert len(ibm.requests) == 1
    ibm.answer = lambda request: (200, {})
    assert isinstance(submit(ibm), ReplyLost)
    ibm.answer = lambda request: (200, "<html>a proxy's page</html>")
    assert isinstance(submit(ibm), ReplyLost)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert isinstance(submit(ibm, endpoint=nobody), CloudUnavailable)
        assert isinstance(submit(ibm, iamEndpoint=nobody), CloudUnavailable)


def test_tokens_last_and_credentials_are_read_again(ibm: IBM, secret: Path) -> None:
    ibm.answer = lambda request: (200, {"jobs": []})
    clock = Now()
    one = cloud(ibm, secret, clock)
    one.find([KEY])
    clock.time += 3200
    one.find([KEY])
    assert len(ibm.tokens) == 1
    clock.time += 200
    one.find([KEY])
    assert len(ibm.tokens) == 2
    (secret / "QISKIT_IBM_TOKEN").write_text("second-api-key")
    ibm.token = lambda: (200, {"access_token": "second-token", "expires_in": 3600})
    one.find([KEY])
    assert ibm.tokens[-1]["apikey"] == ["second-api-key"]
    assert ibm.requests[-1].headers["authorization"] == "Bearer second-token"
    ibm.answer = refusal(401, "Bearer second-token has expired")
    assert "***" in str(fault(lambda: one.find([KEY])))
    ibm.answer = lambda request: (200, {"jobs": []})
    one.find([KEY])
    # The one that was refused is used no more.
    assert len(ibm.tokens) == 4


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (400, {"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found."}, CredentialsRefused),
        (429, {"errorMessage": "slow down"}, CloudBusy),
        (500, {}, CloudUnavailable),
        (200, "nonsense", CloudUnavailable),
    ],
)
def test_where_there_is_no_token_nothing_is_sent(
    status: int, answer: Any, kind: type[CloudError], ibm: IBM, secret: Path
) -> None:
    ibm.token = lambda: (status, answer)
    assert isinstance(fault(lambda: cloud(ibm, secret).submit(KEY, Submission(PROGRAM, 1))), kind)
    (secret / "QISKIT_IBM_TOKEN").unlink()
    found = fault(lambda: cloud(ibm, secret).submit(KEY, Submission(PROGRAM, 1)))
    assert isinstance(found, CredentialsRefused)
    assert "QISKIT_IBM_TOKEN" in str(found)
    assert not ibm.requests


def test_no_failure_shows_a_secret(ibm: IBM, secret: Path) -> None:
    def leaky(request: Request) -> tuple[int, Any]:
        return 400, {"errors": [{"message": f"{request.headers['authorization']} and first-api-key"}]}

    ibm.answer = leaky
    try:
        cloud(ibm, secret).device()
    except CloudError:
        text = traceback.format_exc()
    assert not [each for each in SECRETS if each in text]
    ibm.token = lambda: (400, {"errorMessage": "first-api-key is wrong"})
    assert "first-api-key" not in str(fault(lambda: cloud(ibm, secret).device()))


def test_what_an_attempt_sent_is_tagged_and_found(ibm: IBM, secret: Path) -> None:
    """In pages of any size, whatever a service makes of the filters."""
    uid, jobs = "6f1c3a52-1d0e-4d3b-9a77-0c5f6c1c0b11", list[dict[str, Any]]()
    one = cloud(ibm, secret)
    ibm.answer = lambda request: (200, {"id": f"j{len(ibm.requests)}"})
    for run, job in ((f"{uid}.1", "vqe"), (f"{uid}.1", "vqe"), (f"{uid}.11", "n" * 200), (f"{uid}.1", "vqe")):
        tags = {NAMESPACE_TAG: "chem", JOB_TAG: job, RUN_TAG: run}
        name = one.submit(KEY, Submission(PROGRAM, 100, tags=tags))
        jobs.append({"id": name, "state": {"status": "Queued"}, "tags": ibm.requests[-1].body["tags"]})
    assert jobs[0]["tags"] == ["qonverge", KEY, "namespace-chem", "job-vqe", f"run-{uid}.1"]
    assert max(len(tag) for job in jobs for tag in job["tags"]) == 64
    jobs[1]["state"] = {"status": "Completed"}
    ibm.requests.clear()

    def answer(request: Request) -> tuple[int, Any]:
        assert (request.path, request.query["pending"]) == ("/api/v1/jobs", ["true"])
        assert request.query["tags"] == [f"run-{uid}.1"]
        first = int(request.query["offset"][0])
        return 200, {"jobs": [job for job in jobs if request.query["tags"][0] in job["tags"]][first : first + 2]}

    ibm.answer = answer
    assert isinstance(one, TaggingCloud)
    assert one.of_run(f"{uid}.1") == ["j1", "j4"]
    ibm.answer = lambda request: (200, {"jobs": [jobs[2]]})
    assert one.of_run(f"{uid}.1") == []
    ibm.answer = lambda request: (200, {})
    assert isinstance(fault(lambda: one.of_run(uid)), ReplyLost)


def test_jobs_are_found_by_their_keys(ibm: IBM, secret: Path) -> None:
    ibm.answer = lambda request: (200, {"jobs": [JOB] if request.query["tags"] == [KEY] else [], "count": 1})
    assert cloud(ibm, secret).find([KEY, "b" * 64]) == {KEY: "j1"}
    # A service that passes over the filter must not give another task's job.
    ibm.answer = lambda request: (200, {"jobs": [JOB]})
    assert cloud(ibm, secret).find(["b" * 64]) == {}
    ibm.answer = lambda request: (200, {})
    assert isinstance(fault(lambda: cloud(ibm, secret).find([KEY])), ReplyLost)


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ({"state": {"status": "Running"}}, CloudTask("Running")),
        (
            {"state": {"status": "Queued"}, "usage": {"quantum_seconds": 0}, "estimated_running_time_seconds": 4.25},
            CloudTask("Queued", expected_seconds=4.25),
        ),
        (
            {"state": {"status": "Completed"}, "usage": {"quantum_seconds": 2.5}},
            CloudTask("Completed", run_seconds=2.5),
        ),
        (
            {"state": {"status": "Failed", "reason": "Internal error", "reason_code": 8000}},
            CloudTask("Failed", "8000: Internal error", retryable=True),
        ),
        (
            {"state": {"status": "Failed", "reason": "bad circuit", "reason_code": 1517}},
            CloudTask("Failed", "1517: bad circuit"),
        ),
        ({"state": {"status": "Cancelled"}, "usage": {"quantum_seconds": 0}}, CloudTask("Cancelled", run_seconds=0.0)),
        (
            {"state": {"status": "Cancelled - Ran too long", "reason_code": 1305}},
            CloudTask("Failed", "1305: it ran for longer than it may"),
        ),
        ({"state": {"status": "Pondering"}}, CloudTask("Queued", "IBM says that it is Pondering")),
    ],
)
def test_states_of_jobs(job: dict[str, Any], expected: CloudTask, ibm: IBM, secret: Path) -> None:
    ibm.answer = lambda request: (200, {} if request.path.endswith("/metrics") else {"id": "j1", **job})
    assert cloud(ibm, secret).tasks(["j1"]) == {"j1": expected}


def test_a_job_that_waits_has_its_place_where_ibm_tells(ibm: IBM, secret: Path) -> None:
    metrics = {"position_in_queue": 4, "estimated_start_time": "2026-11-30T10:00:00Z"}
    ibm.answer = lambda request: (200, metrics if request.path.endswith("/metrics") else JOB)
    assert cloud(ibm, secret).tasks(["j1"]) == {"j1": CloudTask("Queued", queue_position=4, expected_start=1796032800)}
    ibm.answer = lambda request: (200, {} if request.path.endswith("/metrics") else JOB)
    assert cloud(ibm, secret).tasks(["j1"]) == {"j1": CloudTask("Queued")}
    ibm.answer = refusal(404)
    assert cloud(ibm, secret).tasks(["j1"]) == {}


def test_results_and_cancelling(ibm: IBM, secret: Path) -> None:
    ibm.answer = lambda request: (200, '{"__type__": "PrimitiveResult"}')
    assert cloud(ibm, secret).result("j1") == '{"__type__": "PrimitiveResult"}'
    ibm.answer = lambda request: (204, "")
    assert isinstance(fault(lambda: cloud(ibm, secret).result("j1")), ReplyLost)
    cloud(ibm, secret).cancel("j1")
    assert (ibm.requests[-1].method, ibm.requests[-1].path) == ("POST", "/api/v1/jobs/j1/cancel")

    def ended(request: Request) -> tuple[int, Any]:
        return (200, {"state": {"status": "Completed"}}) if request.method == "GET" else refusal(409)(request)

    ibm.answer = ended
    cloud(ibm, secret).cancel("j1")
    ibm.answer = lambda request: (200, JOB) if request.method == "GET" else refusal(409)(request)
    assert isinstance(fault(lambda: cloud(ibm, secret).cancel("j1")), CloudRefused)


def test_a_session_is_opened_once_and_anew_when_it_has_ended(ibm: IBM, secret: Path) -> None:
    sessions: list[Any] = []
    accepting = True

    def answer(request: Request) -> tuple[int, Any]:
        if request.path.endswith("/sessions"):
            sessions.append(request.body)
            return 200, {"id": f"s{len(sessions)}"}
        if request.method == "GET":
            return 200, {"accepting_jobs": accepting}
        return (200, {"id": "j"}) if accepting else refusal(400, "the session is closed")(request)

    ibm.answer = answer
    clock = Now()
    one = cloud(ibm, secret, clock, mode="Session", maxTtl=600)
    for _ in range(2):
        one.submit(KEY, Submission(PROGRAM, 1))
    assert sessions == [{"mode": "dedicated", "backend": "ibm_fez", "instance": CRN, "max_ttl": 600}]
    assert ibm.requests[-1].body["session_id"] == "s1"
    accepting = False
    assert isinstance(fault(lambda: one.submit(KEY, Submission(PROGRAM, 1))), CloudBusy)
    accepting = True
    one.submit(KEY, Submission(PROGRAM, 1))
    assert ibm.requests[-1].body["session_id"] == "s2"
    clock.time += 580
    one.submit(KEY, Submission(PROGRAM, 1))
    assert ibm.requests[-1].body["session_id"] == "s3"
    batch = cloud(ibm, secret, mode="Batch")
    batch.submit(KEY, Submission(PROGRAM, 1))
    assert sessions[-1] == {"mode": "batch", "backend": "ibm_fez", "instance": CRN}
    # No job was sent where the session's reply was lost.
    ibm.answer = lambda request: None
    assert isinstance(
        fault(lambda: cloud(ibm, secret, mode="Batch").submit(KEY, Submission(PROGRAM, 1))), CloudUnavailable
    )


def test_where_ibm_is(secret: Path) -> None:
    assert api_of(CRN) == "https://eu-de.quantum.cloud.ibm.com/api/v1"
    assert api_of(CRN.replace("eu-de", "us-east")) == "https://quantum.cloud.ibm.com/api/v1"
    own = IBMCloud(CloudConfig({"backend": "ibm_fez", "instance": CRN}, str(secret)))
    assert own.link("j1") == "https://quantum.cloud.ibm.com/workloads?search=j1"
    with pytest.raises(LookupError, match="say its CRN in instance, or as QISKIT_IBM_INSTANCE"):
        IBMCloud(CloudConfig({"backend": "ibm_fez"}, str(secret)))
    (secret / "QISKIT_IBM_INSTANCE").write_text(CRN)
    IBMCloud(CloudConfig({"backend": "ibm_fez"}, str(secret)))
