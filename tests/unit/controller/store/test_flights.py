"""The phases of a job's work: which step follows which, and that nothing else changes a flight."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from qonverge import controller
from qonverge.amounts import Amounts
from qonverge.controller.kube.client import KubeError
from qonverge.controller.kube.refusals import Refusal
from qonverge.controller.store.flights import Flight, ImpossibleStep
from qonverge.controller.store.phases import Sent
from qonverge.controller.store.pods import Endpoint
from qonverge.scheduling import Backend, Decision
from qonverge.wire.errors import WorkerLost
from qonverge.wire.messages import TaskResult
from tests.unit.controller.worlds import BELL, NOW

PLACED = Decision("chem/j", Backend("a", "lab", admits_all_namespaces=True, memory_bytes=2**30), "because")
NOWHERE = Decision("chem/j", None, "nothing fits")
REFUSAL = Refusal.of(KubeError(403, "no"), {"kind": "Job", "metadata": {"name": "j"}}, None, NOW)


class Waiter:
    """What waits for something, as far as a flight looks at it."""

    def __init__(self) -> None:
        self.ended = self.cancelled = False

    def done(self) -> bool:
        return self.ended

    def cancel(self) -> None:
        self.cancelled = True


def tasks(count: int) -> tuple[Sent, ...]:
    return tuple(
        Sent(f"t.{n}", Endpoint(f"p-{n}", f"lab/p-{n}", "lab/a", "http://p"), "lab/a", NOW) for n in range(count)
    )


class Walk(RuleBasedStateMachine):
    """Any steps in any order, against what is told here of each phase and of what is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = Waiter()
        self.flight = Flight("uid", 1)
        self.flight.check(self.reader)  # type: ignore[arg-type]
        self.program, self.phase = "Checking", "Idle"
        self.attempts = self.on_pods = 0
        self.waiter: Any = None
        self.steps = 0
        self.counted: Decision | None = None
        self.result: TaskResult | None = None
        self.proposal: Decision | None = None

    def step(self, possible: bool, after: str, do: Callable[[], object], *, program: bool = False) -> bool:
        """Take a step, or see it refused with both names and nothing changed."""
        self.steps += 1
        if possible:
            do()
            self.program, self.phase = (after, self.phase) if program else (self.program, after)
            return True
        before = replace(self.flight)
        present = self.program if program or (after == "Running" and self.phase == "AwaitingPlacement") else self.phase
        with pytest.raises(ImpossibleStep, match=f"^a flight that is {present} cannot become {after}$"):
            do()
        assert self.flight == before
        return False

    @initialize(checked=st.booleans())
    def begin(self, checked: bool) -> None:
        """Half of the walks begin where a circuit may be sent."""
        if checked:
            self.accept(True)
            self.await_placement()

    @rule(circuit=st.booleans())
    def accept(self, circuit: bool) -> None:
        checked = BELL if circuit else None
        self.step(self.program == "Checking", "Checked", lambda: self.flight.accept("x", checked), program=True)

    @rule()
    def wait_for_source(self) -> None:
        say = self.flight.wait_for_source
        self.step(self.program == "Checking", "SourceMissing", lambda: say("no ConfigMap"), program=True)

    @rule()
    def reject(self) -> None:
        self.step(self.program == "Checking", "Invalid", lambda: self.flight.reject("Bad", "line 1"), program=True)

    @rule()
    def await_placement(self) -> None:
        possible = self.phase in ("Idle", "Interrupted", "Ended", "Launched")
        if self.step(possible, "AwaitingPlacement", self.flight.await_placement):
            self.on_pods, self.proposal = 0, None

    @rule(decision=st.sampled_from([PLACED, NOWHERE]))
    def propose(self, decision: Decision) -> None:
        do = lambda: self.flight.propose(decision, (), tried_at=NOW)  # noqa: E731
        if self.step(self.phase == "AwaitingPlacement", "AwaitingPlacement", do):
            self.proposal = decision

    @rule()
    def discard_proposal(self) -> None:
        if self.step(self.phase == "AwaitingPlacement", "AwaitingPlacement", self.flight.discard_proposal):
            self.proposal = None

    @rule(behind=st.booleans())
    def fall_behind(self, behind: bool) -> None:
        self.step(self.phase == "AwaitingPlacement", "AwaitingPlacement", lambda: self.flight.fall_behind(behind))

    @rule(count=st.integers(1, 3))
    def send(self, count: int) -> None:
        started: list[Waiter] = []

        def start() -> Any:
            started.append(Waiter())
            return started[-1]

        possible = self.phase == "AwaitingPlacement" and self.flight.checked is not None
        if self.step(possible, "Running", lambda: self.flight.send(PLACED, tasks(count), NOW, start)):
            self.attempts, self.on_pods, self.waiter = self.attempts + 1, count, started[0]
            self.counted, self.result, self.proposal = PLACED, None, None
        else:
            assert not started

    @rule(again=st.booleans())
    def release(self, again: bool) -> None:
        """A pod tells of the end of a task at any time, also of one that is not counted any more."""
        gone = tasks(1)[0] if again or not self.flight.sent else self.flight.sent[0]
        self.on_pods -= any(sent is gone for sent in self.flight.sent)
        self.flight.release(gone)

    @rule()
    def end(self) -> None:
        result = TaskResult("t", "Completed")
        if self.step(self.phase == "Running", "Ended", lambda: self.flight.end(result)):
            self.on_pods, self.result = 0, result

    @rule()
    def discard_result(self) -> None:
        error = WorkerLost("gone")
        if self.step(self.phase == "Ended", "Ended", lambda: self.flight.discard_result(error)):
            assert self.result is not None
            self.result = replace(self.result, state="Failed", error=error)

    @rule()
    def interrupt(self) -> None:
        self.step(self.phase == "Running", "Interrupted", self.flight.interrupt)

    @rule()
    def withdraw(self) -> None:
        if self.step(self.phase == "Running", "AwaitingPlacement", self.flight.withdraw):
            assert self.waiter.cancelled
            self.on_pods, self.counted = 0, None

    @rule()
    def launch(self) -> None:
        do = lambda: self.flight.launch(PLACED, NOW + 300)  # noqa: E731
        if self.step(self.phase == "AwaitingPlacement", "Launched", do):
            self.counted, self.result, self.proposal = PLACED, None, None
            assert (self.flight.refusal, self.flight.trouble, self.flight.renew_at) == (None, None, NOW + 300)

    @rule()
    def refuse(self) -> None:
        possible = self.phase == "AwaitingPlacement"
        if possible:
            self.flight.refuse(REFUSAL)
            assert self.flight.refusal == REFUSAL
            self.proposal = None
        else:
            self.step(possible, "Launched", lambda: self.flight.refuse(REFUSAL))

    # Nothing comes after it: most walks should have come far.
    @precondition(lambda self: self.steps > 20)
    @rule(ended=st.booleans())
    def stop(self, ended: bool) -> None:
        running, self.reader.ended = self.waiter if self.phase == "Running" else None, ended
        self.reader.cancelled = False
        self.flight.stop()
        assert self.reader.cancelled is (self.program == "Checking" and not ended)
        assert running is None or running.cancelled
        self.phase, self.on_pods, self.counted, self.result, self.proposal = "Stopped", 0, None, None, None

    @invariant()
    def the_flight_is_as_told(self) -> None:
        flight = self.flight
        assert (type(flight.program).__name__, type(flight.phase).__name__) == (self.program, self.phase)
        assert (flight.attempts, len(flight.sent)) == (self.attempts, self.on_pods)
        assert flight.running is (self.waiter if self.phase == "Running" else None)
        assert (flight.decision, flight.result, flight.proposal) == (self.counted, self.result, self.proposal)
        assert flight.awaiting_placement == (self.phase == "AwaitingPlacement")
        assert (flight.source is not None) == (self.program == "Checked")
        assert (flight.problem is not None, flight.waiting is not None) == (
            self.program == "Invalid",
            self.program == "SourceMissing",
        )


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_what_was_used_of_pods_that_are_gone_is_news_once() -> None:
    flight = Flight("uid", 1, usage=Amounts(1))
    flight.charge(Amounts(2))
    assert flight.usage == Amounts(3)
    assert not flight.meter(Amounts(5), Amounts())
    assert flight.meter(Amounts(7), Amounts(2))
    assert not flight.meter(Amounts(7), Amounts(2))
    assert (flight.usage, flight.unreachable_usage) == (Amounts(7), Amounts(2))


