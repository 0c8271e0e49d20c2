"""A cloud without a call to find tasks with: what may have been sent is never sent again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psutil
import pytest

from qonverge.wire.errors import OutcomeUnknown
from qonverge.wire.messages import TaskResult
from tests.clouds.running import Service, provider, vendor
from tests.clouds.sweep import check, sweep


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with provider(tmp_path_factory.mktemp("vendor")):
        yield


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with vendor() as found:
        yield found


@pytest.fixture
def options(service: Service) -> Iterator[tuple[str, ...]]:
    yield (
        *("--engine", "Untraceable", "--options", f'{{"endpoint": "{service.url}"}}'),
        *("--concurrency", "8", "--memory-limit", str(1024**3)),
    )
    service.reset()


def is_unknown(service: Service, result: TaskResult) -> bool:
    """Return whether the task failed since nobody knows, and says where to look for what was sent."""
    assert isinstance(result.error, OutcomeUnknown)
    assert "look in the console for the tag" in result.error.message
    told = [task for task in result.vendor_tasks if not task.id and "not sent again" in task.message]
    return bool(told) and max(Counter(task["key"] for task in service.tasks).values(), default=0) <= 1


def test_only_a_reply_that_was_lost_ends_a_task(kit: Any, service: Service, options: tuple[str, ...]) -> None:
    with kit.serving(*options) as backend:
        # Before anything had an effect it is the same as with any cloud.
        for kind in ("busy", "unavailable"):
            service.fault("submit", kind)
            check(TaskResult.from_dict(backend.send(sweep(kit, kind)).body))
            assert len(service.tasks) == 3
            service.reset()
        for number, kind in enumerate(("drop-before", "drop-after", "error-after")):
            service.fault("submit", kind, skip=1)
            assert is_unknown(service, TaskResult.from_dict(backend.send(sweep(kit, kind)).body))
            # Asked for once more, it is as it was.
            again = replace(sweep(kit, kind), again=True)
            assert is_unknown(service, TaskResult.from_dict(backend.send(again).body))
            assert len({task["key"] for task in service.tasks}) == len(service.tasks) <= 3, number
            service.reset()


def test_a_proxy_that_was_killed_has_nothing_sent_again(kit: Any, service: Service, options: tuple[str, ...]) -> None:
    task, port = sweep(kit, "killed"), kit.free_port()
    service.fault("submit", "hold-after", skip=1)
    with kit.serving(*options, port=port) as backend:
        backend.send(task, wait=0)
        kit.until(lambda: service.control()["held"], "submit is held")
        children = psutil.Process(backend.process.pid).children()
        backend.process.kill()
        backend.process.wait()
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive
    service.control(release=True)
    before = len(service.tasks)
    with kit.serving(*options, port=port) as backend:
        assert is_unknown(service, TaskResult.from_dict(backend.send(replace(task, again=True)).body))
        assert len(service.tasks) == before
        # One that nobody sent before is as good as ever.
        check(TaskResult.from_dict(backend.send(sweep(kit, "fresh")).body))
