"""IQM's service by its wire, which dev-cloud stands in for: calls, faults, and tasks that are begun once."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import urllib3
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter
from qonverge_iqm.cloud import IqmCloud

from qonverge.backend.clouds.errors import (
    CannotFind,
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    CredentialsRefused,
    ReplyLost,
)
from qonverge.backend.clouds.protocol import CloudConfig, Submission
from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.cloud.executor import CloudExecutor
from qonverge.backend.executors.cloud.patience import Patience
from qonverge.backend.tasks.engine import Engine
from qonverge.circuits.analysis.canonical import canonical
from qonverge.providers.installed import find
from qonverge.wire.codec import pack, unpack
from qonverge.wire.errors import OutcomeUnknown
from qonverge.wire.messages import Pub, Task, TaskResult
from qonverge.wire.tokens import LOCAL_SUBJECT, Caller
from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.faults import Fault
from qonverge_dev_cloud.scenario import Scenario

QUICK = Patience(first_backoff=0.02, most_backoff=0.1, device=0.1, poll_first=0.01, poll_near=0.05, cancel=5)
KEY = "0123456789abcdef" * 4
FLIP = json.dumps(
    {
        "circuits": [
            {
                "name": "flip",
                "instructions": [
                    {"name": "prx", "locus": ["QB1"], "args": {"angle": np.pi, "phase": 0.0}},
                    {"name": "measure", "locus": ["QB1"], "args": {"key": "m0"}},
                ],
            }
        ],
        "shots": 5,
    }
)
SECRET = "iqm-secret-5b1d"  # noqa: S105 - it opens nothing


@contextlib.contextmanager
def clouds(**garnet: Any) -> Iterator[DevCloud]:
    with DevCloud(Scenario.model_validate({"iqm": {"computers": {"garnet": {"noise": False, **garnet}}}})) as cloud:
        yield cloud


def options(cloud: DevCloud) -> dict[str, Any]:
    return {"quantumComputer": "garnet", "server": cloud.environment["IQM_SERVER_URL"]}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "IQM_TOKEN").write_text(f"{SECRET}\n")
    return tmp_path


def raised(call: Any) -> CloudError:
    with pytest.raises(CloudError) as error:
        call()
    assert SECRET not in f"{error.value!r} {error.value.__context__!r} {error.value.__cause__!r}"
    return error.value


def test_its_options_are_checked() -> None:
    def problem(**given: Any) -> str | None:
        return find("IQM").problem(elsewhere=True, options=given, options_path="plugin.options")

    assert problem(quantumComputer="garnet") is None
    assert "Field required" in str(problem())
    assert "http shows the token" in str(problem(quantumComputer="garnet", server="http://iqm.example"))
    assert "the engine IQM has no such option" in str(problem(quantumComputer="garnet", shots=1))


def test_a_job_from_its_submission_to_its_measurements(secret: Path) -> None:
    with clouds(run={"seconds": 0.05}) as cloud:
        iqm = IqmCloud(CloudConfig(options(cloud), str(secret)))
        device = iqm.device()
        assert (device.online, device.num_qubits, device.max_shots, device.queue_length) == (True, 20, 20_000, 0)
        assert device.calibration is not None
        assert len(device.calibration.couplings) == 60  # type: ignore[union-attr]
        identity = iqm.submit(KEY, Submission(FLIP, 5))
        assert cloud.tasks()[0]["tags"] == {"tag": KEY[:50]}
        while (task := iqm.tasks([identity, "0" * 32])[identity]).state != "Completed":
            assert task.state in ("Queued", "Running")
        assert task.run_seconds == 0.05
        assert iqm.result(identity) == '[{"m0": [[1], [1], [1], [1], [1]]}]'
        assert iqm.tasks(["0" * 32]) == {}
        # One that has ended is none to cancel.
        iqm.cancel(identity)
        assert "dashboard" in str(raised(lambda: iqm.find([KEY])))
        assert isinstance(raised(lambda: iqm.find([KEY])), CannotFind)
        # A large document that never changes is asked for once.
        iqm.device()
        assert len(cloud.journal.entries("iqm", "GetCalibrationSet")) == 1


def test_places_in_the_queue_and_cancelling(secret: Path) -> None:
    with clouds(queue={"seconds": 3600, "ahead": 2}) as cloud:
        iqm = IqmCloud(CloudConfig(options(cloud), str(secret)))
        first, second = (iqm.submit(key, Submission(FLIP, 5)) for key in ("a" * 64, "b" * 64))
        assert [iqm.tasks([own])[own].queue_position for own in (first, second)] == [3, 4]
        assert isinstance(raised(lambda: iqm.result(first)), CloudRefused)
        iqm.cancel(first)
        assert iqm.tasks([first])[first].state == "Cancelled"


@pytest.mark.parametrize(
    ("fault", "meaning"),
    [
        ({"kind": "status", "status": 429}, CloudBusy),
        ({"kind": "status", "status": 401}, CredentialsRefused),
        ({"kind": "status", "status": 403}, CredentialsRefused),
        ({"kind": "status", "status": 400}, CloudRefused),
        ({"kind": "status", "status": 404}, CloudRefused),
        ({"kind": "status", "status": 500}, ReplyLost),
        ({"kind": "status", "status": 503}, ReplyLost),
        ({"kind": "lostReply"}, ReplyLost),
        ({"kind": "lostReply", "when": "after"}, ReplyLost),
    ],
)
def test_what_a_failure_means(secret: Path, fault: dict[str, Any], meaning: type[CloudError]) -> None:
    with clouds() as cloud:
        iqm = IqmCloud(CloudConfig(options(cloud), str(secret)))
        cloud.set_faults(Fault(operation="SubmitJob", **fault))
        error = raised(lambda: iqm.submit(KEY, Submission(FLIP, 5)))
        assert isinstance(error, meaning)
        # Nothing repeats a call in here.
        assert len(cloud.journal.entries("iqm", "SubmitJob")) == 1


def test_no_connection_and_what_is_no_answer_of_iqm(secret: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = {"quantumComputer": "garnet", "server": f"http://127.0.0.1:{taken.getsockname()[1]}"}
        assert isinstance(raised(IqmCloud(CloudConfig(nobody, str(secret))).device), CloudUnavailable)
    with clouds() as cloud:
        other = IqmCloud(CloudConfig(options(cloud) | {"server": cloud.control_url}, str(secret)))
        assert isinstance(raised(other.device), CloudRefused)


def test_a_token_is_read_for_every_call(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with clouds() as cloud:
        iqm = IqmCloud(CloudConfig(options(cloud), str(secret)))
        (secret / "IQM_TOKEN").rename(secret / "away")
        assert str(raised(iqm.device)) == "the Secret has no IQM_TOKEN: IQM's dashboard gives API tokens"
        (secret / "away").rename(secret / "IQM_TOKEN")
        assert iqm.device().online
        monkeypatch.delenv("IQM_TOKEN", raising=False)
        own = IqmCloud(CloudConfig(options(cloud)))
        assert isinstance(raised(own.device), CredentialsRefused)
        monkeypatch.setenv("IQM_TOKEN", SECRET)
        assert own.device().online


ANGLES = np.array([0.0, np.pi, np.pi / 2])


def sweep(identity: str, **sent: Any) -> Task:
    """Return a task of three jobs whose results anybody can tell."""
    turn = Parameter("turn")
    circuit = QuantumCircuit(3, 2)
    circuit.rx(turn, 2)
    circuit.cx(2, 0)
    circuit.x(1)
    circuit.measure([0, 1], [1, 0])
    return task_of(identity, circuit, {"turn": ANGLES}, **sent)


def task_of(identity: str, circuit: QuantumCircuit, parameters: Any, **sent: Any) -> Task:
    buffer = io.BytesIO()
    qpy.dump(canonical(circuit), buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    return Task(identity, (Pub(digest, parameters, 200),), {digest: buffer.getvalue()}, 1, **sent)


def check(result: TaskResult) -> None:
    assert result.error is None
    low, high, half = result.results[0].counts
    assert (low, high) == ({"01": 200}, {"11": 200})
    assert set(half) == {"01", "11"}
    # Of a fair coin one in 10^12 is further off.
    assert abs(half["01"] - 100) < 3.6 * np.sqrt(200)


@contextlib.asynccontextmanager
async def proxy(cloud: DevCloud, secret: Path) -> AsyncIterator[Engine]:
    config = EngineConfig(
        provider="IQM", options=options(cloud), credentials=str(secret), concurrency=10, memory_bytes=1024**3
    )
    engine = Engine(config, executor=partial(CloudExecutor, patience=QUICK))
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()


async def ended(engine: Engine, task: Task) -> TaskResult:
    # As a server without tokens has it.
    engine.submit(task, Caller(LOCAL_SUBJECT))
    async with asyncio.timeout(60):
        return await engine.wait(task.id, float("inf"))


def submitted(cloud: DevCloud) -> list[str]:
    return [task["tags"]["tag"] for task in cloud.tasks()]


async def test_tasks_are_right_and_never_sent_twice(secret: Path) -> None:
    with clouds(run={"seconds": 0.05}, failing={"calls": [10], "reason": "the cryostat is warm"}) as cloud:
        with server(cloud, secret) as client:
            for name in ("killed", "followed"):
                client.send(sweep(name))
            until(lambda: len(cloud.tasks()) == 6)
            until(lambda: len(client.known("followed")) == 3)
            known = client.known("followed")
        async with proxy(cloud, secret) as engine:
            # What a proxy sent that was killed is not sent again, and its caller says that it may have been.
            assert_unknown(cloud, await ended(engine, sweep("killed", again=True)), named=1)
            # With the ids that the killed one told of, it is gone on with.
            check(await ended(engine, sweep("followed", again=True, known=known)))
            assert len(cloud.journal.entries("iqm", "SubmitJob")) == 6
            # What had no effect is waited out.
            cloud.set_faults(Fault(operation="SubmitJob", kind="status", status=429, calls=(1, 2)))
            result = await ended(engine, sweep("plain"))
            check(result)
            assert [own.state for own in result.vendor_tasks] == ["Completed"] * 3
            # The device's own time, not that until somebody looked.
            assert result.run_seconds == pytest.approx(3 * 0.05)
            info = engine.info()
            assert info.calibration is not None
            assert info.calibration["source"].startswith("IQM, calibration set ")
            assert result.calibration == info.calibration_digest
            assert "the cryostat is warm" in str((await ended(engine, sweep("warm"))).error)
            # A reply that was lost is a question to a person.
            for when in ("before", "after"):
                cloud.set_faults(Fault(operation="SubmitJob", kind="lostReply", when=when, calls=(2,)))
                assert_unknown(cloud, await ended(engine, sweep(when)), named=int(when == "after"))
            check(await ended(engine, sweep("next")))
        assert len(set(submitted(cloud))) == len(submitted(cloud))


def assert_unknown(cloud: DevCloud, result: TaskResult, named: int) -> None:
    """Check that a task failed since nobody knows, with the tag of the job that a person finds, if there is one."""
    assert isinstance(result.error, OutcomeUnknown)
    found = [tag for tag in submitted(cloud) if f"the job of garnet with the tag {tag}" in str(result.error)]
    assert len(found) == named


@dataclass
class Client:
    """Calls a backend's process."""

    url: str
    pool: urllib3.PoolManager

    def send(self, task: Task) -> None:
        headers = {"content-type": "application/msgpack", "accept": "application/msgpack"}
        answer = self.pool.request("POST", f"{self.url}/v1/tasks", body=pack(task.to_dict()), headers=headers)
        assert answer.status < 300, unpack(answer.data)

    def known(self, identity: str) -> dict[str, str]:
        """Return the ids of IQM's jobs that a task became, by their keys."""
        told = self.pool.request("GET", f"{self.url}/v1/tasks/{identity}").json()
        return {task["key"]: task["id"] for task in told["vendor_tasks"] if task["id"]}


@contextlib.contextmanager
def server(cloud: DevCloud, secret: Path) -> Iterator[Client]:
    """Run a backend's process, give what calls it, and kill it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "qonverge.backend", "--listen", f"127.0.0.1:{port}", "--engine", "IQM"]
    command += ["--options", json.dumps(options(cloud)), "--credentials", str(secret), "--memory-limit", str(1024**3)]
    process = subprocess.Popen(command)  # noqa: S603 - our own
    pool, url = urllib3.PoolManager(retries=False, timeout=20), f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            return bool(pool.request("GET", f"{url}/readyz").status == 200)
        return False

    try:
        until(ready)
        yield Client(url, pool)
    finally:
        children = psutil.Process(process.pid).children()
        process.kill()
        process.wait()
        # They end with their standard input.
        _, alive = psutil.wait_procs(children, timeout=30)
        assert not alive


def until(condition: Any) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)
