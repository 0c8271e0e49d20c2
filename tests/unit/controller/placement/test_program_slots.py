"""A program starts only when a slot of a backend is reserved for it, and the reservation ends with it."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.controller.kube.refusals import Refusal
from qonverge.controller.store.program_slots import free_seconds, paused, reserved, slots_of, waiting_for_slots
from qonverge.controller.store.resources import Change
from qonverge.execution.transitions import timestamp
from tests.unit.controller.worlds import NOW, World

_PYTHON = {"python": {"source": "pass"}}


def placed(world: World, name: str) -> bool:
    proposal = world.flight(name).proposal
    return proposal is not None and proposal.backend is not None


def begun(world: World, name: str, state: str = "Running", **fields: Any) -> None:
    """Let a job be one whose attempt began 20 s ago, as the operator sees it after its restart."""
    status = {"state": state, "backend": "lab/aer", "attempts": 1, "placedAt": timestamp(NOW - 20.0), **fields}
    world.job(name, program=_PYTHON, status=status)
    del world.state.flights[f"chem/{name}"]


async def test_of_twenty_programs_one_starts_for_each_worker_and_the_others_say_where_they_are_in_the_queue() -> None:
    world = World()
    backend = world.backend("aer", workers=2)
    for number in range(20):
        world.job(f"p{number:02}", program=_PYTHON, age=100.0 - number)
    await world.rounds.once()
    await world.rounds.once()
    assert [n for n in range(20) if placed(world, f"p{n:02}")] == [0, 1]
    last = world.flight("p19").proposal
    assert last is not None
    assert last.slot_place == 18
    assert last.reason.startswith("place 18 of 18 in the queue for the 2 program slots of lab/aer, start in about ")
    assert world.flight("p19").forecast[0].wait_seconds is not None
    assert slots_of(world.state, backend) == 2
    assert {key: len(held) for key, held in reserved(world.state, NOW).items()} == {"lab/aer": 2}
    assert waiting_for_slots(world.state) == {"lab/aer": 18}


async def test_more_slots_than_workers_where_the_backend_says_so_for_each_of_its_pods() -> None:
    world = World()
    world.backend("aer", pods=2, workers=1, capacity={"programs": 3})
    for number in range(8):
        world.job(f"p{number}", program=_PYTHON)
    await world.rounds.once()
    assert sum(placed(world, f"p{n}") for n in range(8)) == 6


@pytest.mark.parametrize("state", ["Placed", "Running"])
async def test_what_an_operator_before_this_one_started_holds_its_slot(state: str) -> None:
    world = World()
    world.backend("aer")
    begun(world, "there", state)
    world.job("next", program=_PYTHON)
    await world.rounds.once()
    assert not placed(world, "next")
    await_next = world.flight("next").proposal
    assert await_next is not None
    assert await_next.expected_start == NOW + 40.0, "it began 20 s ago, and 60 s are usual"


@pytest.mark.parametrize("status", [{"state": "Pending"}, {"state": "Suspended"}, None])
async def test_the_reservation_ends_with_the_attempt(status: dict[str, str] | None) -> None:
    world = World()
    world.backend("aer")
    begun(world, "there")
    world.job("next", program=_PYTHON)
    before = world.state.jobs["chem/there"]
    if status is None:
        del world.state.jobs["chem/there"]
    else:
        now = before.model_copy(update={"status": before.status.model_copy(update=status)})
        world.state.jobs["chem/there"] = now
    await world.rounds.once()
    assert placed(world, "next")


async def test_a_program_that_waits_for_the_time_of_its_next_attempt_holds_no_slot() -> None:
    """Nor is it asked for one: who makes room for others has ended."""
    world = World()
    world.backend("aer")
    world.job("failed", program=_PYTHON, age=50.0, placement={"preemption": "Running"})
    await world.rounds.once()
    decision = world.flight("failed").proposal
    assert decision is not None
    world.flight("failed").launch(decision, renew_at=NOW)
    before = world.state.jobs["chem/failed"]
    for state, active in (("Running", 1), ("Pending", 0)):
        status = HybridJobStatus.model_validate({"state": state, "backend": "lab/aer", "attempts": 1})
        world.state.jobs["chem/failed"] = before.model_copy(update={"status": status})
        assert len(world.rounds.sight.active(NOW)) == active
    world.job("next", program=_PYTHON)
    await world.rounds.once()
    assert placed(world, "next")


async def test_a_program_whose_pod_was_lost_gets_its_own_slot_again() -> None:
    world = World()
    world.backend("aer")
    status = {"state": "Running", "backend": "lab/aer", "attempts": 1, "placedAt": timestamp(NOW)}
    world.job("lost", program=_PYTHON, status=status)
    await world.rounds.once()
    assert placed(world, "lost")


async def test_a_program_whose_objects_are_refused_holds_no_slot_until_it_is_tried_again() -> None:
    """Such as one of a namespace whose ResourceQuota is used up, on a backend that others share."""
    world = World()
    world.backend("aer")
    world.job("refused", program=_PYTHON, age=50.0)
    await world.rounds.once()
    assert placed(world, "refused")
    world.flight("refused").refuse(Refusal("exceeded quota", lasts=False, since=NOW, again_at=NOW + 60.0))
    world.job("other", program=_PYTHON)
    await world.rounds.once()
    assert (placed(world, "refused"), placed(world, "other")) == (False, True)
    world.now += 60.0
    await world.rounds.once()
    proposal = world.flight("refused").proposal
    assert proposal is not None
    assert (proposal.backend, proposal.slot_place) == (None, 1)


def test_a_slot_that_comes_back_makes_a_round_and_a_report_does_not() -> None:
    world = World()
    (handler, *_) = world.rounds.handlers()
    assert (handler.kind, handler.own_writes) == ("HybridJob", True)
    asked: list[None] = []
    world.rounds.ask = lambda: asked.append(None)  # type: ignore[method-assign]
    begun(world, "there")
    job: HybridJob = world.state.jobs["chem/there"]
    handler.handle(Change("HybridJob", "chem/there", {}, job, job))
    assert asked == []
    handler.handle(Change("HybridJob", "chem/there", {}, job, None))
    assert asked == [None]


async def test_what_is_known_of_a_program_tells_when_its_slot_is_free() -> None:
    world = World()
    world.backend("aer")
    begun(world, "there")
    world.forecasts.learn_loop(world.state.jobs["chem/there"], 3, "lab/aer", 500.0)
    world.job("next", program=_PYTHON)
    await world.rounds.once()
    proposal = world.flight("next").proposal
    assert proposal is not None
    assert proposal.expected_start == NOW + 480.0


def test_a_program_without_a_pod_holds_its_slot_and_is_counted() -> None:
    world = World()
    world.backend("aer")
    begun(world, "away", paused={"tasks": ["t"], "since": timestamp(NOW)})
    begun(world, "there")
    assert paused(world.state) == {"lab/aer": 1}
    assert len(reserved(world.state, NOW)["lab/aer"]) == 2


def test_circuits_need_no_slot() -> None:
    world = World()
    world.backend("aer")
    world.job("c", status={"state": "Running", "backend": "lab/aer"})
    assert reserved(world.state, NOW) == {}


def test_slots_are_free_when_enough_programs_have_ended() -> None:
    assert free_seconds(3, [5.0]) == (0.0, 0.0, 5.0)
    # Two of four pods went: the slot of the first that ends is none any more.
    assert free_seconds(2, [9.0, 5.0, 7.0]) == (7.0, 9.0)


async def test_each_rank_of_a_parallel_program_holds_a_slot_of_its_backend() -> None:
    world = World()
    for name in ("aer", "ibm"):
        world.backend(name, workers=2)
    status = {"state": "Running", "backend": "lab/aer", "backends": ["lab/aer", "lab/ibm"], "attempts": 1}
    ranks = {**_PYTHON, "parallelism": 3, "ranksPerBackend": 2}
    world.job("ranks", program=ranks, status={**status, "placedAt": timestamp(NOW - 20.0)})
    del world.state.flights["chem/ranks"]
    assert {key: len(held) for key, held in reserved(world.state, NOW).items()} == {"lab/aer": 2, "lab/ibm": 1}
    for number in range(2):
        world.job(f"next{number}", program=_PYTHON)
    await world.rounds.once()
    assert [placed(world, f"next{number}") for number in range(2)] == [True, False]
    # Whether an operator started it or a round has just given it its slots.
    del world.state.jobs["chem/ranks"]
    world.job("later", program={**ranks, "parallelism": 4}, age=50.0)
    await world.rounds.once()
    assert not placed(world, "later")
    assert waiting_for_slots(world.state) == {"lab/aer": 1, "lab/ibm": 1}
