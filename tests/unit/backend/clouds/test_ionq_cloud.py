"""The real client against a server that answers as it is told, on this machine."""

from __future__ import annotations

import json
import socket
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from qonverge.amounts import Money, Prices
from qonverge.backend.clouds.errors import (
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    CredentialsRefused,
    NoCredentials,
    ReplyLost,
)
from qonverge.backend.clouds.ionq.cloud import KEY_FIELD, IonqCloud
from qonverge.backend.clouds.protocol import (
    JOB_TAG,
    NAMESPACE_TAG,
    RUN_TAG,
    CloudConfig,
    CloudTask,
    Device,
    RehearsingCloud,
    Submission,
    TaggingCloud,
)
from qonverge.devices import Calibration
from tests.unit.backend.clouds.answering import Request, Service, answering

KEY, SECRET = "a" * 64, "key-that-nobody-sees"
PROGRAM = {
    "qubits": 2,
    "gateset": "qis",
    "circuit": [{"gate": "h", "target": 0}, {"gate": "cnot", "control": 0, "target": 1}],
}
SUBMISSION = Submission(json.dumps(PROGRAM), 1000)
BACKEND = {"status": "available", "qubits": 2, "average_queue_time": 90_000, "characterization_id": "c"}
CHARACTERIZATION = {
    "id": "c",
    "date": "2026-06-16T00:00:00Z",
    "qubits": 2,
    "connectivity": [[0, 1]],
    "fidelity": {"1q": {"median": 0.9998}, "2q": {"median": 0.9932}, "spam": {"median": 0.996}},
    "timing": {"1q": 130e-6, "2q": 970e-6, "readout": 150e-6, "reset": 50e-6, "t1": 100, "t2": 1},
}
NOW = 1.8e9
Answers = dict[str, Any]


@pytest.fixture
def ionq() -> Iterator[Service]:
    with answering() as service:
        yield service


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "IONQ_API_KEY").write_text(f"{SECRET}\n")
    return tmp_path


def cloud(service: Service, secret: Path, backend: str = "qpu.forte-1", **options: Any) -> IonqCloud:
    given = {"backend": backend, "endpoint": f"{service.url}/v0.4", **options}
    return IonqCloud(CloudConfig(given, str(secret)), clock=lambda: NOW)


def by_path(answers: Answers) -> Callable[[Request], tuple[int, Any]]:
    """Return what answers requests by their paths."""

    def answer(request: Request) -> tuple[int, Any]:
        path = urlsplit(request.path).path.removeprefix("/v0.4")
        return (200, answers[path]) if path in answers else (404, {"message": f"no {path}"})

    return answer


def fault(call: Callable[[], Any]) -> CloudError:
    with pytest.raises(CloudError) as info:
        call()
    return info.value


def test_a_job_is_sent_with_all_that_ionq_needs(ionq: Service, secret: Path) -> None:
    ionq.answer = lambda request: (201, {"id": "one"})
    assert cloud(ionq, secret, debiasing=False, session="s").submit(KEY, SUBMISSION) == "one"
    assert cloud(ionq, secret, "simulator", noiseModel="aria-1").submit(KEY, SUBMISSION) == "one"
    first, second = ionq.requests
    assert (first.method, first.path, first.authorization) == ("POST", "/v0.4/jobs", f"apiKey {SECRET}")
    assert first.body == {
        "type": "ionq.circuit.v1",
        "backend": "qpu.forte-1",
        "name": f"qonverge {KEY[:12]}",
        "metadata": {KEY_FIELD: KEY},
        "shots": 1000,
        "input": PROGRAM,
        "settings": {"error_mitigation": {"debiasing": False}},
        "session_id": "s",
    }
    assert second.body["noise"] == {"model": "aria-1"}
    assert not {"settings", "session_id"} & second.body.keys()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, CloudBusy),
        (400, CloudRefused),
        (402, CloudRefused),
        (404, CloudRefused),
        (409, CloudRefused),
        (401, CredentialsRefused),
        (403, CredentialsRefused),
        (302, ReplyLost),
        (408, ReplyLost),
        (500, ReplyLost),
        (503, ReplyLost),
    ],
)
def test_what_refusals_mean(status: int, kind: type[CloudError], ionq: Service, secret: Path) -> None:
    ionq.answer = lambda request: (status, {"statusCode": status, "error": "AnError", "message": "its words"})
    ionq.headers = {"Retry-After": "7", "Location": "/elsewhere"}
    found = fault(lambda: cloud(ionq, secret).submit(KEY, SUBMISSION))
    assert isinstance(found, kind)
    assert str(found) == f"IonQ, create job: {status}: its words"
    assert not isinstance(found, CloudBusy) or found.after == 7
    # What may be sent again is for the executor to say.
    assert len(ionq.requests) == 1


