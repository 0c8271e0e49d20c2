"""For how long tasks ran, of all together, with those that still do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from qonverge.backend.tasks.records import Record
from qonverge.backend.tasks.registry import Tasks


def record(identity: str) -> Record:
    """A record as far as the registry looks at it."""
    task = SimpleNamespace(id=identity)
    return cast("Record", SimpleNamespace(request=SimpleNamespace(task=task), nbytes=1))


def test_tasks_that_run_together_count_each_by_itself() -> None:
    now = 100.0
    tasks = Tasks(lambda: now)
    one, two = record("one"), record("two")
    tasks.add(one)
    now += 50
    assert tasks.ran_seconds() == 0.0, "it waits"
    tasks.begin(one)
    now += 3
    tasks.add(two)
    tasks.begin(two)
    now += 2
    assert tasks.ran_seconds() == 3 + 2 * 2
    tasks.settle(one)
    tasks.settle(one)
    now += 10
    tasks.settle(two)
    now += 1000
    assert tasks.ran_seconds() == 3 + 2 * 2 + 10
