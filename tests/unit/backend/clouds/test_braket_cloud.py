"""The real client against a server that answers as it is told, on this machine."""

from __future__ import annotations

import json
import os
import socket
import traceback
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from braket.ir.openqasm import ProgramSet
from braket.task_result import (
    ProgramResult,
    ProgramSetExecutableFailure,
    ProgramSetExecutableResult,
    ProgramSetTaskResult,
)

from qonverge.amounts import Money
from qonverge.backend.clouds.braket.cloud import KEY_TAG, BraketCloud
from qonverge.backend.clouds.errors import (
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    CredentialsRefused,
    NoCredentials,
    ReplyLost,
)
from qonverge.backend.clouds.protocol import (
    RUN_TAG,
    CloudConfig,
    CloudTask,
    ProgramFailure,
    ProgramSetCloud,
    Submission,
    TaggingCloud,
)
from tests.unit.backend.clouds import braket_documents as documents
from tests.unit.backend.clouds.answering import Request, Service, answering

DEVICE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
TASK = "arn:aws:braket:us-east-1:123456789012:quantum-task/5ac2"
KEY = "a" * 64
SECRETS = ("AKIAFIRSTKEY", "first/secret+value", "first-session-token")


@pytest.fixture
def aws() -> Iterator[Service]:
    with answering() as service:
        yield service


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    write(tmp_path, *SECRETS)
    return tmp_path


def write(folder: Path, key: str, secret: str, token: str | None = None) -> None:
    given = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}
    for name, value in given.items():
        (folder / name).unlink(missing_ok=True)
        if value is not None:
            (folder / name).write_text(f"{value}\n")


def cloud(aws: Service, secret: Path, **options: Any) -> BraketCloud:
    given = {"device": DEVICE, "bucket": "results", "endpoint": aws.url, "s3Endpoint": aws.url, **options}
    folder = str(secret) if secret.name else ""
    return BraketCloud(CloudConfig(given, folder), clock=lambda: 1.8e9)


def refusal(code: str, status: int, words: str = "no") -> Callable[[Request], tuple[int, Any]]:
    def answer(_: Request) -> tuple[int, Any]:
        return status, {"__type": code, "message": words}

    return answer


def fault(call: Callable[[], Any]) -> CloudError:
    with pytest.raises(CloudError) as info:
        call()
    return info.value


def test_a_task_is_sent_with_all_that_braket_needs(aws: Service, secret: Path) -> None:
    aws.answer = lambda request: (201, {"quantumTaskArn": TASK})
    reservation = "arn:aws:braket:us-east-1:123456789012:reservation/a"
    submission = Submission("OPENQASM 3.0;\n", 100, tags={RUN_TAG: "uid-0.1"})
    assert cloud(aws, secret, reservation=reservation, prefix="here").submit(KEY, submission) == TASK
    (request,) = aws.requests
    assert (request.method, request.path) == ("POST", "/quantum-task")
    action = json.loads(request.body.pop("action"))
    assert action["braketSchemaHeader"] == {"name": "braket.ir.openqasm.program", "version": "1"}
    assert action["source"] == "OPENQASM 3.0;\n"
    assert request.body == {
        "clientToken": KEY,
        "deviceArn": DEVICE,
        "shots": 100,
        "outputS3Bucket": "results",
        "outputS3KeyPrefix": "here",
        "tags": {KEY_TAG: KEY, RUN_TAG: "uid-0.1"},
        "associations": [{"arn": reservation, "type": "RESERVATION_TIME_WINDOW_ARN"}],
    }
    assert "/us-east-1/braket/" in request.authorization


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ThrottlingException", 429, CloudBusy),
        ("TooManyRequestsException", 429, CloudBusy),
        ("ServiceQuotaExceededException", 402, CloudBusy),
        ("DeviceOfflineException", 424, CloudUnavailable),
        ("DeviceRetiredException", 410, CloudRefused),
        ("ValidationException", 400, CloudRefused),
        ("ResourceNotFoundException", 404, CloudRefused),
        ("ConflictException", 409, CloudRefused),
        ("AccessDeniedException", 403, CredentialsRefused),
        ("ExpiredTokenException", 403, CredentialsRefused),
        ("UnrecognizedClientException", 400, CredentialsRefused),
        ("SomethingNew", 403, CredentialsRefused),
        ("InternalServiceException", 500, ReplyLost),
        ("ServiceUnavailable", 503, ReplyLost),
    ],
)
def test_what_refusals_mean(code: str, status: int, kind: type[CloudError], aws: Service, secret: Path) -> None:
    aws.answer = refusal(code, status, "its words")
    found = fault(lambda: cloud(aws, secret).submit(KEY, Submission("", 1)))
    assert isinstance(found, kind)
    assert str(found) == f"Braket, CreateQuantumTask: {code}: its words"
    # What may be sent again is for the executor to say.
    assert len(aws.requests) == 1


