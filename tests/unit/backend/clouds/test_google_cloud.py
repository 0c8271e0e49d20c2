"""The real client against a server that answers as it is told, on this machine."""

from __future__ import annotations

import base64
import json
import re
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from qonverge.backend.clouds.errors import (
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    CredentialsRefused,
    ReplyLost,
)
from qonverge.backend.clouds.google.cloud import GoogleCloud
from qonverge.backend.clouds.protocol import (
    JOB_TAG,
    NAMESPACE_TAG,
    RUN_TAG,
    CloudConfig,
    CloudTask,
    Submission,
    TaggingCloud,
)
from tests.unit.backend.clouds.answering import Request, Service, answering
from tests.unit.backend.clouds.google_documents import documents

KEY = "a" * 64
ID = "qonverge-" + "a" * 40
PROGRAM = f"projects/lab/programs/{ID}"
JOB = f"{PROGRAM}/jobs/{ID}"
PROCESSOR = "projects/lab/processors/willow_pink"
NOW = 1.8e9


@pytest.fixture
def engine() -> Iterator[Service]:
    with answering() as service:
        yield service


def name_of(request: Request) -> str:
    """The resource that is asked for, by its name."""
    return request.place.removeprefix("/v1alpha1/")


def service_account(name: str) -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": "lab",
        "private_key_id": f"id-of-{name}",
        "private_key": text.decode(),
        "client_email": f"{name}@lab.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.example/token",
    }


FIRST, SECOND = service_account("first"), service_account("second")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "GOOGLE_APPLICATION_CREDENTIALS").write_text(json.dumps(FIRST))
    return tmp_path


def cloud(engine: Service, secret: Path | None, **options: Any) -> GoogleCloud:
    given = {"project": "lab", "processor": "willow_pink", "endpoint": engine.url, **options}
    return GoogleCloud(CloudConfig(given, "" if secret is None else str(secret)), clock=lambda: NOW)


def fault(call: Callable[[], Any]) -> CloudError:
    with pytest.raises(CloudError) as info:
        call()
    return info.value


def refusal(status: int, code: str, words: str = "its words") -> tuple[int, Any]:
    return status, {"error": {"code": status, "status": code, "message": words}}


def claims(authorization: str) -> dict[str, Any]:
    text = authorization.removeprefix("Bearer ").split(".")[1]
    told: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=="))
    return told


def test_a_job_is_sent_with_its_program_and_ids_of_the_key(engine: Service, secret: Path) -> None:
    submission = Submission('{"@type":"type.googleapis.com/cirq.google.api.v2.Program","circuit":{}}', 100)
    assert cloud(engine, secret).submit(KEY, submission) == JOB
    program, job = engine.requests
    assert [f"{each.method} {name_of(each)}" for each in engine.requests] == [
        "POST projects/lab/programs",
        f"POST {PROGRAM}/jobs",
    ]
    assert program.body == {"name": PROGRAM, "code": json.loads(submission.program)}
    assert job.body == {
        "name": JOB,
        "schedulingConfig": {"processorSelector": {"processor": PROCESSOR}},
        "runContext": {
            "@type": "type.googleapis.com/cirq.google.api.v2.RunContext",
            "parameterSweeps": [{"repetitions": 100}],
        },
    }
    # Google's limit for ids that callers choose.
    assert len(ID) <= 63
    assert claims(job.authorization)["aud"] == "https://quantum.googleapis.com/"
    assert claims(job.authorization)["iss"] == FIRST["client_email"]