def test_a_lost_reply_is_told_from_a_request_that_was_not_sent(ionq: Service, secret: Path) -> None:
    ionq.answer = lambda request: None
    assert isinstance(fault(lambda: cloud(ionq, secret).submit(KEY, SUBMISSION)), ReplyLost)
    assert len(ionq.requests) == 1
    for page in ("<html>Sign in</html>", "[]", "{}"):
        ionq.answer = lambda request, page=page: (200, page)  # type: ignore[misc]
        assert isinstance(fault(lambda: cloud(ionq, secret).submit(KEY, SUBMISSION)), ReplyLost)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = Service(f"http://127.0.0.1:{unused.getsockname()[1]}")
        assert isinstance(fault(lambda: cloud(nobody, secret).submit(KEY, SUBMISSION)), CloudUnavailable)


def test_the_key_is_read_again_when_it_changes(ionq: Service, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ionq.answer = lambda request: (201, {"id": "one"})
    one = cloud(ionq, secret)
    one.submit(KEY, SUBMISSION)
    (secret / "IONQ_API_KEY").write_text("second")
    one.submit(KEY, SUBMISSION)
    assert [request.authorization for request in ionq.requests] == [f"apiKey {SECRET}", "apiKey second"]
    (secret / "IONQ_API_KEY").write_text("sec\nond")
    assert "characters that no key of IonQ has" in str(fault(lambda: one.submit(KEY, SUBMISSION)))
    (secret / "IONQ_API_KEY").unlink()
    found = fault(lambda: one.submit(KEY, SUBMISSION))
    assert isinstance(found, NoCredentials)
    assert str(found) == "IonQ: the Secret has no key IONQ_API_KEY"
    given = {"backend": "simulator", "endpoint": f"{ionq.url}/v0.4"}
    monkeypatch.delenv("IONQ_API_KEY", raising=False)
    found = fault(lambda: IonqCloud(CloudConfig(given)).submit(KEY, SUBMISSION))
    assert str(found) == "IonQ: no Secret is named, and there is no variable IONQ_API_KEY"
    monkeypatch.setenv("IONQ_API_KEY", "of-the-pod")
    IonqCloud(CloudConfig(given)).submit(KEY, SUBMISSION)
    assert ionq.requests[-1].authorization == "apiKey of-the-pod"


def test_no_message_and_no_traceback_has_a_secret(ionq: Service, secret: Path) -> None:
    """Even of a server that repeats what it was sent."""
    ionq.answer = lambda request: (400, {"message": f"not good: {request.authorization}"})
    one = cloud(ionq, secret)
    found = fault(lambda: one.submit(KEY, SUBMISSION))
    text = "".join(traceback.format_exception(found)) + repr(found) + repr(one.__dict__)
    assert "not good: apiKey ***" in text
    assert SECRET not in text
    assert found.__context__ is None


def test_a_proxy_of_the_environment_is_used(ionq: Service, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ionq.answer = lambda request: (201, {"id": "one"})
    monkeypatch.setenv("http_proxy", ionq.url)
    monkeypatch.setenv("no_proxy", "")
    cloud(Service("http://ionq.example"), secret).submit(KEY, SUBMISSION)
    assert ionq.requests[0].path == "http://ionq.example/v0.4/jobs"


def test_the_device(ionq: Service, secret: Path) -> None:
    whoami = {"key_id": "k", "key_name": "n"}
    answers: Answers = {
        "/backends/qpu.forte-1": BACKEND,
        "/backends/qpu.forte-1/characterizations/c": CHARACTERIZATION,
        "/whoami": whoami,
    }
    ionq.answer = by_path(answers)
    one = cloud(ionq, secret, costLimit="30.5")
    device = one.device()
    assert isinstance(device.calibration, Calibration)
    assert device == Device(
        online=True,
        num_qubits=2,
        # With the limit on cost a task is not split: it would be several times that.
        max_shots=None,
        calibration=device.calibration,
        prices=Prices(task=Decimal("30.5")),
        wait_seconds=90.0,
    )
    gates = {(gate.name, gate.qubits): (gate.error, gate.seconds) for gate in device.calibration.gates}
    assert gates["rzz", (0, 1)] == gates["rzz", (1, 0)] == (0.0068, 0.00097)
    assert (gates["r", (1,)], gates["rz", (1,)]) == ((0.0002, 0.00013), (0.0, 0.0))
    qubit = device.calibration.qubit(1)
    assert (qubit.t1, qubit.t2, qubit.readout_error, qubit.readout_seconds) == (100.0, 1.0, 0.004, 0.00015)
    # The characterization is read again only when there is another.
    del answers["/backends/qpu.forte-1/characterizations/c"]
    assert one.device() == device
    answers["/backends/qpu.forte-1"] = {**BACKEND, "characterization_id": "d"}
    assert isinstance(fault(one.device), CloudRefused)
    answers["/backends/qpu.forte-1"] = {**BACKEND, "qubits": "many"}
    assert "description of qpu.forte-1 cannot be read" in str(fault(one.device))
    answers["/backends/qpu.forte-1"] = {**BACKEND, "characterization_id": None}
    # Without a limit no price is known.
    plain = cloud(ionq, secret).device()
    assert (plain.prices, plain.calibration, plain.max_shots) == (None, None, 10_000)
    answers["/backends/simulator"] = {"status": "available", "qubits": 29, "average_queue_time": 0}
    simulator = cloud(ionq, secret, "simulator").device()
    assert (simulator.prices, simulator.max_shots, simulator.wait_seconds) == (Prices(), 1_000_000, 0.0)
    assert (simulator.ideal, cloud(ionq, secret, "simulator", noiseModel="aria-1").device().ideal) == (True, False)
    # Backends are public, and a key that is not good is found all the same.
    ionq.answer = lambda request: (401, {}) if request.path.endswith("whoami") else by_path(answers)(request)
    assert isinstance(fault(cloud(ionq, secret).device), CredentialsRefused)


@pytest.mark.parametrize(
    ("backend", "session", "reason"),
    [
        ({"status": "unavailable"}, {}, "qpu.forte-1 is unavailable"),
        ({"status": "retired"}, {}, "qpu.forte-1 is retired: use a backend with another device"),
        ({}, {"active": False}, "the session s has ended: name another in the field session, or leave it out"),
        ({}, {"backend": "qpu.aria-1"}, "the session s is one of qpu.aria-1, and not of qpu.forte-1"),
        (
            {
                "supported_gates": [
                    "x",
                    "y",
                    "z",
                    "h",
                    "s",
                    "si",
                    "t",
                    "ti",
                    "v",
                    "rx",
                    "ry",
                    "rz",
                    "cnot",
                    "swap",
                    "xx",
                ]
            },
            {},
            "qpu.forte-1 takes no gate vi, yy, zz: choose another gateset, or another version of Qonverge",
        ),
    ],
)
def test_why_a_device_runs_nothing(
    backend: Answers, session: Answers, reason: str, ionq: Service, secret: Path
) -> None:
    answers = {
        "/backends/qpu.forte-1": {**BACKEND, "characterization_id": None, **backend},
        "/sessions/s": {"active": True, "backend": "qpu.forte-1", **session},
    }
    ionq.answer = by_path(answers)
    device = cloud(ionq, secret, session="s").device()
    assert (device.online, device.reason) == (False, reason)


def _job(name: str, status: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "status": status, "submitted_at": "2027-01-15T08:00:00.000Z", **more}


def test_how_jobs_stand(ionq: Service, secret: Path) -> None:
    listed = [
        _job("new", "submitted"),
        _job("waiting", "ready", predicted_wait_time_ms=60_000),
        _job("running", "started", predicted_wait_time_ms=0),
        _job("done", "completed", execution_duration_ms=1500),
        _job("credits", "completed"),
        _job("unbilled", "completed"),
        _job("bad", "failed", failure={"code": "TooManyGates", "message": "9 of 8"}),
        _job("broken", "failed", failure={"code": "QuantumComputerError", "message": "Ions left."}),
        _job("gone", "canceled"),
        _job("odd", "resting"),
        _job("other", "started"),
    ]
    answers: Answers = {
        "/jobs": {"jobs": listed, "next": None},
        "/jobs/done/cost": {"cost": {"unit": "usd", "value": 25.79}, "estimated_cost": {"unit": "usd", "value": 30}},
        "/jobs/credits/cost": {"cost": {"unit": "credits", "value": 3}},
        "/jobs/unbilled/cost": {"estimated_cost": {"unit": "usd", "value": 30}},
        "/jobs/bad/cost": {"cost": {"unit": "usd", "value": 0}},
        "/jobs/gone/cost": {"cost": {"unit": "usd", "value": 0}},
    }
    ionq.answer = by_path(answers)
    ids = [job["id"] for job in listed if job["id"] != "other"]
    nothing = Money(Decimal(0))
    assert cloud(ionq, secret).tasks([*ids, "unknown"]) == {
        "new": CloudTask("Queued"),
        "waiting": CloudTask("Queued", expected_start=NOW + 60),
        "running": CloudTask("Running"),
        "done": CloudTask("Completed", billed=Money(Decimal("25.79")), run_seconds=1.5),
        "credits": CloudTask("Completed"),
        "unbilled": CloudTask("Completed"),
        "bad": CloudTask("Failed", "TooManyGates: 9 of 8", billed=nothing),
        "broken": CloudTask("Failed", "QuantumComputerError: Ions left.", retryable=True),
        "gone": CloudTask("Cancelled", billed=nothing),
        "odd": CloudTask("Queued", "IonQ says that it is resting"),
    }
    assert parse_qs(urlsplit(ionq.requests[0].path).query)["ids"] == [*ids, "unknown"]
    simulated = cloud(ionq, secret, "simulator").tasks(["done"])
    assert simulated == {"done": CloudTask("Completed", billed=nothing, run_seconds=1.5)}


def test_jobs_are_found_by_their_keys(ionq: Service, secret: Path) -> None:
    """All of 30 days at first, then only what may have come since."""
    jobs: list[dict[str, Any]] = []

    def add(name: str, age: float, key: str | None = None) -> None:
        made = f"2027-01-{15 - int(age // 86400):02}T07:59:00Z"
        metadata = {KEY_FIELD: key} if key else None
        jobs.insert(0, {"id": name, "submitted_at": made, "metadata": metadata})

    def answer(request: Request) -> tuple[int, Any]:
        asked = parse_qs(urlsplit(request.path).query)
        assert asked["target"] == ["qpu.forte-1"]
        first = int(asked.get("next", ["0"])[0])
        more = str(first + 2) if first + 2 < len(jobs) else None
        return 200, {"jobs": jobs[first : first + 2], "next": more}

    ionq.answer = answer
    for index in range(8):
        add(f"job-{index}", 86400.0 * (7 - index), f"{index}" * 64 if index % 2 else None)
    one = IonqCloud(
        CloudConfig({"backend": "qpu.forte-1", "endpoint": f"{ionq.url}/v0.4"}, str(secret)), clock=lambda: NOW
    )
    assert one.find(["1" * 64, "2" * 64]) == {"1" * 64: "job-1"}
    assert len(ionq.requests) == 4
    add("late", 0, KEY)
    assert one.find([KEY, "7" * 64]) == {KEY: "late", "7" * 64: "job-7"}
    # Those of the last minute are asked for again, since a list may lag.
    assert len(ionq.requests) == 6
    ionq.answer = lambda request: (429, {})
    assert isinstance(fault(lambda: one.find([KEY])), CloudBusy)


def test_no_more_is_listed_than_what_may_have_been_sent(ionq: Service, secret: Path) -> None:
    """A job a day, one on each page, and a key that was sent four days ago at the earliest, by a clock a day late."""
    names = {age: f"2027-01-{15 - age:02}" for age in range(14)}
    asked: list[int] = []

    def answer(request: Request) -> tuple[int, Any]:
        age = int(parse_qs(urlsplit(request.target).query).get("next", ["0"])[0])
        asked.append(age)
        job = {"id": names[age], "submitted_at": f"{names[age]}T07:30:00Z", "metadata": {KEY_FIELD: f"key-{age}"}}
        return 200, {"jobs": [job], "next": str(age + 1) if age + 1 in names else None}

    def listed(one: IonqCloud, *keys: str, days: float) -> tuple[list[str], list[int]]:
        asked.clear()
        found = one.find(keys, NOW - days * 86400 if days else 0.0)
        return sorted(found), list(asked)

    ionq.answer = answer
    one = cloud(ionq, secret)
    assert listed(one, "key-5", "key-9", days=4.5) == (["key-5"], [0, 1, 2, 3, 4, 5, 6])
    # What was listed is known, and only the last minute may lack something.
    assert listed(one, "key-3", days=4.5) == (["key-3"], [0])
    assert listed(one, "key-5", days=0.5) == (["key-5"], [0])
    # Older ones are listed when they may have what is asked for, and then once.
    assert listed(one, "key-9", days=8.5) == (["key-9"], list(range(11)))
    assert listed(one, "key-13", days=0) == (["key-13"], list(range(14)))
    assert listed(one, "key-13", "none", days=0) == (["key-13"], [0])


def test_what_an_attempt_sent_is_told_by_its_metadata(ionq: Service, secret: Path) -> None:
    """In pages of the lists of jobs in each state, which a job may be in two of while it moves on."""
    one = cloud(ionq, secret)
    ionq.answer = lambda request: (201, {"id": "one"})
    tags = {NAMESPACE_TAG: "chem", JOB_TAG: "vqe", RUN_TAG: "uid-0.1"}
    one.submit(KEY, replace(SUBMISSION, tags=tags))
    own = ionq.requests[-1].body["metadata"]
    assert own == {KEY_FIELD: KEY, "qonverge_namespace": "chem", "qonverge_job": "vqe", "qonverge_run": "uid-0.1"}
    other = {**own, "qonverge_run": "uid-0.11"}
    lists = {
        "submitted": [("one", "submitted", own), ("two", "submitted", other), ("three", "submitted", own)],
        "ready": [("four", "ready", None), ("three", "ready", own)],
        # One that has ended since, and a service that passes over the filter.
        "started": [("five", "started", own), ("six", "completed", own)],
    }

    def answer(request: Request) -> tuple[int, Any]:
        asked = parse_qs(urlsplit(request.path).query)
        assert asked["target"] == ["qpu.forte-1"]
        jobs = [{"id": name, "status": status, "metadata": data} for name, status, data in lists[asked["status"][0]]]
        first = int(asked.get("next", ["0"])[0])
        return 200, {"jobs": jobs[first : first + 2], "next": str(first + 2) if first + 2 < len(jobs) else None}

    ionq.answer = answer
    assert isinstance(one, TaggingCloud)
    assert one.of_run("uid-0.1") == ["one", "three", "five"]


def test_a_result_has_the_id_that_shots_are_drawn_by(ionq: Service, secret: Path) -> None:
    ionq.answer = by_path({"/jobs/one/results/probabilities": {"0": 0.5, "3": 0.5}})
    one = cloud(ionq, secret)
    assert json.loads(one.result("one")) == {"id": "one", "probabilities": {"0": 0.5, "3": 0.5}}
    assert isinstance(fault(lambda: one.result("two")), CloudRefused)


def test_cancelling(ionq: Service, secret: Path) -> None:
    status = {"one": "started"}

    def answer(request: Request) -> tuple[int, Any]:
        if request.method == "PUT":
            assert request.path == "/v0.4/jobs/one/status/cancel"
            return refusal
        path = urlsplit(request.path).path
        return (
            by_path({"/jobs": {"jobs": [_job("one", status["one"])]}, "/jobs/one/cost": {}})(request)
            if path
            else (0, 0)
        )

    ionq.answer, one = answer, cloud(ionq, secret)
    refusal: tuple[int, Any] = (200, {"id": "one", "status": "canceled"})
    one.cancel("one")
    refusal = (409, {"message": "too late"})
    assert "too late" in str(fault(lambda: one.cancel("one")))
    status["one"] = "completed"
    one.cancel("one")


@pytest.mark.parametrize(
    "form",
    [
        {"cost_unit": "usd", "estimated_cost": 30.5},
        {"estimated_unit": "usd", "estimated_total_cost": 30.5},
    ],
)
def test_nothing_is_sent_that_would_cost_more_than_the_limit(form: Answers, ionq: Service, secret: Path) -> None:
    ionq.answer = by_path({"/jobs/estimate": form, "/jobs": {"id": "one"}})
    assert cloud(ionq, secret, costLimit="30.5").submit(KEY, SUBMISSION) == "one"
    asked = {name: values[0] for name, values in parse_qs(urlsplit(ionq.requests[0].path).query).items()}
    assert asked == {
        "backend": "qpu.forte-1",
        "type": "ionq.circuit.v1",
        "qubits": "2",
        "shots": "1000",
        "1q_gates": "1",
        "2q_gates": "1",
        "error_mitigation": "true",
    }
    found = fault(lambda: cloud(ionq, secret, costLimit="30.49").submit(KEY, SUBMISSION))
    assert isinstance(found, CloudRefused)
    assert str(found) == (
        "IonQ estimates 30.50 USD for this task of 1000 shots, 1 gates on one qubit and 1 on two, and costLimit is "
        "30.49 USD: give fewer shots, or raise the limit"
    )
    ionq.answer = by_path({"/jobs/estimate": {"estimated_unit": "credits", "estimated_total_cost": 1}})
    assert "in credits, and costLimit is in US dollars" in str(
        fault(lambda: cloud(ionq, secret, costLimit="30").submit(KEY, SUBMISSION))
    )
    # Nothing was sent whose effect would have to be looked for.
    ionq.answer = lambda request: (500, {})
    found = fault(lambda: cloud(ionq, secret, costLimit="30").submit(KEY, SUBMISSION))
    assert isinstance(found, CloudUnavailable)
    assert [request.method for request in ionq.requests].count("POST") == 1


def test_a_rehearsal_is_checked_and_priced_and_leaves_no_job(ionq: Service, secret: Path) -> None:
    answers: Answers = {
        "/jobs": {"id": "dry", "jobs": [_job("dry", "completed")]},
        "/jobs/dry/cost": {"estimated_cost": {"unit": "usd", "value": 25.79}, "cost": {"unit": "usd", "value": 0}},
        "/jobs/dry": {"id": "dry", "status": "deleted"},
        "/jobs/estimate": {"cost_unit": "usd", "estimated_cost": 25.79},
    }
    ionq.answer = by_path(answers)
    one = cloud(ionq, secret, session="s", debiasing=True)
    assert isinstance(one, RehearsingCloud)
    assert one.rehearse(SUBMISSION) == Money(Decimal("25.79"))
    assert [request.method for request in ionq.requests] == ["POST", "GET", "GET", "DELETE"]
    # Nothing by which it could be taken for the task itself, nor a job of the session.
    assert ionq.requests[0].body == {
        "type": "ionq.circuit.v1",
        "backend": "qpu.forte-1",
        "name": "qonverge validate",
        "dry_run": True,
        "shots": 1000,
        "input": PROGRAM,
        "settings": {"error_mitigation": {"debiasing": True}},
    }
    answers["/jobs"]["jobs"] = [_job("dry", "failed", failure={"code": "TooManyGates", "message": "9 of 8"})]
    found = fault(lambda: one.rehearse(SUBMISSION))
    assert isinstance(found, CloudRefused)
    assert str(found) == "IonQ would not run it: TooManyGates: 9 of 8"
    assert ionq.requests[-1].method == "DELETE"
    sent = len(ionq.requests)
    assert "costLimit is 25.00 USD" in str(fault(lambda: cloud(ionq, secret, costLimit="25").rehearse(SUBMISSION)))
    # The simulator would run it.
    assert cloud(ionq, secret, "simulator").rehearse(SUBMISSION) == Money(Decimal(0))
    assert [request.method for request in ionq.requests[sent:]] == ["GET"]


def test_links_are_those_of_the_console_of_ionq_alone(ionq: Service, secret: Path) -> None:
    assert cloud(ionq, secret).link("one") == ""
    real = IonqCloud(CloudConfig({"backend": "simulator"}, str(secret)))
    assert real.link("one") == "https://cloud.ionq.com/jobs/one"