def test_a_job_that_falls_behind_says_so_once() -> None:
    flight = Flight("uid", 1)
    flight.await_placement()
    assert [flight.fall_behind(behind) for behind in (True, True, False, True)] == [True, False, False, True]
    flight.propose(NOWHERE, (), tried_at=NOW)
    assert (flight.tried_at, flight.proposal) == (NOW, NOWHERE)


def test_the_first_attempt_s_time_is_that_of_the_job_s_placement() -> None:
    flight = Flight("uid", 1)
    flight.accept("x", BELL)
    for now in (NOW, NOW + 5):
        flight.await_placement()
        flight.send(PLACED, tasks(1), now, Waiter)  # type: ignore[arg-type]
        flight.end(TaskResult("t", "Failed", error=WorkerLost("gone")))
    assert (flight.placed_at, flight.started_at, flight.next_identity) == (NOW, NOW + 5, "uid-1-3")


def _assigned(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the attributes that are assigned, with their lines, but for those of ``self``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            of_self = isinstance(node.value, ast.Name) and node.value.id == "self"
            if not of_self:
                yield node.lineno, ast.unparse(node)


def test_only_its_own_methods_change_a_flight_or_a_pod() -> None:
    """No attribute of any other object is assigned in the controller, those of the two classes least of all."""
    names = {field.name for field in fields(Flight)}
    room = Path(controller.__path__[0])
    found = [
        f"{path.relative_to(room)}:{line}: {target}"
        for path in sorted(room.rglob("*.py"))
        for line, target in _assigned(ast.parse(path.read_text()))
        if target.rpartition(".")[2] in names or "flight" in target or "pod" in target
    ]
    assert found == []