@pytest.mark.parametrize(
    ("options", "selector"),
    [
        ({"runName": "current"}, {"runName": "current", "configAlias": "default"}),
        ({"snapshotId": "s1"}, {"snapshotId": "s1", "configAlias": "default"}),
    ],
)
def test_a_device_configuration(
    engine: Service, secret: Path, options: dict[str, str], selector: dict[str, str]
) -> None:
    one = cloud(engine, secret, deviceConfigName="default", **options)
    one.submit(KEY, Submission("{}", 1))
    told = engine.requests[-1].body["schedulingConfig"]["processorSelector"]
    assert told == {"processor": PROCESSOR, "deviceConfigSelector": selector}
    specification, metrics = documents("rainbow")
    revision = "configAutomationRuns/current" if "runName" in options else "configSnapshots/s1"
    replies = {
        PROCESSOR: {"health": "OK"},
        f"{PROCESSOR}/timeSlots": {},
        f"{PROCESSOR}/{revision}/configs/default": {
            "deviceSpecification": specification,
            "characterization": metrics,
        },
    }
    engine.answer = lambda request: (200, replies[name_of(request)])
    assert one.device().num_qubits == 23


def test_a_key_that_google_has_is_the_job_that_it_has(engine: Service, secret: Path) -> None:
    """Whichever of the two replies was lost."""
    one = cloud(engine, secret)
    engine.answer = lambda request: (
        refusal(409, "ALREADY_EXISTS") if name_of(request).endswith("programs") else (200, {})
    )
    assert one.submit(KEY, Submission("{}", 1)) == JOB
    engine.answer = lambda request: refusal(409, "ALREADY_EXISTS")
    assert one.submit(KEY, Submission("{}", 1)) == JOB
    assert len(engine.requests) == 4


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "INVALID_ARGUMENT", CloudRefused),
        (400, "FAILED_PRECONDITION", CloudRefused),
        (404, "NOT_FOUND", CloudRefused),
        (401, "UNAUTHENTICATED", CredentialsRefused),
        (403, "PERMISSION_DENIED", CredentialsRefused),
        (409, "ABORTED", CloudBusy),
        (429, "RESOURCE_EXHAUSTED", CloudBusy),
        (500, "INTERNAL", ReplyLost),
        (503, "UNAVAILABLE", ReplyLost),
        (504, "DEADLINE_EXCEEDED", ReplyLost),
    ],
)
def test_what_refusals_mean(status: int, code: str, kind: type[CloudError], engine: Service, secret: Path) -> None:
    engine.answer = lambda request: refusal(status, code)
    found = fault(lambda: cloud(engine, secret).submit(KEY, Submission("{}", 1)))
    assert isinstance(found, kind)
    assert str(found) == f"Google, CreateQuantumProgram: {code}: its words"
    # What may be sent again is for the executor to say.
    assert len(engine.requests) == 1


def test_a_wait_that_is_asked_for(engine: Service, secret: Path) -> None:
    engine.answer, engine.headers = lambda request: refusal(429, "RESOURCE_EXHAUSTED"), {"Retry-After": "7"}
    found = fault(lambda: cloud(engine, secret).submit(KEY, Submission("{}", 1)))
    assert isinstance(found, CloudBusy)
    assert found.after == 7


def test_a_lost_reply_is_told_from_a_request_that_was_not_sent(engine: Service, secret: Path) -> None:
    engine.answer = lambda request: None
    assert isinstance(fault(lambda: cloud(engine, secret).submit(KEY, Submission("{}", 1))), ReplyLost)
    engine.answer = lambda request: (200, "<html>Sign in</html>")
    assert isinstance(fault(lambda: cloud(engine, secret).submit(KEY, Submission("{}", 1))), ReplyLost)
    assert len(engine.requests) == 2
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = Service(f"http://127.0.0.1:{unused.getsockname()[1]}")
        found = fault(lambda: cloud(nobody, secret).submit(KEY, Submission("{}", 1)))
    assert isinstance(found, CloudUnavailable)