def test_a_wait_that_is_asked_for(aws: Service, secret: Path) -> None:
    aws.answer, aws.headers = refusal("ThrottlingException", 429), {"Retry-After": "7"}
    found = fault(lambda: cloud(aws, secret).device())
    assert isinstance(found, CloudBusy)
    assert found.after == 7


def test_a_lost_reply_is_told_from_a_request_that_was_not_sent(aws: Service, secret: Path) -> None:
    aws.answer = lambda request: None
    assert isinstance(fault(lambda: cloud(aws, secret).submit(KEY, Submission("", 1))), ReplyLost)
    assert len(aws.requests) == 1
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = Service(f"http://127.0.0.1:{unused.getsockname()[1]}")
        assert isinstance(fault(lambda: cloud(nobody, secret).submit(KEY, Submission("", 1))), CloudUnavailable)


def test_credentials_are_read_again_when_they_change(aws: Service, secret: Path) -> None:
    aws.answer = lambda request: (201, {"quantumTaskArn": TASK})
    one = cloud(aws, secret)
    one.submit(KEY, Submission("", 1))
    write(secret, "AKIASECONDKEY", "second")
    one.submit(KEY, Submission("", 1))
    (secret / "AWS_SECRET_ACCESS_KEY").unlink()
    found = fault(lambda: one.submit(KEY, Submission("", 1)))
    assert isinstance(found, CredentialsRefused)
    assert "AWS_SECRET_ACCESS_KEY" in str(found)
    first, second = aws.requests
    assert "AKIAFIRSTKEY" in first.authorization
    assert first.token == SECRETS[2]
    assert "AKIASECONDKEY" in second.authorization
    assert second.token == ""


@pytest.fixture
def no_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def test_without_a_secret_the_pods_identity_is_taken_as_soon_as_there_is_one(
    aws: Service, no_identity: pytest.MonkeyPatch
) -> None:
    reply = {"deviceStatus": "ONLINE", "deviceType": "QPU", "deviceCapabilities": json.dumps(documents.ionq())}
    aws.answer = lambda request: (200, reply)
    one = cloud(aws, Path())
    found = fault(one.device)
    assert isinstance(found, NoCredentials)
    assert "Unable to locate credentials" in str(found)
    assert aws.requests == []
    no_identity.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEPOD")
    no_identity.setenv("AWS_SECRET_ACCESS_KEY", "own")
    assert one.device().online
    assert "AKIAOFTHEPOD" in aws.requests[0].authorization


_ROLE = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKIAOFTHEROLE</AccessKeyId>
<SecretAccessKey>role</SecretAccessKey><SessionToken>role-token</SessionToken>
<Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


def test_a_role_of_the_pods_service_account(aws: Service, no_identity: pytest.MonkeyPatch, tmp_path: Path) -> None:
    aws.answer = lambda request: (200, _ROLE) if request.path == "/" else (201, {"quantumTaskArn": TASK})
    token = tmp_path / "token"
    no_identity.setenv("AWS_ENDPOINT_URL_STS", aws.url)
    no_identity.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/qonverge")
    no_identity.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    one = cloud(aws, Path())
    assert isinstance(fault(lambda: one.submit(KEY, Submission("", 1))), CredentialsRefused)
    token.write_text("the-token-of-the-pod")
    assert one.submit(KEY, Submission("", 1)) == TASK
    asked, sent = aws.requests
    assert "WebIdentityToken=the-token-of-the-pod" in asked.body
    assert "AKIAOFTHEROLE" in sent.authorization
    assert sent.token == "role-token"


