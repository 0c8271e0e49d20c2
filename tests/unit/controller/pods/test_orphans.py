"""Which tasks on a pod somebody still waits for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qonverge.api import HybridJob
from qonverge.controller.pods.orphans import is_wanted
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.phases import Running, Sent
from qonverge.controller.store.pods import Endpoint
from qonverge.controller.store.state import State
from qonverge.scheduling import Decision
from qonverge.wire.messages import TaskInfo
from qonverge.wire.tokens import OPERATOR_SUBJECT

HERE = Endpoint("pod-uid", "default/pod-0", "default/aer-qb", "http://127.0.0.1:1")
THERE = Endpoint("other-uid", "default/pod-1", "default/aer-qb", "http://127.0.0.1:2")


def state(**spec: Any) -> State:
    given = {
        "metadata": {"name": "j", "uid": "a-b-c", "generation": 2, "resourceVersion": "7"},
        "spec": {"program": {"circuit": {"openqasm": "x"}}, **spec},
    }
    state = State()
    state.jobs["default/j"] = HybridJob.model_validate(given)
    return state


def task(identity: str, subject: str = OPERATOR_SUBJECT) -> TaskInfo:
    return TaskInfo(identity, subject, "Running")


@pytest.mark.parametrize(
    ("identity", "wanted"), [("a-b-c-2-1", True), ("a-b-c-1-1", False), ("d-e-f-2-1", False), ("a-b-2-1", False)]
)
def test_a_task_is_wanted_by_the_job_that_it_was_made_for(identity: str, wanted: bool) -> None:
    assert is_wanted(state(), task(identity), HERE) is wanted


def test_a_suspended_job_wants_nothing() -> None:
    assert not is_wanted(state(suspend=True), task("a-b-c-2-1"), HERE)


@pytest.mark.parametrize(("endpoint", "attempt", "wanted"), [(HERE, 2, True), (HERE, 1, False), (THERE, 2, False)])
async def test_of_several_attempts_the_one_that_is_waited_for(endpoint: Endpoint, attempt: int, wanted: bool) -> None:
    known = state()
    waiting = asyncio.create_task(asyncio.sleep(60))
    try:
        sent = Sent("a-b-c-2-2", HERE, "default/aer", 0.0)
        known.flights["default/j"] = Flight("a-b-c", 2, phase=Running(Decision("j", None, ""), 0.0, (sent,), waiting))
        assert is_wanted(known, task(f"a-b-c-2-{attempt}"), endpoint) is wanted
    finally:
        waiting.cancel()


def test_a_program_s_tasks_are_its_account_s_to_end() -> None:
    assert is_wanted(state(), task("any", "default/gone"), HERE)