def test_credentials_are_read_again_when_they_change(engine: Service, secret: Path) -> None:
    one, file = cloud(engine, secret), secret / "GOOGLE_APPLICATION_CREDENTIALS"
    one.tasks([JOB])
    file.write_text(json.dumps(SECOND))
    one.tasks([JOB])
    first, second = (claims(request.authorization)["iss"] for request in engine.requests)
    assert (first, second) == (FIRST["client_email"], SECOND["client_email"])
    for text in ("{}", "no JSON", json.dumps({**FIRST, "private_key": "-----BEGIN"}), "[]"):
        file.write_text(text)
        found = fault(lambda: one.tasks([JOB]))
        assert isinstance(found, CredentialsRefused)
        assert "GOOGLE_APPLICATION_CREDENTIALS is no key of a service account" in str(found)
    file.unlink()
    assert "has no key GOOGLE_APPLICATION_CREDENTIALS" in str(fault(lambda: one.tasks([JOB])))
    assert len(engine.requests) == 2


def test_without_a_secret_the_pods_identity_is_taken_as_soon_as_there_is_one(
    engine: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    one = cloud(engine, None)
    found = fault(lambda: one.tasks([JOB]))
    assert isinstance(found, CredentialsRefused)
    assert "the pod has no identity at Google" in str(found)
    # As a federated workload identity has it, whose token service is the same server here.
    (tmp_path / "token").write_text("the-token-of-the-pod")
    (tmp_path / "identity.json").write_text(
        json.dumps(
            {
                "type": "external_account",
                "audience": "//iam.googleapis.com/pool",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "token_url": f"{engine.url}/token",
                "credential_source": {"file": str(tmp_path / "token")},
            }
        )
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "identity.json"))
    exchanged: list[str] = []
    plain = one._api._tokens._request

    def exchange(url: str, method: str = "GET", body: Any = None, **more: Any) -> Any:
        exchanged.append(str(body))
        return plain(f"{engine.url}/v1alpha1/token", "POST", body=json.dumps({}), **more)

    one._api._tokens._request = exchange  # type: ignore[assignment]
    engine.answer = lambda request: (
        (200, {"access_token": "an-access-token", "expires_in": 3600, "token_type": "Bearer"})
        if name_of(request) == "token"
        else (200, {})
    )
    one.tasks([JOB])
    assert "the-token-of-the-pod" in exchanged[0]
    assert engine.requests[-1].authorization == "Bearer an-access-token"


def test_no_message_and_no_traceback_has_a_secret(engine: Service, secret: Path) -> None:
    """Even of a server that repeats what it was sent."""
    engine.answer = lambda request: refusal(400, "INVALID_ARGUMENT", request.authorization)
    one = cloud(engine, secret)
    found = fault(lambda: one.tasks([JOB]))
    token = engine.requests[0].authorization.removeprefix("Bearer ")
    text = "".join(traceback.format_exception(found)) + repr(found)
    assert "INVALID_ARGUMENT" in text
    assert token not in text
    assert FIRST["private_key"][40:80] not in text
    assert found.__context__ is None


def test_how_jobs_stand(engine: Service, secret: Path) -> None:
    timing = {"startedTime": "2027-01-15T08:00:00.123456789Z", "completedTime": "2027-01-15T08:00:02Z"}
    replies: dict[str, dict[str, Any]] = {
        "new": {},
        "ready": {"state": "READY"},
        "running": {"state": "RUNNING", "timing": {"startedTime": timing["startedTime"]}},
        "ending": {"state": "CANCELLING"},
        "cancelled": {"state": "CANCELLED"},
        "done": {"state": "SUCCESS", "timing": timing},
        "refused": {"state": "FAILURE", "failure": {"errorCode": "INVALID_PROGRAM", "errorMessage": "no gate"}},
        "broken": {"state": "FAILURE", "failure": {"errorCode": "SYSTEM_ERROR", "errorMessage": "broken"}},
        "resting": {"state": "RESTING"},
    }

    def answer(request: Request) -> tuple[int, Any]:
        name = name_of(request).rsplit("/", 1)[1]
        return (200, {"executionStatus": replies[name]}) if name in replies else refusal(404, "NOT_FOUND")

    engine.answer = answer
    ids = {name: f"projects/lab/programs/x/jobs/{name}" for name in (*replies, "unknown")}
    found = cloud(engine, secret).tasks(list(ids.values()))
    assert {name: found[job] for name, job in ids.items() if job in found} == {
        "new": CloudTask("Queued"),
        "ready": CloudTask("Queued"),
        "running": CloudTask("Running"),
        "ending": CloudTask("Queued", "Google says that it is CANCELLING"),
        "cancelled": CloudTask("Cancelled"),
        "done": CloudTask("Completed", run_seconds=1.8765439987182617),
        "refused": CloudTask("Failed", "INVALID_PROGRAM: no gate"),
        "broken": CloudTask("Failed", "SYSTEM_ERROR: broken", retryable=True),
        "resting": CloudTask("Queued", "Google says that it is RESTING"),
    }


