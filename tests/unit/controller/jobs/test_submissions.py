"""Tasks under way: what is sent, merged, raced, taken back, and what is left alone."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from qonverge.amounts import Amounts, Money
from qonverge.controller.objects.pod_order import Shown
from qonverge.controller.pods.errors import PodLost, PodNotReached
from qonverge.scheduling import Decision
from qonverge.scheduling.model import Part
from qonverge.wire.errors import Draining, EngineFailed, WireError
from tests.unit.controller.worlds import World, info, settled


def decision(world: World, *backends: str, kind: str = "", shots: tuple[int, ...] = ()) -> Decision:
    seen = {backend.name: backend for backend in world.rounds.sight.backends(world.now)}
    parts: tuple[Part, ...] = ()
    if kind:
        # Only the second submission of a job that is hedged is one.
        kinds = [kind] * len(backends) if kind == "Split" else ["Split", *["Hedge"] * (len(backends) - 1)]
        parts = tuple(Part(seen[b], n, k) for b, n, k in zip(backends, shots, kinds, strict=True))  # type: ignore[arg-type]
    return Decision("chem/j", seen[backends[0]], "because", parts=parts)


def send(world: World, made: Decision) -> None:
    assert world.submissions.send("chem/j", world.state.jobs["chem/j"], world.flight("j"), made)


def world_of(*backends: str, **spec: Any) -> World:
    world = World()
    for name in backends:
        world.backend(name, pricing={"perShot": "0.01"})
    world.job("j", **spec)
    return world


async def test_a_split_job_s_parts_have_seeds_of_their_own_and_are_merged() -> None:
    world = world_of("a", "b", shots=1000, seed=7)
    send(world, decision(world, "a", "b", kind="Split", shots=(600, 400)))
    await settled()
    first, second = "uid-j-1-1.0.600", "uid-j-1-1.1.400"
    assert [world.pods.given[name].pubs[0].shots for name in (first, second)] == [600, 400]
    assert world.pods.given[first].seed == 7
    assert world.pods.given[second].seed != 7
    assert world.assigned == {"a-0": 1, "b-0": 1}
    world.pods.end(second, {"00": 150, "11": 250})
    await settled()
    assert world.flight("j").result is None
    assert world.assigned == {"a-0": 1}
    world.pods.end(first, {"00": 350, "11": 250}, seconds=2.0)
    await settled()
    flight = world.flight("j")
    assert flight.result is not None
    assert flight.result.results[0].counts == ({"00": 500, "11": 500},)
    assert flight.usage == Amounts(1000, 3.0, (Money(Decimal(10)),))
    told = world.metrics.exposition().decode()
    for backend, cost in (("lab/b", 4.0), ("lab/a", 6.0)):
        assert f'qonverge_operator_cost_total{{backend="{backend}",currency="USD",namespace="chem"}} {cost}' in told
    assert (flight.running, flight.sent, world.assigned, world.pods.cancelled) == (None, (), {}, [])
    assert world.forecasts.run_seconds(flight, "lab/a") is None, "a part says little of the whole"


async def test_a_part_that_fails_ends_the_others() -> None:
    world = world_of("a", "b", shots=1000)
    send(world, decision(world, "a", "b", kind="Split", shots=(600, 400)))
    await settled()
    world.pods.end("uid-j-1-1.1.400", error=EngineFailed("no"))
    await settled()
    result = world.flight("j").result
    assert result is not None
    assert isinstance(result.error, EngineFailed)
    assert world.pods.cancelled == [("a-0", "uid-j-1-1.0.600")]
    assert world.assigned == {}


async def test_a_hedged_job_takes_the_first_result_and_cancels_the_other_at_its_pod() -> None:
    world = world_of("a", "b", shots=100, seed=7)
    send(world, decision(world, "a", "b", kind="Hedge", shots=(100, 100)))
    await settled()
    assert {task.id: (task.pubs[0].shots, task.seed) for task in world.pods.given.values()} == {
        "uid-j-1-1": (100, 7),
        "uid-j-1-1.1": (100, 7),
    }
    world.pods.end("uid-j-1-1.1", {"00": 100})
    await settled()
    result = world.flight("j").result
    assert result is not None
    assert result.id == "uid-j-1-1.1"
    assert world.pods.cancelled == [("a-0", "uid-j-1-1")]
    assert (world.flight("j").sent, world.assigned) == ((), {})


async def test_a_hedged_job_survives_the_loss_of_one_pod() -> None:
    world = world_of("a", "b")
    send(world, decision(world, "a", "b", kind="Hedge", shots=(1024, 1024)))
    await settled()
    world.pods.answers["uid-j-1-1"].set_exception(PodLost("gone"))
    await settled()
    assert world.flight("j").result is None
    assert world.silent == {"a-0"}
    world.pods.end("uid-j-1-1.1", {"00": 1024})
    await settled()
    assert world.flight("j").result is not None
    assert world.flight("j").result.error is None  # type: ignore[union-attr]


async def test_what_is_withdrawn_is_cancelled_at_its_pod_and_waits_again() -> None:
    world = world_of("a")
    send(world, decision(world, "a"))
    await settled()
    flight = world.flight("j")
    world.submissions.withdraw("chem/j", flight)
    await settled()
    assert world.pods.cancelled == [("a-0", "uid-j-1-1")]
    assert (flight.awaiting_placement, flight.running, flight.result, flight.attempts) == (True, None, None, 1)
    send(world, decision(world, "a"))
    await settled()
    assert list(world.assigned.items()) == [("a-0", 1)]
    assert "uid-j-1-2" in world.pods.given


def terminate(world: World, uid: str) -> None:
    """Let somebody delete a pod, which serves on for what it has."""
    pod = world.pod(uid)
    pod.show(pod.ready, None, Shown(terminating=True, counts=False))


@pytest.mark.parametrize("error", [Draining("it shuts down"), PodNotReached("nobody listens"), None], ids=str)
async def test_what_a_pod_did_not_begin_goes_to_another_one_as_the_same_attempt(error: WireError | None) -> None:
    world = World()
    world.backend("a", pods=3)
    world.job("j")
    world.pod("a-1").info = info(queue_limit=0)
    send(world, decision(world, "a"))
    await settled()
    world.now += 5
    if error is None:
        world.pods.end("uid-j-1-1", error=Draining("handed back"), seconds=0.0)
    else:
        world.pods.answers["uid-j-1-1"].set_exception(error)
    await settled()
    flight = world.flight("j")
    assert [(sent.endpoint.pod, sent.identity, sent.at) for sent in flight.sent] == [("a-2", "uid-j-1-1", world.now)]
    assert (world.assigned, flight.attempts) == ({"a-2": 1}, 1)
    assert world.pod("a-0") not in world.state.pods_of("lab/a")
    world.pods.end("uid-j-1-1", {"00": 1024})
    await settled()
    assert flight.result is not None
    assert (flight.result.error, world.assigned, flight.attempts) == (None, {}, 1)


async def test_what_no_pod_of_its_backend_takes_waits_for_another_place_as_the_same_attempt() -> None:
    world = world_of("a", "b")
    send(world, decision(world, "a"))
    await settled()
    world.pods.end("uid-j-1-1", error=Draining("it shuts down"), seconds=0.0)
    await settled()
    flight = world.flight("j")
    assert (flight.awaiting_placement, flight.attempts, world.assigned) == (True, 0, {})
    assert world.pods.cancelled == []
    await world.round()
    assert (world.assigned, flight.attempts) == ({"b-0": 1}, 1)


async def test_what_is_handed_back_is_not_sent_to_where_an_operator_before_this_one_had_sent_it() -> None:
    world = world_of("a", "b")
    world.state.pods.hold(world.pod("a-0"), {"uid-j-1-1"})
    send(world, decision(world, "a"))
    await settled()
    # It goes on with what it runs.
    terminate(world, "a-0")
    world.pods.end("uid-j-1-1", error=Draining("it shuts down"), seconds=0.0)
    await settled()
    await world.round()
    assert world.assigned == {"b-0": 1}


async def test_a_part_that_is_handed_back_leaves_the_others_alone() -> None:
    world = World()
    world.backend("a", pods=2)
    world.backend("b")
    world.job("j", shots=1000)
    send(world, decision(world, "a", "b", kind="Split", shots=(600, 400)))
    await settled()
    first, second = "uid-j-1-1.0.600", "uid-j-1-1.1.400"
    world.pods.end(first, error=Draining("it shuts down"), seconds=0.0)
    await settled()
    assert (world.assigned, world.pods.cancelled) == ({"a-1": 1, "b-0": 1}, [])
    # No pod is left for it: the attempt ends, which the job is not blamed for.
    world.pods.end(first, error=Draining("it shuts down"), seconds=0.0)
    await settled()
    flight = world.flight("j")
    assert (flight.attempts, flight.counts, world.pods.cancelled) == (1, False, [("b-0", second)])


@pytest.mark.parametrize(
    ("error", "terminating", "counts"),
    [
        (Draining("its grace period is over"), True, False),
        (PodLost("gone"), True, False),
        (PodLost("gone"), False, True),
        (EngineFailed("no"), True, True),
    ],
    ids=["cut short", "killed", "crashed", "failed"],
)
async def test_what_a_pod_lost_that_somebody_ended_counts_for_nothing(
    error: WireError, terminating: bool, counts: bool
) -> None:
    world = world_of("a")
    send(world, decision(world, "a"))
    await settled()
    if terminating:
        terminate(world, "a-0")
    if isinstance(error, PodLost):
        world.pods.answers["uid-j-1-1"].set_exception(error)
    else:
        world.pods.end("uid-j-1-1", error=error, seconds=3.0)
    await settled()
    flight = world.flight("j")
    assert flight.result is not None
    assert (flight.attempts, flight.counts) == (1, counts)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 10])
async def test_nothing_is_left_of_what_is_stopped_at_any_moment(steps: int) -> None:
    """A task that is cancelled before its first step runs none of its code."""
    world = world_of("a", "b", shots=1000)
    send(world, decision(world, "a", "b", kind="Split", shots=(600, 400)))
    for _ in range(steps):
        await asyncio.sleep(0)
    flight = world.state.flights.pop("chem/j")
    assert flight.running is not None
    flight.stop()
    await settled()
    assert world.assigned == {}
    assert sorted(identity for _, identity in world.pods.cancelled) == sorted(world.pods.given)
    assert world.changes == 1, "jobs that wait are planned again"


async def test_an_operator_that_ends_leaves_tasks_to_its_successor() -> None:
    world = world_of("a")
    send(world, decision(world, "a"))
    await settled()
    running = world.flight("j").running
    assert running is not None
    running.cancel()
    await settled()
    assert world.pods.given.keys() == {"uid-j-1-1"}
    assert world.pods.cancelled == []


async def test_a_pod_that_is_gone_since_the_round_gets_nothing() -> None:
    world = world_of("a")
    made = decision(world, "a")
    world.pod("a-0").lose(1.0)
    assert not world.submissions.send("chem/j", world.state.jobs["chem/j"], world.flight("j"), made)
    assert (world.flight("j").attempts, world.assigned) == (0, {})


async def test_a_task_that_a_pod_has_already_is_sent_there() -> None:
    world = World()
    world.backend("a", pods=3)
    world.job("j")
    world.state.pods.hold(world.pod("a-2"), ["uid-j-1-1"])
    send(world, decision(world, "a"))
    await settled()
    assert [sent.endpoint.pod for sent in world.flight("j").sent] == ["a-2"]
