"""A cloud backend's process that is killed at any step, and the next one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from qonverge.wire.messages import TaskResult
from tests.clouds.running import provider, vendor
from tests.clouds.sweep import check, sweep


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with provider(tmp_path_factory.mktemp("vendor")):
        yield


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("Keyed", [("submit", "hold-after", 1), ("result", "hold-before", 0)]),
        ("Tagged", [("submit", "hold-before", 1), ("submit", "hold-after", 0), ("tasks", "hold-before", 0)]),
    ],
)
def test_a_proxy_that_is_killed_between_any_two_steps(kit: Any, kind: str, steps: list[tuple[str, str, int]]) -> None:
    task, port = sweep(kit, "killed"), kit.free_port()
    with vendor() as service:
        options = ("--engine", kind, "--options", f'{{"endpoint": "{service.url}"}}', "--concurrency", "8")
        for call, how, skip in steps:
            service.fault(call, how, skip=skip)
            with kit.serving(*options, "--memory-limit", str(1024**3), port=port) as backend:
                assert backend.send(task, wait=0).status < 300
                kit.until(lambda: service.control()["held"], f"{call} is held")
                children = psutil.Process(backend.process.pid).children()
                backend.process.kill()
                backend.process.wait()
                _, alive = psutil.wait_procs(children, timeout=20)
                assert not alive
            service.control(release=True)
        service.control(settings={"seconds": 60})
        with kit.serving(*options, "--memory-limit", str(1024**3), port=port) as backend:
            backend.send(task, wait=0)
            kit.until(lambda: len(service.tasks) == 3, "all are there")
            # It drains, and what the cloud has goes on.
            backend.process.send_signal(signal.SIGTERM)
            assert backend.process.wait(30) == 0
        assert {each["state"] for each in service.tasks} == {"Queued"}
        service.control(settings={"seconds": 0.0})
        with kit.serving(*options, "--memory-limit", str(1024**3), port=port) as backend:
            check(TaskResult.from_dict(backend.send(task).body))
        assert len({each["key"] for each in service.tasks}) == len(service.tasks) == 3