def test_what_an_attempt_sent_is_labelled_and_found(engine: Service, secret: Path) -> None:
    one, uid = cloud(engine, secret), "6f1c3a52-1d0e-4d3b-9a77-0c5f6c1c0b11"
    for name in ("a.b", "n" * 200):
        one.submit(KEY, Submission("{}", 1, tags={NAMESPACE_TAG: "chem", JOB_TAG: name, RUN_TAG: f"{uid}.1"}))
        labels = engine.requests[-1].body["labels"]
        # What Google allows in a label.
        assert all(re.fullmatch("[a-z][a-z0-9_-]{0,62}", each) for each in labels)
        assert all(re.fullmatch("[a-z0-9_-]{1,63}", each) for each in labels.values())
    assert labels["qonverge-run"] == f"{uid}_1"
    assert labels["qonverge-namespace"] == "chem"

    def job(name: str, state: str, run: str = f"{uid}_1") -> dict[str, Any]:
        return {"name": name, "executionStatus": {"state": state}, "labels": {"qonverge-run": run}}

    pages = {
        "": {"jobs": [job("one", "READY"), job("two", "SUCCESS")], "nextPageToken": "p"},
        "p": {"jobs": [job("three", "RUNNING"), job("four", "READY", f"{uid}_11"), job("five", "CANCELLING")]},
    }

    def answer(request: Request) -> tuple[int, Any]:
        assert name_of(request) == "projects/lab/programs/-/jobs"
        assert request.query["filter"] == [f"labels.qonverge-run:{uid}_1"]
        return 200, pages[request.query.get("pageToken", [""])[0]]

    engine.answer = answer
    assert isinstance(one, TaggingCloud)
    assert one.of_run(f"{uid}.1") == ["one", "three", "five"]
    engine.answer = lambda request: (200, {})
    assert one.of_run(f"{uid}.1") == []


def test_jobs_are_found_by_their_keys_and_results_read(engine: Service, secret: Path) -> None:
    def answer(request: Request) -> tuple[int, Any]:
        if name_of(request) == f"{JOB}/result":
            return 200, {"result": {"sweepResults": []}}
        return (200, {"name": JOB}) if name_of(request) == JOB else refusal(404, "NOT_FOUND")

    engine.answer = answer
    one = cloud(engine, secret)
    assert one.find([KEY, "b" * 64]) == {KEY: JOB}
    assert json.loads(one.result(JOB)) == {"result": {"sweepResults": []}}
    assert one.link(JOB) == ""
    real = cloud(engine, secret, endpoint="https://quantum.googleapis.com")
    assert real.link(JOB) == f"https://console.cloud.google.com/quantum/programs/{ID}/jobs/{ID}?project=lab"


def test_cancelling(engine: Service, secret: Path) -> None:
    one = cloud(engine, secret)

    def cancel(status: int, reply: Any, state: str) -> None:
        def answer(request: Request) -> tuple[int, Any]:
            if request.method == "POST":
                assert name_of(request) == f"{JOB}:cancel"
                return status, reply
            return 200, {"executionStatus": {"state": state}}

        engine.answer = answer
        one.cancel(JOB)

    cancel(200, {}, "READY")
    assert len(engine.requests) == 1
    ended = refusal(400, "FAILED_PRECONDITION")
    for state in ("SUCCESS", "CANCELLED", "CANCELLING", "FAILURE"):
        cancel(*ended, state)
    assert isinstance(fault(lambda: cancel(*ended, "RUNNING")), CloudRefused)
    assert isinstance(fault(lambda: cancel(*refusal(429, "RESOURCE_EXHAUSTED"), "SUCCESS")), CloudBusy)