def test_an_answer_that_is_none_of_braket_is_a_lost_reply(aws: Service, secret: Path) -> None:
    aws.answer = lambda request: (200, "<html>Sign in</html>")
    assert isinstance(fault(lambda: cloud(aws, secret).submit(KEY, Submission("", 1))), ReplyLost)


def test_no_message_and_no_traceback_has_a_secret(aws: Service, secret: Path) -> None:
    """Even of a server that repeats what it was sent."""
    aws.answer = lambda request: (
        400,
        {"__type": "ValidationException", "message": f"{request.authorization} {SECRETS}"},
    )
    one = cloud(aws, secret)
    found = fault(lambda: one.submit(KEY, Submission("", 1)))
    text = "".join(traceback.format_exception(found)) + repr(found) + repr(one.__dict__)
    assert "ValidationException" in text
    assert not [value for value in SECRETS if value in text]
    assert found.__context__ is None


def test_how_tasks_stand(aws: Service, secret: Path) -> None:
    replies: dict[str, dict[str, Any]] = {
        "created": {"status": "CREATED", "queueInfo": {"queue": "QUANTUM_TASKS_QUEUE", "position": "None"}},
        "queued": {"status": "QUEUED", "queueInfo": {"queue": "QUANTUM_TASKS_QUEUE", "position": ">2000"}},
        "running": {"status": "RUNNING", "queueInfo": {"queue": "QUANTUM_TASKS_QUEUE", "position": "1"}},
        "completed": {"status": "COMPLETED", "outputS3Bucket": "there", "outputS3Directory": "p/5ac2"},
        "refused": {"status": "FAILED", "failureReason": "unsupported gate"},
        "broken": {"status": "FAILED", "failureReason": "Internal error of the device"},
        "new": {"status": "RESTING"},
        "ending": {"status": "CANCELLING"},
        "cancelled": {"status": "CANCELLED"},
    }

    def answer(request: Request) -> tuple[int, Any]:
        assert request.method == "GET"
        assert urlsplit(request.path).query == "additionalAttributeNames=QueueInfo"
        name = urlsplit(request.path).path.rsplit("/", 1)[1]
        if name not in replies:
            return 404, {"__type": "ResourceNotFoundException", "message": "no"}
        return 200, replies[name]

    aws.answer = answer
    ids = {name: TASK.replace("5ac2", name) for name in (*replies, "unknown")}
    found, nothing = cloud(aws, secret).tasks(list(ids.values())), Money(Decimal(0))
    assert {name: found[arn] for name, arn in ids.items() if arn in found} == {
        "created": CloudTask("Queued"),
        "queued": CloudTask("Queued", queue_position=2000),
        "running": CloudTask("Running"),
        "completed": CloudTask("Completed"),
        "refused": CloudTask("Failed", "unsupported gate", billed=nothing),
        "broken": CloudTask("Failed", "Internal error of the device", retryable=True, billed=nothing),
        "new": CloudTask("Queued", "Braket says that it is RESTING"),
        "ending": CloudTask("Queued", "Braket says that it is CANCELLING"),
        "cancelled": CloudTask("Cancelled", billed=nothing),
    }


def test_tasks_are_found_by_their_keys(aws: Service, secret: Path) -> None:
    pages: dict[str | None, dict[str, Any]] = {
        None: {
            "nextToken": "2",
            "quantumTasks": [{"quantumTaskArn": "one", "tags": {KEY_TAG: KEY}}, {"quantumTaskArn": "other"}],
        },
        "2": {"quantumTasks": [{"quantumTaskArn": "two", "tags": {KEY_TAG: "b" * 64}}]},
    }
    aws.answer = lambda request: (200, pages[request.body.get("nextToken")])
    assert cloud(aws, secret).find([KEY]) == {KEY: "one"}
    assert cloud(aws, secret).find(["c" * 64, "b" * 64]) == {"b" * 64: "two"}
    assert [request.path for request in aws.requests] == ["/quantum-tasks"] * 3
    device, created = aws.requests[0].body["filters"]
    assert device == {"name": "deviceArn", "operator": "EQUAL", "values": [DEVICE]}
    assert created == {"name": "createdAt", "operator": "GTE", "values": ["2026-12-16T08:00:00Z"]}


