"""A cloud backend's process that is killed at any step, and the next one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psutil
import pytest

from qonverge.client.transport.connection import Connection
from qonverge.wire.codec import pack
from qonverge.wire.grants import Grant, Meters
from qonverge.wire.messages import Task, TaskResult
from qonverge.wire.tokens import OPERATOR_SUBJECT
from tests.clouds.running import provider, vendor
from tests.clouds.sweep import check, sweep


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with provider(tmp_path_factory.mktemp("vendor")):
        yield


def kill(backend: Any) -> None:
    children = psutil.Process(backend.process.pid).children()
    backend.process.kill()
    backend.process.wait()
    _, alive = psutil.wait_procs(children, timeout=120)
    assert not alive


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("Keyed", [("submit", "hold-after", 1), ("result", "hold-before", 0)]),
        (
            "Tagged",
            [
                ("find", "hold-before", 0),
                ("submit", "hold-before", 1),
                ("submit", "hold-after", 0),
                ("tasks", "hold-before", 0),
            ],
        ),
    ],
)
def test_a_proxy_that_is_killed_between_any_two_steps(kit: Any, kind: str, steps: list[tuple[str, str, int]]) -> None:
    task, port = sweep(kit, "killed"), kit.free_port()
    with vendor() as service:
        options = ("--engine", kind, "--options", f'{{"endpoint": "{service.url}"}}', "--concurrency", "8")
        # Only what has ended has a result.
        ended = any(call == "result" for call, _, _ in steps)
        service.control(settings={"seconds": 0.0 if ended else 600.0})
        for call, how, skip in steps:
            service.fault(call, how, skip=skip)
            with kit.serving(*options, "--memory-limit", str(1024**3), port=port) as backend:
                assert backend.send(task, wait=0).status < 300
                kit.until(lambda: service.control()["held"], f"{call} is held")
                kill(backend)
            service.control(release=True)
        with kit.serving(*options, "--memory-limit", str(1024**3), port=port) as backend:
            backend.send(task, wait=0)
            kit.until(lambda: len(service.tasks) == 3, "all are there")
            # It drains, and what the cloud has goes on.
            backend.process.send_signal(signal.SIGTERM)
            assert backend.process.wait(30) == 0
        assert {each["state"] for each in service.tasks} == {"Completed" if ended else "Queued"}
        service.control(settings={"seconds": 0.0})
        with kit.serving(*options, "--memory-limit", str(1024**3), port=port) as backend:
            check(TaskResult.from_dict(backend.send(task).body))
        assert len({each["key"] for each in service.tasks}) == len(service.tasks) == 3


def test_what_a_program_began_ends_with_it_whichever_proxies_were_killed(kit: Any) -> None:
    account, run = "uid-0", "uid-0.1"
    task, port = sweep(kit, "program"), kit.free_port()

    def send(backend: Any) -> Any:
        meters = Meters.from_dict(backend.ask("POST", "/v1/meters", pack({}), subject=OPERATOR_SUBJECT).body)
        body = pack({"grants": {account: Grant(attempt=1).to_dict()}, "boot": meters.boot})
        assert backend.ask("POST", "/v1/meters", body, subject=OPERATOR_SUBJECT).status == 200
        token = backend.token("chem/job", account=account, attempt=1)
        return backend.send(task, wait=0, authorization=f"Bearer {token}")

    def end(backend: Any, subject: str = OPERATOR_SUBJECT) -> Any:
        return backend.ask("DELETE", f"/v1/runs/{run}", subject=subject)

    with vendor() as service:
        options = ("--engine", "Tagged", "--options", f'{{"endpoint": "{service.url}"}}', "--concurrency", "8")
        memory = ("--memory-limit", str(1024**3))
        service.control(settings={"seconds": 600})
        service.fault("submit", "hold-after", skip=2)
        with kit.serving(*options, *memory, port=port) as backend:
            assert send(backend).status == 202
            kit.until(lambda: service.control()["held"], "the last submission is held")
            kill(backend)
        service.control(release=True)
        tags = {"qonverge.io/namespace": "chem", "qonverge.io/job": "job", "qonverge.io/run": run}
        assert [each["tags"] for each in service.tasks] == [tags] * 3
        # The next one knows nothing of the program, which is over; it is killed while it cancels.
        service.fault("cancel", "hold-before", skip=1)
        with kit.serving(*options, *memory, port=port) as backend:
            kit.until(lambda: end(backend).body["vendor_tasks"] and service.control()["held"], "a cancel is held")
            kill(backend)
        service.control(release=True)
        with kit.serving(*options, *memory, port=port) as backend:
            assert end(backend, "chem/job").status == 404
            kit.until(lambda: end(backend).body == {"vendor_tasks": []}, "nothing is left")
            late = send(backend)
        assert (late.status, late.body["error"]["code"]) == (403, "AccessEnded")
        assert [each["state"] for each in service.tasks] == ["Cancelled"] * 3


def test_a_program_s_client_hands_its_task_to_the_next_proxy(kit: Any) -> None:
    """Of a vendor that lists nothing, and whose device takes fewer shots at once by then."""
    port, serving = kit.free_port(), dict[str, Any]()
    own, stolen = sweep(kit, "own", shots=300), sweep(kit, "stolen", shots=300)
    with vendor() as service, ThreadPoolExecutor(1) as pool:
        service.control(device={"max_shots": 200}, settings={"seconds": 600.0})
        options = ("--engine", "Untraceable", "--options", f'{{"endpoint": "{service.url}"}}', "--concurrency", "20")
        more = ("--memory-limit", str(1024**3), "--key", "of-the-backend")
        with kit.serving(*options, *more, port=port) as backend:
            serving["now"] = backend
            client = Connection(backend.url, lambda: str(serving["now"].token()), renewal=60)
            running = pool.submit(client.run, own)
            attempt = kit.until(lambda: client._attempts.get("own"), "the task is sent")
            kit.until(lambda: len(attempt.known) == 6, "the client knows what it became")
            spy = client_of(backend, "chem/spy", stolen)
            kit.until(lambda: len(spy().vendor_tasks) == 6, "the other one has its own")
            seals = {task.key: task.seal for task in spy().vendor_tasks}
            kill(backend)
        service.control(device={"max_shots": 100})
        with kit.serving(*options, *more, port=port) as backend:
            serving["now"] = backend
            # A program names tasks of others as its own, with a word that was given for its own.
            known = dict(zip(seals, (task.id for task in attempt.known.values()), strict=True))
            asked = replace(stolen, again=True, known=known, seals=seals, limits=attempt.limits)
            assert backend.send(asked, subject="chem/spy").error["code"] == "OutcomeUnknown"
            service.control(settings={"seconds": 0.0})
            check(running.result(60), shots=300)
        assert len(service.tasks) == 12


def client_of(backend: Any, subject: str, task: Task) -> Callable[[], TaskResult]:
    """Send a task, and return what tells how it stands."""
    assert backend.send(task, wait=0, subject=subject).status == 202
    return lambda: TaskResult.from_dict(backend.ask("GET", f"/v1/tasks/{task.id}", subject=subject).body)