def slot(kind: str, start: float, end: float, project: str = "other") -> dict[str, Any]:
    def text(seconds: float) -> str:
        from datetime import UTC, datetime

        return datetime.fromtimestamp(NOW + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    more = {"reservationConfig": {"projectId": project}} if kind == "RESERVATION" else {}
    return {"timeSlotType": kind, "startTime": text(start), "endTime": text(end), **more}


def test_the_processor_as_it_is_described(engine: Service, secret: Path) -> None:
    specification, metrics = documents("willow_pink")
    processor: dict[str, Any] = {
        "health": "OK",
        "deviceSpec": {"@type": "type.googleapis.com/cirq.google.api.v2.DeviceSpecification", **specification},
        "activityStats": {"activeUsersCount": "2", "activeJobsCount": "7"},
    }
    slots: list[Any] | tuple[int, Any] = []
    calibration: tuple[int, Any] = (200, {"data": metrics})

    def answer(request: Request) -> tuple[int, Any]:
        if name_of(request) == PROCESSOR:
            return 200, processor
        if name_of(request) == f"{PROCESSOR}/timeSlots":
            assert request.query == {"filter": ["end_time > 1800000000"]}
            return (200, {"timeSlots": slots}) if isinstance(slots, list) else slots
        assert name_of(request) == f"{PROCESSOR}/calibrations/current"
        return calibration

    engine.answer = answer
    one = cloud(engine, secret)
    found = one.device()
    assert (found.online, found.reason, found.num_qubits, found.queue_length) == (True, "", 105, 7)
    assert found.max_shots == 5_000_000
    assert found.calibration is not None and found.calibration.median_error(2) is not None

    def state() -> tuple[bool, str, float | None]:
        told = one.device()
        return told.online, told.reason, told.available_at

    slots = [slot("OPEN_SWIM", 600, 700), slot("RESERVATION", 300, 600), slot("MAINTENANCE", -60, 300)]
    assert state() == (True, "willow_pink is in maintenance until 2027-01-15 08:10 UTC", NOW + 600)
    slots = [slot("RESERVATION", -60, 300, "lab"), slot("RESERVATION", 300, 600)]
    assert state() == (True, "", None)
    slots = [slot("RESERVATION", -60, 300)]
    assert state() == (True, "willow_pink is reserved for another project until 2027-01-15 08:05 UTC", NOW + 300)
    slots = refusal(403, "PERMISSION_DENIED")
    assert state() == (True, "", None)
    processor |= {"health": "DOWN", "expectedRecoveryTime": "2027-01-15T09:00:00Z"}
    assert state() == (False, "willow_pink is down, until about 2027-01-15 09:00 UTC", 1800003600.0)
    processor["health"] = "OK"
    calibration = refusal(404, "NOT_FOUND")
    told = one.device()
    assert told.calibration is not None and told.calibration.median_error(2) is None
    processor["deviceSpec"] = {**specification, "validGates": [{"syc": {}}]}
    told = one.device()
    assert (told.online, told.calibration) == (False, None)
    assert "neither cz nor sqrt_iswap" in told.reason
    del processor["deviceSpec"]
    assert "cannot be read" in str(fault(one.device))


def test_options_that_are_none() -> None:
    for options, words in (
        ({"project": "lab"}, r"options\.processor: Field required"),
        ({"project": "lab", "processor": "a/b"}, r"options\.processor"),
        ({"project": "lab", "processor": "one", "runName": "r"}, "set deviceConfigName together"),
    ):
        with pytest.raises(LookupError, match=words):
            GoogleCloud(CloudConfig(options))
