"""Steps of programs: done once, and found again by the process that follows one which gave its pod back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qonverge.amounts import TaskLimits
from qonverge.client.program.steps import Steps
from qonverge.client.transport.attempts import Attempt
from qonverge.client.transport.step_tasks import StepTasks
from qonverge.wire.codec import pack, unpack
from qonverge.wire.messages import PubResult, Task, TaskResult
from qonverge.wire.vendor import VendorTask

_MSGPACK = "application/msgpack"
_PROGRAM = """
from qiskit import QuantumCircuit
from qonverge.client import EstimatorV2, report, result, step

estimator = EstimatorV2()
circuit = QuantumCircuit(1)

def energy():
    return estimator.run([(circuit, "Z")]).result()[0].data.evs

report(progress=0.5)
first = step("first", energy)
second = step("second", energy)
result({"first": first, "second": second})
"""


class Backend:
    """A server that has ended the tasks of which the test says so; and the operator that takes reports."""

    def __init__(self, peer: Any, *, takes_pauses: bool = True) -> None:
        self.ended: dict[str, float] = {}
        self.tasks: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self._takes = takes_pauses
        self._all_ended = False
        self._peer = peer
        self._lock = threading.Lock()
        peer.answer = self._answer

    def _answer(self, request: Any) -> tuple[int, str, bytes]:
        if request.path.startswith("/report"):
            report = json.loads(request.body)
            self.reports.append(report)
            if "pause" in report and not self._takes:
                self._all_ended = True
                return 400, "text/plain", b"no pause here\n"
            return 204, "text/plain", b""
        if request.method == "POST":
            task = unpack(request.body)
            self.tasks.append(task)
            identity = task["id"]
        else:
            identity = request.path.split("/")[-1].partition("?")[0]
        value = self.ended.get(identity, 0.25 if self._all_ended else None)
        if value is None:
            return 200, _MSGPACK, pack(TaskResult(identity, "Running").to_dict())
        pub = PubResult(expectation_values=np.array([value]), standard_errors=np.zeros(1))
        return 200, _MSGPACK, pack(TaskResult(identity, "Completed", (pub,), engine="Aer 1").to_dict())

    def run(self, folder: Path, state: dict[str, Any] | None) -> subprocess.CompletedProcess[str]:
        (folder / "program.py").write_text(_PROGRAM)
        if state is not None:
            (folder / "steps.json").write_text(json.dumps(state))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("QONVERGE_")},
            "QONVERGE_BACKEND_URL": self._peer.url,
            "QONVERGE_REPORT_URL": f"{self._peer.url}/report",
            "QONVERGE_TASK_PREFIX": "uid-1",
            "QONVERGE_PAUSE_AFTER": "0.2",
            "QONVERGE_STEPS_FILE": str(folder / "steps.json"),
        }
        command = [sys.executable, "-m", "qonverge.client.program.run", str(folder / "program.py")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)

    @property
    def pauses(self) -> list[dict[str, Any]]:
        return [report["pause"] for report in self.reports if "pause" in report]


def test_a_program_gives_its_pod_back_and_its_next_process_finds_its_tasks_by_their_ids(
    peer: Any, tmp_path: Path
) -> None:
    backend = Backend(peer)
    first = backend.run(tmp_path, None)
    assert (first.returncode, first.stderr) == (0, "")
    (pause,) = backend.pauses
    (identity,) = pause["tasks"]
    assert identity.startswith("uid-1-")
    assert pause["state"]["values"] == {}
    assert not any("result" in report for report in backend.reports)
    backend.ended[identity] = 0.5
    second = backend.run(tmp_path, pause["state"])
    assert (second.returncode, second.stderr) == (0, "")
    pause = backend.pauses[-1]
    assert pause["state"]["values"] == {"first": 0.5}, "a step that ended is not done again"
    assert [(task["id"], task["again"]) for task in backend.tasks] == [
        (identity, False),
        (identity, True),
        (pause["tasks"][0], False),
    ]
    backend.ended[pause["tasks"][0]] = -0.5
    third = backend.run(tmp_path, pause["state"])
    assert (third.returncode, third.stderr) == (0, "")
    assert backend.reports[-1]["result"] == {"first": 0.5, "second": -0.5}
    assert len(backend.tasks) == 4, "the first step asks for nothing any more"
    assert len(backend.pauses) == 2


def test_a_program_whose_pause_is_refused_says_so_once_and_waits(peer: Any, tmp_path: Path) -> None:
    backend = Backend(peer, takes_pauses=False)
    run = backend.run(tmp_path, None)
    assert run.returncode == 0
    assert run.stderr.count("the program keeps its pod and waits: the report was refused with status 400") == 1
    assert backend.reports[-1]["result"] == {"first": 0.25, "second": 0.25}
    assert len(backend.pauses) == 1


def test_outside_of_a_job_a_step_is_a_call_whose_value_is_plain() -> None:
    steps = Steps({})
    calls: list[None] = []

    def work() -> Any:
        calls.append(None)
        return {"energy": np.float64(-1.5), "angles": np.array([1.0, 2.0])}

    found = steps.run("a", work)
    assert found == {"energy": -1.5, "angles": [1.0, 2.0]}
    found["energy"] = 0
    assert steps.run("a", work) == {"energy": -1.5, "angles": [1.0, 2.0]}
    assert len(calls) == 1


def test_what_has_no_form_in_json_is_no_value_of_a_step() -> None:
    with pytest.raises(TypeError, match="the step a returns what JSON has no form for: the value is NaN"):
        Steps({}).run("a", lambda: float("nan"))
    for name in ("", "x" * 201, 3):
        with pytest.raises(ValueError, match="a step's name is"):
            Steps({}).run(name, lambda: 1)  # type: ignore[arg-type]


class Pausing:
    """The tasks of steps with what they gave back."""

    def __init__(self, left: dict[str, Any] | None = None) -> None:
        self.paused: list[tuple[list[str], dict[str, Any]]] = []
        self.tasks = StepTasks()
        self.tasks.begin("uid-1", 5.0, left or {}, lambda tasks, kept: self.paused.append((tasks, kept)))

    def send(self, *, accepted: bool = True, step: str | None = "a") -> Attempt:
        if step is None:
            identity = "task-1"
        else:
            with self.tasks.within(step):
                identity = self.tasks.next_id() or ""
        attempt = self.tasks.attempt(Task(identity, ()))
        attempt.accepted = accepted
        return attempt


def test_ids_are_those_of_the_step_in_order_and_of_no_other() -> None:
    tasks = Pausing().tasks
    assert tasks.next_id() is None
    assert StepTasks().next_id() is None
    with tasks.within("a"):
        first, second = tasks.next_id(), tasks.next_id()
        with tasks.within("b"):
            other = tasks.next_id()
        third = tasks.next_id()
    with tasks.within("a"):
        assert tasks.next_id() == first
    assert len({first, second, third, other}) == 4


@pytest.mark.parametrize(("accepted", "step"), [(False, "a"), (True, None)])
def test_there_is_no_pause_while_a_task_is_under_way_that_could_not_be_found_again(
    accepted: bool, step: str | None
) -> None:
    pausing = Pausing()
    pausing.send()
    lost = pausing.send(accepted=accepted, step=step)
    pausing.tasks.pause()
    assert pausing.paused == []
    assert lost in pausing.tasks._under_way.values()
    for identity in list(pausing.tasks._under_way):
        pausing.tasks.ended(identity)
    pausing.tasks.pause()
    assert pausing.paused == [], "nothing is waited for"


def test_what_a_task_became_at_a_vendor_goes_to_the_next_process() -> None:
    """It costs money: whoever goes on with it sends it with the same limits, and what is known of it."""
    pausing = Pausing()
    attempt = pausing.send()
    attempt.since, attempt.limits, attempt.failures = 7.0, TaskLimits(shots=100), 1
    attempt.known = {"k": VendorTask("arn", "Running", key="k", seal="s")}
    pausing.tasks.pause()
    ((tasks, kept),) = pausing.paused
    (identity,) = kept
    assert tasks == [f"{identity}.1"]
    again = Pausing(json.loads(json.dumps(kept)))
    found = again.tasks.attempt(Task(identity, ()))
    sent = found.task(Task(identity, ()))
    assert (sent.id, sent.again, sent.since, sent.limits) == (f"{identity}.1", True, 7.0, TaskLimits(shots=100))
    assert (sent.known, sent.seals) == ({"k": "arn"}, {"k": "s"})
    assert not found.accepted
    assert again.tasks.attempt(Task("uid-1-x-1", ())).again is False


def test_only_the_main_thread_pauses_and_only_for_steps() -> None:
    tasks = Pausing().tasks
    assert tasks.may_pause("uid-1-x-1")
    assert not tasks.may_pause("task-1")
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(tasks.may_pause("uid-1-x-1")))
    thread.start()
    thread.join()
    assert found == [False]
    tasks.stop_pausing()
    assert not tasks.may_pause("uid-1-x-1")
    assert not StepTasks().may_pause("uid-1-x-1")