def test_what_is_left_of_an_attempt_is_found_by_its_tag(aws: Service, secret: Path) -> None:
    own, other = {RUN_TAG: "uid-0.1", KEY_TAG: KEY}, {RUN_TAG: "uid-0.11"}
    told = [("one", own, "QUEUED"), ("two", own, "COMPLETED"), ("three", other, "QUEUED"), ("four", own, "RUNNING")]
    tasks = [{"quantumTaskArn": arn, "tags": tags, "status": status} for arn, tags, status in told]
    pages = {None: {"nextToken": "2", "quantumTasks": tasks[:2]}, "2": {"quantumTasks": tasks[2:]}}
    aws.answer = lambda request: (200, pages[request.body.get("nextToken")])
    tagging = cloud(aws, secret)
    assert isinstance(tagging, TaggingCloud)
    assert tagging.of_run("uid-0.1") == ["one", "four"]


def test_a_result_is_read_from_where_braket_says_that_it_is(aws: Service, secret: Path) -> None:
    def answer(request: Request) -> tuple[int, Any]:
        if request.path.startswith("/quantum-task/"):
            return 200, {"status": "COMPLETED", "outputS3Bucket": "there", "outputS3Directory": "p/5ac2"}
        return (200, "{}") if urlsplit(request.path).path == "/there/p/5ac2/results.json" else (404, "")

    aws.answer = answer
    assert cloud(aws, secret).result(TASK) == "{}"
    aws.answer = lambda request: answer(request) if "quantum-task" in request.path else (403, "")
    assert isinstance(fault(lambda: cloud(aws, secret).result(TASK)), CredentialsRefused)


def test_where_a_result_is_was_told_by_the_poll_that_found_it(aws: Service, secret: Path) -> None:
    told = {"status": "COMPLETED", "outputS3Bucket": "there", "outputS3Directory": "p/5ac2"}
    aws.answer = lambda request: (200, told if "quantum-task" in request.path else "{}")
    one = cloud(aws, secret)
    one.tasks([TASK])
    for asked in (0, 1):
        aws.requests.clear()
        assert one.result(TASK) == "{}"
        # Read again, as after a reply that was lost, its place is asked for.
        assert sum("quantum-task" in request.path for request in aws.requests) == asked


def test_programs_that_are_sent_together_share_the_shots(aws: Service, secret: Path) -> None:
    aws.answer = lambda request: (201, {"quantumTaskArn": TASK})
    one = cloud(aws, secret)
    assert isinstance(one, ProgramSetCloud)
    programs = [Submission(f"OPENQASM 3.0; // {number}\n", 100, tags={RUN_TAG: "uid-0.1"}) for number in range(3)]
    assert one.submit_set(KEY, programs) == TASK
    (request,) = aws.requests
    sent = ProgramSet.parse_raw(request.body["action"])
    assert [each.source for each in sent.programs] == [each.program for each in programs]
    # Braket divides them among the executables.
    assert (sent.num_executables, request.body["shots"], request.body["clientToken"]) == (3, 300, KEY)
    assert request.body["tags"] == {KEY_TAG: KEY, RUN_TAG: "uid-0.1"}
    with pytest.raises(CloudRefused, match=r"as many shots each, and these have \[10, 100\]"):
        one.submit_set(KEY, [*programs, Submission("OPENQASM 3.0;", 10)])


