"""A cloud backend's process that is killed at any step, and the next one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from qonverge.wire.codec import pack
from qonverge.wire.grants import Grant, Meters
from qonverge.wire.messages import TaskResult
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
    _, alive = psutil.wait_procs(children, timeout=20)
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
