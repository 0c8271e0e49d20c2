"""What backends have to do, as the operator sees it."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.objects.pod_troubles import Trouble
from qonverge.controller.placement.snapshot import START_SECONDS, USUAL, PodTask, given_to_pods, seen, work_left
from qonverge.controller.scaling.work import KnownWork, Work, work_of
from qonverge.controller.store.phases import Sent
from qonverge.forecast.intervals import Interval
from qonverge.scheduling import Backend, Decision
from qonverge.scheduling.slots import USUAL_PROGRAM_SECONDS
from tests.unit.controller.worlds import NO_TASK, NOW, World, info

AUTO: dict[str, Any] = {"scaling": {"minReplicas": 0, "maxReplicas": 10}}
PYTHON: dict[str, Any] = {"program": {"python": {"source": "print()"}}}


def look(world: World, name: str = "a", now: float = NOW) -> Backend:
    backend = world.state.backends[f"lab/{name}"]
    return seen(world.state, world.cluster, backend, given_to_pods(world.state, now), now)


def work(world: World, name: str = "a") -> Work:
    return work_of(world.state, NOW)[f"lab/{name}"]


async def test_jobs_that_wait_for_a_backend_at_zero_are_planned_there_and_are_its_work() -> None:
    world = World()
    world.backend("a", pods=0, **AUTO)
    for number in range(20):
        world.job(f"j{number}")
    world.job("later", suspend=True)
    await world.round()
    decisions = [world.flight(f"j{number}").proposal for number in range(20)]
    assert [(d.backend, d.planned and d.planned.key) for d in decisions if d is not None] == [(None, "lab/a")] * 20
    assert world.activations
    assert len(work(world).waiting) == 20, "a suspended job waits for nothing"
    assert len(work(world).tasks) == 20
    assert all(0 < seconds < 1 for seconds in work(world).waiting), "a Bell pair is forecast to take a moment"


async def test_a_program_that_waits_for_a_backend_at_zero_is_its_work() -> None:
    world = World()
    world.backend("a", pods=0, **AUTO)
    world.job("p", **PYTHON)
    await world.round()
    assert work(world).waiting == [USUAL.mid]
    assert work(world).programs == 0


async def test_programs_that_wait_for_a_slot_need_workers_for_as_long_as_programs_run() -> None:
    world = World()
    world.backend("a", **AUTO)
    for number in range(3):
        world.job(f"p{number}", **PYTHON)
    await world.round()
    assert work(world).waiting == [USUAL_PROGRAM_SECONDS] * 2


async def test_jobs_go_to_the_pod_once_it_serves() -> None:
    world = World()
    world.backend("a", pods=0, **AUTO)
    world.job("j")
    await world.round()
    assert not world.pods.given
    world.backend("a", pods=1, **AUTO)
    await world.round()
    assert list(world.pods.given) == ["uid-j-1-1"]
    assert (work(world).waiting, len(work(world).running)) == ([], 1)


async def test_a_program_that_has_begun_is_counted_also_after_a_restart() -> None:
    world = World()
    world.backend("a", pods=1, **AUTO)
    world.job("mine", status={"state": "Placed", "backend": "lab/a"}, **PYTHON)
    world.flight("mine").launch(Decision("chem/mine", look(world), "because"), NOW)
    world.job("found", status={"state": "Running", "backend": "lab/a"}, **PYTHON)
    world.job("waits", status={"state": "Pending", "backend": "lab/a"}, **PYTHON)
    world.job("circuit", status={"state": "Running", "backend": "lab/a"})
    assert work(world).programs == 2


async def test_each_rank_of_a_program_counts_where_it_sends_its_tasks() -> None:
    world = World()
    world.backend("a", pods=1, **AUTO)
    world.backend("b", pods=1, **AUTO)
    program = {**PYTHON["program"], "parallelism": 5, "ranksPerBackend": 3}
    status = {"state": "Running", "backend": "lab/a", "backends": ["lab/a", "lab/b"]}
    world.job("qnn", status=status, program=program)
    found = work_of(world.state, NOW)
    assert [found[key].programs for key in ("lab/a", "lab/b")] == [3, 2]


async def test_after_a_restart_work_is_known_once_all_that_was_placed_or_planned_was_looked_at() -> None:
    world, known = World(), KnownWork()
    world.backend("a", pods=0, **AUTO)
    world.job("new")
    world.job("held", suspend=True, status={"state": "Pending", "reason": "Queued"})
    assert KnownWork().whole(world.state, acting=True), "nobody has planned these before"
    world.job("queued", status={"state": "Pending", "reason": "Queued"})
    world.job("running", status={"state": "Running", "backend": "lab/a"})
    world.job("program", status={"state": "Running", "backend": "lab/a"}, **PYTHON)
    assert not known.whole(world.state, acting=True)
    await world.round()
    assert not known.whole(world.state, acting=False)
    unread = world.state.flights.pop("chem/program")
    assert not known.whole(world.state, acting=True)
    world.state.flights["chem/program"] = unread
    assert known.whole(world.state, acting=True)
    world.job("later", status={"state": "Pending", "reason": "Queued"})
    assert known.whole(world.state, acting=True), "it is not all unknown again for one job"
    assert not known.whole(world.state, acting=False)
    assert not known.whole(world.state, acting=True), "another led meanwhile"


def test_tasks_beyond_a_pods_workers_wait_in_the_order_in_which_they_came() -> None:
    world = World()
    world.backend("a", workers=2, **AUTO)
    for number, (ago, run) in enumerate([(4.0, 10.0), (3.0, 2.0), (2.0, 7.0), (1.0, 8.0)]):
        world.job(f"j{number}")
        sent = Sent("t", world.endpoint("a-0"), "lab/a", NOW - ago, Interval(run, run, run))
        world.flight(f"j{number}").send(
            Decision(f"chem/j{number}", look(world), "because"), (sent,), NOW, lambda: NO_TASK
        )
    # The second is late: a quarter of its forecast is taken to be left, as placement does.
    assert work(world).running == [6.0, 0.5]
    assert work(world).waiting == [7.0, 8.0]
    assert sorted(work(world).tasks.values()) == [2.0, 7.0, 8.0, 10.0]


@pytest.mark.parametrize(
    ("running", "queued", "busy", "waits"), [(2, 0, 2, 0), (1, 0, 1, 0), (2, 5, 2, 5), (0, 0, 0, 0)]
)
def test_tasks_of_programs_are_those_that_pods_tell_beyond_the_operators_own(
    running: int, queued: int, busy: int, waits: int
) -> None:
    world = World()
    world.backend("a", workers=2, **AUTO)
    world.pod("a-0").answer(info(2, running=running, queued=queued), 0.1, NOW)
    assert (len(work(world).running), len(work(world).waiting)) == (busy, waits)


def test_only_backends_that_scale_are_looked_at() -> None:
    world = World()
    world.backend("fixed")
    world.backend("auto", **AUTO)
    world.backend("outside", scaling={"mode": "External"})
    assert set(work_of(world.state, NOW)) == {"lab/auto", "lab/outside"}


def test_a_pod_that_takes_long_to_start_is_expected_later_and_later() -> None:
    world = World()
    backend = world.backend("a", pods=0, **AUTO)
    world.state.start_seconds["lab/a"] = 4.0
    assert look(world).free_seconds == (4.0,)
    world.state.pods.observe("u", "lab/u", backend=backend_selector(backend), created=NOW)
    waits = [look(world, now=NOW + elapsed).free_seconds[0] for elapsed in (1.0, 4.0, 40.0, 400.0)]
    assert waits == [3.0, 1.0, 10.0, 100.0]


def test_a_backend_whose_pods_cannot_start_says_so_and_one_without_a_node_waits() -> None:
    world = World()
    selector = backend_selector(world.backend("a", pods=0, **AUTO))
    world.state.replicas["lab/a"] = 1

    def trouble(reason: str) -> Backend:
        world.state.pods.observe("u", "lab/u", None, (selector, Trouble(reason, "so it is")), backend=selector)
        return look(world)

    broken = trouble("ErrImagePull")
    assert not broken.serving
    assert broken.not_serving_reason == "0 of 1 pods serve: ErrImagePull: so it is"
    assert trouble("Unschedulable").serving


@pytest.mark.parametrize(
    ("spec", "serving", "reason"),
    [
        ({}, False, "0 of 1 pods serve"),
        ({**AUTO, "replicas": 0}, False, "spec.replicas is 0"),
        ({"scaling": {"mode": "External"}, "replicas": 0}, True, ""),
        ({**AUTO}, True, ""),
    ],
)
def test_which_backends_without_pods_jobs_may_wait_for(spec: dict[str, Any], serving: bool, reason: str) -> None:
    world = World()
    world.backend("a", pods=0, **spec)
    seen_backend = look(world)
    assert (seen_backend.serving, seen_backend.not_serving_reason) == (serving, reason)
    (wait,) = [wait for each, wait in world.rounds.sight.waits(NOW) if each.key == "lab/a"]
    assert wait == (Interval(START_SECONDS, START_SECONDS, START_SECONDS) if serving else None)


def test_work_that_is_left_is_what_workers_are_busy_with() -> None:
    tasks = [PodTask(NOW - 1, Interval(1, run, 2 * run)) for run in (5.0, 3.0, 2.0)]
    assert work_left(2, tasks, NOW) == ([4.0, 2.0], [2.0])