def test_programs_that_differ_in_inputs_alone_are_one(aws: Service, secret: Path) -> None:
    aws.answer = lambda request: (201, {"quantumTaskArn": TASK})
    one, other = "OPENQASM 3.0; input float p0;\n", "OPENQASM 3.0; input float p0; x q;\n"
    given: list[tuple[str, dict[str, float]]] = [(one, {"p0": 0.1}), (one, {"p0": 0.2}), (other, {"p0": 0.3})]
    # What has no inputs cannot be said to run twice.
    given += [("OPENQASM 3.0;", {})] * 2
    own = cloud(aws, secret)
    own.submit_set(KEY, [Submission(program, 10, inputs=inputs) for program, inputs in given])
    own.submit(KEY, Submission(one, 10, inputs={"p0": 0.5}))
    whole, alone = (json.loads(request.body["action"]) for request in aws.requests)
    assert ProgramSet.parse_obj(whole).num_executables_per_program == [2, 1, 1, 1]
    assert [each.get("inputs") for each in whole["programs"]] == [{"p0": [0.1, 0.2]}, {"p0": [0.3]}, None, None]
    assert aws.requests[0].body["shots"] == 50
    assert (alone["source"], alone["inputs"]) == (one, {"p0": 0.5})


def test_a_set_is_refused_with_the_words_about_its_program(aws: Service, secret: Path) -> None:
    failures = [{"programIndex": index, "inputsIndex": 0, "errors": ["too deep", "too wide"]} for index in (1, 2)]
    body = {"__type": "ValidationException", "message": "2 of 3 fail", "programSetValidationFailures": failures}
    aws.answer = lambda request: (400, body)
    error = fault(lambda: cloud(aws, secret).submit_set(KEY, [Submission("OPENQASM 3.0;", 10)] * 3))
    assert isinstance(error, CloudRefused)
    assert str(error).endswith("ValidationException: 2 of 3 fail: program 1: too deep; too wide")


def executable(outcome: str, index: int = 0) -> dict[str, Any]:
    header = {"name": "braket.task_result.program_set_executable_result", "version": "1"}
    document = {
        "braketSchemaHeader": header,
        "inputsIndex": index,
        "measurements": [list(map(int, outcome))],
        "measuredQubits": [0, 1],
    }
    ProgramSetExecutableResult.parse_obj(document)
    return document


def failure(*, retryable: bool) -> dict[str, Any]:
    header = {"name": "braket.task_result.program_set_executable_failure", "version": "1"}
    metadata = {"failureReason": "the fridge is warm", "retryable": retryable, "category": "DEVICE"}
    document = {"braketSchemaHeader": header, "inputsIndex": 0, "failureMetadata": metadata}
    ProgramSetExecutableFailure.parse_obj(document)
    return document


def set_documents(executables: list[dict[str, Any]], *, inline: bool) -> dict[str, Any]:
    """Return the documents of a set by their names, checked by the models of amazon-braket-schemas."""
    program = {"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": "OPENQASM 3.0;"}
    header = {"name": "braket.task_result.program_result", "version": "1"}
    found: dict[str, Any] = {}
    results: list[Any] = []
    for place, each in enumerate(executables):
        given = {"braketSchemaHeader": header, "additionalMetadata": {}}
        if inline:
            results.append({**given, "source": program, "executableResults": [each]})
            ProgramResult.parse_obj(results[-1])
            continue
        folder = f"programs/{place}"
        own = {**given, "source": "program.json", "executableResults": ["executables/0.json"]}
        ProgramResult.parse_obj(own)
        found[f"{folder}/results.json"], found[f"{folder}/executables/0.json"] = own, each
        results.append(f"{folder}/results.json")
    metadata = {
        "braketSchemaHeader": {"name": "braket.task_result.program_set_task_metadata", "version": "1"},
        "id": TASK,
        "deviceId": DEVICE,
        "requestedShots": len(executables),
        "successfulShots": len(executables),
        "programMetadata": [{"executables": [{}]}] * len(executables),
        "totalFailedExecutables": 0,
    }
    whole = {
        "braketSchemaHeader": {"name": "braket.task_result.program_set_task_result", "version": "1"},
        "programResults": results,
        "taskMetadata": metadata if inline else "metadata.json",
        **({} if inline else {"s3Location": ["there", "p/5ac2"]}),
    }
    ProgramSetTaskResult.parse_obj(whole)
    return {**found, "results.json": whole}


