"""Rounds of placement over the operator's state: who goes, who waits and why, and what is set aside meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.amounts import Amounts
from qonverge.api import QuantumQuota
from qonverge.controller.kube.client import Kube
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.quotas.reconciler import Quotas
from qonverge.controller.store.cluster import Priority
from qonverge.controller.store.flights import Flight
from qonverge.controller.watching.dispatcher import Dispatcher
from qonverge.forecast.intervals import Interval
from qonverge.scheduling.trace import replay
from qonverge.wire.errors import WorkerLost
from tests.unit.controller.worlds import NOW, World, settled


def quota(world: World, **limits: Any) -> QuantumQuota:
    metadata = {"name": "q", "namespace": "chem", "generation": 1}
    given = QuantumQuota.model_validate({"metadata": metadata, "spec": {"limits": limits}})
    world.ledger.see(given)
    return given


def reason(world: World, name: str) -> str:
    planned = world.flight(name).proposal
    assert planned is not None
    return planned.reason


async def test_a_job_that_is_tried_again_is_not_stopped_by_its_own_share_of_the_quota() -> None:
    world = World()
    world.backend("a")
    it = quota(world, concurrentJobs=1, shots=1024)
    world.job("j")
    await world.round()
    assert world.ledger.status(it, NOW).running_jobs == 1
    world.pods.end("uid-j-1-1", error=WorkerLost("gone"), seconds=2.0)
    await settled()
    world.flight("j").await_placement()
    await world.round()
    assert "uid-j-1-2" in world.pods.given
    world.submissions.withdraw("chem/j", world.flight("j"))
    await world.round()
    assert "uid-j-1-3" in world.pods.given
    status = world.ledger.status(it, NOW)
    assert status.reserved is not None
    assert (status.running_jobs, status.reserved.shots) == (1, 1024)
    assert status.reserved.seconds > 2.0, "what the first attempt took is used for good"


async def test_what_failed_attempts_used_counts_while_the_job_waits() -> None:
    world = World()
    it = quota(world, seconds=10.0)
    world.job("j")
    world.flight("j").charge(Amounts(0, 4.0))
    await world.round()
    status = world.ledger.status(it, NOW)
    assert status.reserved is not None
    assert (status.running_jobs, status.reserved.seconds) == (0, 4.0)


async def test_what_was_decided_and_not_sent_yet_takes_its_place_already() -> None:
    world = World()
    world.backend("a", capacity={"queueLimit": 1})
    world.job("first", age=20)
    await world.rounds.once()
    assert world.flight("first").proposal.backend is not None  # type: ignore[union-attr]
    world.job("second")
    await world.rounds.once()
    assert reason(world, "second") == "lab/a's queue is full"


async def test_a_job_waits_for_its_priority_class_and_says_which_there_are() -> None:
    world = World()
    world.backend("a")
    world.job("j", priorityClassName="soon")
    world.cluster.priorities = {"late": Priority(1), "system-node-critical": Priority(2)}
    await world.round()
    assert reason(world, "j") == "waiting for the PriorityClass soon: there are late"
    assert world.cluster.wanted.is_set()
    world.cluster.priorities = {"soon": Priority(9)}
    await world.round()
    assert world.pods.given.keys() == {"uid-j-1-1"}


async def test_a_quota_that_cannot_be_read_lets_nothing_through() -> None:
    world = World()
    world.backend("a")
    world.job("j")
    metadata = {"name": "q", "namespace": "chem", "resourceVersion": "1", "generation": 1}
    world.state.observe("QuantumQuota", {"metadata": metadata, "spec": {"limits": {"magic": 1}}}, deleted=False)
    await world.round()
    assert reason(world, "j").startswith("the QuantumQuota q can't be read: spec.limits.magic: ")
    assert world.pods.given == {}
    world.state.observe("QuantumQuota", {"metadata": {**metadata, "resourceVersion": "2"}}, deleted=True)
    await world.round()
    assert world.pods.given.keys() == {"uid-j-1-1"}


async def test_the_order_is_by_priority() -> None:
    world = World()
    world.backend("a")
    world.cluster.priorities = {"high": Priority(10)}
    quota(world, concurrentJobs=1)
    world.job("old", age=500)
    world.job("new", priorityClassName="high", age=1)
    await world.round()
    assert world.pods.given.keys() == {"uid-new-1-1"}
    assert "quota of namespace chem" in reason(world, "old")


async def test_a_resumed_job_has_not_aged_while_it_was_suspended() -> None:
    world = World()
    world.backend("a")
    quota(world, concurrentJobs=1)
    world.job("resumed", age=9000, status={"resumedAt": "1970-01-12T13:46:39Z"})
    world.job("waiting", age=60)
    await world.round()
    assert world.pods.given.keys() == {"uid-waiting-1-1"}


async def test_queued_work_yields_to_a_higher_priority_and_what_yields_counts_no_attempt() -> None:
    world = World()
    world.backend("a")
    world.cluster.priorities = {"high": Priority(10)}
    for number in range(12):
        world.job(f"low-{number}", age=100 - number)
    await world.round()
    sent = len(world.pods.given)
    assert sent > 2
    # What waits takes longer than was thought.
    for number in range(1, sent):
        world.foresee(f"low-{number}", Interval(8.0, 10.0, 12.0))
    world.job("high", priorityClassName="high", age=1)
    await world.rounds.once()
    await settled()
    withdrawn = {identity for _, identity in world.pods.cancelled}
    assert withdrawn
    assert "uid-low-0-1-1" not in withdrawn, "it runs"
    for number in range(sent):
        flight = world.flight(f"low-{number}")
        assert flight.awaiting_placement == (f"uid-low-{number}-1-1" in withdrawn)
    await world.round()
    assert "uid-high-1-1" in world.pods.given


async def test_a_task_that_an_operator_before_sent_is_taken_up_and_has_its_share_of_the_quota() -> None:
    world = World()
    world.backend("a")
    world.backend("b")
    quota(world, shots=1024)
    world.cluster.priorities = {"high": Priority(10)}
    running = {"state": "Running", "backend": "lab/b", "placement": "as before", "attempts": 1}
    world.job("old", status=running)
    world.job("new", priorityClassName="high")
    world.state.pods.hold(world.pod("b-0"), ["uid-old-1-1"])
    await world.round()
    assert [sent.endpoint.pod for sent in world.flight("old").sent] == ["b-0"]
    assert world.flight("old").decision.reason == "as before"  # type: ignore[union-attr]
    assert "uid-new-1-1" not in world.pods.given
    assert "quota of namespace chem" in reason(world, "new")


@pytest.mark.parametrize("kind", ["circuit", "python"])
async def test_what_an_operator_before_placed_is_not_free_for_others(kind: str) -> None:
    world = World()
    it = quota(world, concurrentJobs=1, shots=5000, seconds=100.0)
    # It is asked for nothing here.
    statuses = StatusWriter(Kube.__new__(Kube), Dispatcher(world.state, world.queue).written)
    quotas = Quotas(state=world.state, statuses=statuses, ledger=world.ledger, queue=world.queue, clock=lambda: NOW)
    program = {"circuit": {"openqasm": "x"}} if kind == "circuit" else {"python": {"source": "x"}}
    run = {"low": 1.0, "mid": 2.0, "high": 3.0}
    status = {"state": "Running", "backend": "lab/a", "forecast": [{"backend": "lab/a", "runSeconds": run}]}
    job = world.job("j", program=program, shots=2000, status=status)
    del world.state.flights["chem/j"]
    quotas.observe_placed("chem/j")
    shown = world.ledger.status(it, NOW)
    assert shown.running_jobs == 1
    assert shown.reserved is not None
    assert (shown.reserved.shots, shown.reserved.seconds) == ((2000, 3.0) if kind == "circuit" else (0, 0.0))
    # Once this operator works on the job it knows better than its status.
    world.state.flights["chem/j"] = Flight("uid-j", 1)
    world.ledger.release("uid-j", "chem")
    quotas.observe_placed("chem/j")
    assert world.ledger.status(it, NOW).running_jobs == 0
    del world.state.flights["chem/j"]
    quotas.observe_placed("chem/j")
    world.state.jobs["chem/j"] = job.model_copy(update={"status": job.status.model_copy(update={"state": "Pending"})})
    quotas.observe_placed("chem/j")
    assert world.ledger.status(it, NOW).running_jobs == 0


async def test_a_suspended_job_is_told_a_forecast_and_sends_nothing() -> None:
    world = World()
    world.backend("a")
    world.backend("narrow", capacity={"maxQubits": 1})
    world.job("j", suspend=True)
    await world.round()
    assert world.pods.given == {}
    shown = {each.backend: each for each in world.flight("j").forecast}
    assert shown["lab/a"].run_seconds is not None
    assert shown["lab/narrow"].rejected == "lab/narrow takes 1 qubits and the circuit has 2"
    assert world.ledger.remaining("chem", NOW) is None


async def test_rounds_replay_to_the_same() -> None:
    world = World()
    world.backend("a", workers=2)
    world.backend("stim", simulator={"engine": "Stim"})
    world.backend("lent", access={"namespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}})
    quota(world, shots=5000)
    for number in range(8):
        world.job(f"j{number}", age=number)
        await world.round()
    rounds = list(replay(world.traces.lines()))
    assert len(rounds) == 8
    assert [round_.differences for round_ in rounds] == [()] * 8


async def test_jobs_are_sent_in_the_order_in_which_they_are_to_start() -> None:
    world = World()
    world.backend("a")
    world.cluster.priorities = {"high": Priority(10)}
    world.job("low", age=50)
    world.job("high", priorityClassName="high")
    await world.rounds.once()
    assert [await world.queue.get() for _ in range(2)] == ["HybridJob chem/high", "HybridJob chem/low"]


async def test_what_made_room_waits_until_those_are_sent_for_whom_it_did() -> None:
    world = World()
    world.backend("a")
    world.cluster.priorities = {"high": Priority(10)}
    world.job("long", placement={"preemption": "Running"})
    await world.round()
    world.foresee("long", Interval(50.0, 60.0, 70.0))
    world.job("high", priorityClassName="high")
    await world.rounds.once()
    await settled()
    assert world.pods.cancelled == [("a-0", "uid-long-1-1")]
    await world.round()
    assert set(world.pods.given) == {"uid-long-1-1", "uid-high-1-1"}
    await world.round()
    assert "uid-long-1-2" in world.pods.given


async def test_of_equal_backends_the_one_that_has_the_circuit_is_taken() -> None:
    for warm in ("a", "b"):
        world = World()
        for name in ("a", "b"):
            world.backend(name)
        world.job("j")
        checked = world.flight("j").checked
        assert checked is not None
        world.holders = {checked.digest: {f"{warm}-0", "gone-0"}}
        await world.round()
        decision = world.flight("j").decision
        assert decision is not None
        assert decision.backend is not None
        assert decision.backend.key == f"lab/{warm}"


async def test_a_program_begins_where_it_was_about_to_and_elsewhere_only_if_that_is_gone() -> None:
    world = World()
    for name in ("a", "b"):
        world.backend(name)
    record = [{"task": "uid-j-0.1", "backend": "lab/b", "attempt": 1}]
    python = {"python": {"source": "pass"}}
    world.job("j", status={"submissions": record, "placement": "the best"}, program=python)
    await world.rounds.once()
    planned = world.flight("j").proposal
    assert planned is not None
    assert (planned.backend and planned.backend.key, planned.reason) == ("lab/b", "the best")
    world.take_away("b-0")
    world.flight("j").discard_proposal()
    await world.rounds.once()
    assert "no pod there answers" in reason(world, "j")
    del world.state.backends["lab/b"]
    await world.rounds.once()
    again = world.flight("j").proposal
    assert again is not None
    assert again.backend is not None
    assert again.backend.key == "lab/a"


async def test_a_program_whose_loop_is_known_shows_what_the_network_takes_and_goes_to_the_near_backend() -> None:
    program = {"python": {"source": "pass"}}
    world = World()
    for name, seconds in (("far", 0.05), ("near", 0.002)):
        world.backend(name, location={"site": name}, capacity={"programs": 3})
        for pod in world.state.pods_of(f"lab/{name}"):
            pod.latency = seconds
    first = world.job("j", program=program)
    await world.round()
    world.forecasts.learn_loop(first, 199, "lab/far")
    world.job("k", program=program)
    world.job("other", program={"python": {"source": "pass", "args": ["--iterations", "9"]}})
    await world.round()
    told = {candidate.backend: candidate.network_seconds for candidate in world.flight("k").forecast}
    assert told == {"lab/near": 0.4, "lab/far": 10.0}
    proposal = world.flight("k").proposal
    assert proposal is not None
    assert proposal.backend is not None
    assert proposal.backend.name == "near", "though it ran on the far one last"
    assert {candidate.network_seconds for candidate in world.flight("other").forecast} == {None}
