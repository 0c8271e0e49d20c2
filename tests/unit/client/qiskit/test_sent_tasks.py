"""Tasks on their way: one thread sends each, whoever comes first."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from qonverge.client.errors import TaskFailed
from qonverge.client.qiskit.jobs import Sender
from qonverge.client.transport.connection import MOST_TASKS
from qonverge.wire.errors import EngineFailed
from qonverge.wire.messages import Pub, Task, TaskResult

_TASK = Task("task-1", (Pub("digest"),))


class Recorded:
    """A runner that does what it is told, call after call, and notes the threads that call."""

    def __init__(self, *calls: Any) -> None:
        self._calls = iter(calls)
        self.begun = threading.Semaphore(0)
        self.threads: list[threading.Thread] = []

    def run(self, task: Task, cancelled: threading.Event | None = None) -> TaskResult:
        self.threads.append(threading.current_thread())
        self.begun.release()
        found = next(self._calls)()
        if isinstance(found, BaseException):
            raise found
        return TaskResult(task.id, "Completed", engine=str(found))

    def cancel(self, identity: str) -> bool:
        return False

    def info(self) -> Any:
        raise NotImplementedError


def test_a_task_is_sent_without_anybody_who_asks_for_its_result() -> None:
    sent = Sender(Recorded(lambda: "an engine")).send(_TASK)
    assert sent.ended.result(30).engine == "an engine"


def test_a_task_is_sent_once_however_many_wait_for_it() -> None:
    gate = threading.Event()
    runner = Recorded(lambda: gate.wait(30))
    sent = Sender(runner).send(_TASK)
    found: list[TaskResult] = []
    waiting = [threading.Thread(target=lambda: found.append(sent.result())) for _ in range(4)]
    for thread in waiting:
        thread.start()
    gate.set()
    for thread in waiting:
        thread.join(30)
    assert [result.id for result in found] == ["task-1"] * 4
    assert len(runner.threads) == 1


def test_what_fails_in_the_thread_that_waits_is_told_each_time() -> None:
    sent = Sender(Recorded(lambda: TaskFailed(EngineFailed("no")))).send(_TASK)
    for _ in range(2):
        with pytest.raises(TaskFailed, match="no"):
            sent.result()


def _busy(*calls: Any) -> tuple[Sender, Recorded, threading.Event]:
    """Return a sender without a free thread, so that who waits for a task sends it, and what frees the threads."""
    gate = threading.Event()
    runner = Recorded(*[lambda: gate.wait(30)] * MOST_TASKS, *calls)
    sender = Sender(runner)
    for number in range(MOST_TASKS):
        sender.send(replace(_TASK, id=f"other-{number}"))
    for _ in range(MOST_TASKS):
        assert runner.begun.acquire(timeout=30)
    return sender, runner, gate


def test_an_interrupted_wait_does_not_end_the_task() -> None:
    sender, runner, gate = _busy(KeyboardInterrupt, lambda: "an engine")
    sent = sender.send(_TASK)
    with pytest.raises(KeyboardInterrupt):
        sent.result()
    assert runner.threads[-1] is threading.current_thread()
    gate.set()
    assert sent.result().engine == "an engine"


def test_a_process_that_leaves_does_not_wait_for_its_task() -> None:
    sender, runner, gate = _busy(SystemExit)
    sent = sender.send(_TASK)
    with pytest.raises(SystemExit):
        sent.result()
    gate.set()
    assert sent.ended.done()
    assert len(runner.threads) == MOST_TASKS + 1


def test_a_task_without_pubs_has_ended() -> None:
    sent = Sender(Recorded()).send(Task("task-2", ()))
    assert sent.ended.done()
    assert sent.result().results == ()