@pytest.mark.parametrize("inline", [True, False])
def test_each_program_of_a_set_has_its_own_result(aws: Service, secret: Path, inline: bool) -> None:
    told = [executable("01"), failure(retryable=True), executable("10"), failure(retryable=False)]
    documents_of_set = set_documents(told, inline=inline)

    def answer(request: Request) -> tuple[int, Any]:
        if request.path.startswith("/quantum-task/"):
            return 200, {"status": "COMPLETED", "outputS3Bucket": "there", "outputS3Directory": "p/5ac2"}
        name = urlsplit(request.path).path.removeprefix("/there/p/5ac2/")
        return (200, documents_of_set[name]) if name in documents_of_set else (404, "")

    aws.answer = answer
    own = cloud(aws, secret)
    first, second, third, fourth = own.results(TASK)
    assert isinstance(first, str) and json.loads(first) == told[0]
    assert isinstance(third, str) and json.loads(third) == told[2]
    assert second == ProgramFailure("the fridge is warm", retryable=True)
    assert fourth == ProgramFailure("the fridge is warm", retryable=False)
    # Of one program with three sets of inputs.
    swept = [executable("01"), executable("11", 1), executable("10", 2)]
    documents_of_set["results.json"] = {"programResults": [{"executableResults": swept}]}
    assert [json.loads(str(each)) for each in own.results(TASK)] == swept
    for wrong in ([], swept[::-1], [swept[0], swept[2]]):
        documents_of_set["results.json"] = {"programResults": [{"executableResults": wrong}]}
        assert isinstance(fault(lambda: own.results(TASK)), CloudRefused)


def test_cancelling(aws: Service, secret: Path) -> None:
    one = cloud(aws, secret)

    def cancel(status: int, reply: dict[str, str], state: str) -> None:
        def answer(request: Request) -> tuple[int, Any]:
            if request.method == "PUT":
                assert request.path == f"/quantum-task/{TASK}/cancel"
                return status, reply
            return 200, {"status": state}

        aws.answer = answer
        one.cancel(TASK)

    cancel(200, {"quantumTaskArn": TASK, "cancellationStatus": "CANCELLING"}, "QUEUED")
    assert len(aws.requests) == 1
    conflict = {"__type": "ConflictException", "message": "it has ended"}
    for state in ("COMPLETED", "CANCELLED", "CANCELLING"):
        cancel(409, conflict, state)
    assert isinstance(fault(lambda: cancel(409, conflict, "RUNNING")), CloudRefused)
    slowly = {"__type": "ThrottlingException", "message": "slowly"}
    assert isinstance(fault(lambda: cancel(429, slowly, "COMPLETED")), CloudBusy)


def test_the_device_as_it_is_described(aws: Service, secret: Path) -> None:
    reply = {"deviceStatus": "ONLINE", "deviceType": "QPU", "deviceCapabilities": json.dumps(documents.ionq())}
    aws.answer = lambda request: (200, reply)
    found = cloud(aws, secret).device()
    assert (found.online, found.num_qubits) == (True, 4)
    assert aws.requests[0].path == f"/device/{DEVICE}"
    reply["deviceCapabilities"] = "not JSON"
    assert isinstance(fault(lambda: cloud(aws, secret).device()), CloudRefused)


def test_where_the_region_comes_from(aws: Service, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    sv1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"

    def console(**options: Any) -> str:
        return cloud(aws, secret, endpoint=None, **options).link(TASK)

    assert console().startswith("https://us-east-1.console.aws.amazon.com/braket/home?region=us-east-1#/tasks/arn:")
    assert cloud(aws, secret).link(TASK) == ""
    assert console(device=sv1, region="us-west-2").startswith("https://us-west-2.")
    with pytest.raises(LookupError, match="the region of sv1 is not known"):
        console(device=sv1)
    for name, region in (("AWS_DEFAULT_REGION", "eu-west-2"), ("AWS_REGION", "eu-north-1")):
        monkeypatch.setenv(name, region)
        assert console(device=sv1).startswith(f"https://{region}.")
    (secret / "AWS_REGION").write_text("us-west-1")
    assert console(device=sv1).startswith("https://us-west-1.")
    with pytest.raises(LookupError, match="region is us-west-2, and the device is in us-east-1"):
        console(region="us-west-2")
    with pytest.raises(LookupError, match=r"options\.bucket"):
        BraketCloud(CloudConfig({"device": DEVICE}))
