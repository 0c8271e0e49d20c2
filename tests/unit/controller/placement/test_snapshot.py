"""What a round sees of backends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qonverge.api.backend import OFFERS_LABEL
from qonverge.controller.placement.snapshot import PodTask, free_seconds, given_to_pods, seen
from qonverge.controller.store.phases import Sent
from qonverge.forecast.intervals import Interval
from qonverge.scheduling import Backend, Decision
from qonverge.wire.vendor import DeviceState
from tests.unit.controller.worlds import NO_TASK, NOW, World, info

runs = st.floats(0.001, 1000)
tasks = st.lists(
    st.builds(
        lambda ago, run: PodTask(NOW - ago, Interval(run / 2, run, 2 * run)),
        st.floats(0, 2000),
        runs,
    ),
    max_size=12,
).map(lambda found: sorted(found, key=lambda task: task.sent))


@given(st.integers(1, 5), tasks)
def test_free_seconds_are_as_many_as_workers_in_order_and_none_is_past(workers: int, given: list[PodTask]) -> None:
    free = free_seconds(workers, given, NOW)
    assert len(free) == workers
    assert free == sorted(free)
    assert free[0] >= 0
    if len(given) < workers:
        assert free[0] == 0, "an idle worker is free now"


@given(st.integers(1, 5), tasks, runs)
def test_a_further_task_frees_nobody_sooner(workers: int, given: list[PodTask], run: float) -> None:
    before = free_seconds(workers, given, NOW)
    after = free_seconds(workers, [*given, PodTask(NOW, Interval(run, run, run))], NOW)
    assert all(later >= sooner - 1e-6 for later, sooner in zip(after, before, strict=True))
    assert sum(after) == pytest.approx(sum(before) + run, rel=1e-6, abs=1e-3)


@given(st.integers(1, 4), tasks)
def test_one_more_worker_never_waits_longer_for_its_first(workers: int, given: list[PodTask]) -> None:
    assert free_seconds(workers + 1, given, NOW)[0] <= free_seconds(workers, given, NOW)[0] + 1e-6


@given(st.lists(runs, min_size=1, max_size=8))
def test_one_worker_does_one_after_the_other(lengths: list[float]) -> None:
    given = [PodTask(NOW, Interval(run, run, run)) for run in lengths]
    assert free_seconds(1, given, NOW)[0] == pytest.approx(sum(lengths), rel=1e-6, abs=1e-3)


def test_of_a_task_that_is_late_some_part_is_still_to_come() -> None:
    late = PodTask(NOW - 100, Interval(1.0, 4.0, 9.0))
    assert free_seconds(1, [late], NOW) == [1.0]


def look(world: World, name: str, stale: str = "") -> Backend:
    backend = world.state.backends[f"lab/{name}"]
    return seen(world.state, world.cluster, backend, given_to_pods(world.state, NOW), NOW, stale)


def test_a_backend_is_seen_with_what_its_pods_have_and_tell() -> None:
    world = World()
    world.backend("a", pods=2, workers=2, capacity={"queueLimit": 10, "maxQubits": 9}, location={"tier": "Edge"})
    world.pod("a-0").latency, world.pod("a-1").latency = 0.2, 0.05
    world.job("j")
    endpoint = world.endpoint("a-0")
    sent = Sent("t", endpoint, "lab/a", NOW, Interval(1.0, 2.0, 3.0))
    world.flight("j").send(Decision("chem/j", look(world, "a"), "because"), (sent,), NOW, lambda: NO_TASK)
    backend = look(world, "a", "too old")
    assert (backend.workers, sorted(backend.free_seconds)) == (4, [0.0, 0.0, 0.0, 2.0])
    assert (backend.room, backend.load) == (19, 0.25)
    assert (backend.max_qubits, backend.tier, backend.latency_seconds) == (9, "Edge", 0.05)
    assert backend.calibration_stale_reason == "too old"


def test_work_that_was_decided_and_not_sent_is_counted_on_the_pod_with_least() -> None:
    world = World()
    world.backend("a", pods=2, capacity={"queueLimit": 5})
    for number in range(3):
        world.job(f"j{number}")
        world.flight(f"j{number}").propose(Decision(f"chem/j{number}", look(world, "a"), "because"), (), tried_at=0.0)
    assert {pod: len(found) for pod, found in given_to_pods(world.state, NOW).items()} == {"a-0": 2, "a-1": 1}
    assert look(world, "a").room == 7


def test_memory_that_one_pod_does_not_tell_is_not_known() -> None:
    world = World()
    world.backend("a", pods=2)
    assert look(world, "a").memory_bytes == 2**30
    world.pod("a-1").info = info(memory=None)
    assert look(world, "a").memory_bytes is None
    world.pod("a-0").info = world.pod("a-1").info = None
    assert look(world, "a").memory_bytes is None


def test_silent_pods_do_not_serve() -> None:
    world = World()
    world.backend("a")
    world.pod("a-0").lose(1.0)
    assert (look(world, "a").serving, look(world, "a").not_serving_reason) == (False, "lab/a-0 does not answer")
    world.backend("b", pods=0, replicas=0)
    assert look(world, "b").not_serving_reason == "spec.replicas is 0"


def test_a_selector_admits_the_namespaces_whose_labels_match_now() -> None:
    world = World()
    selector = {"matchLabels": {"team": "x"}}
    world.backend("a", access={"namespaces": {"from": "Selector", "selector": selector}})
    assert (look(world, "a").selects, look(world, "a").admits("chem")) == (True, False)
    world.cluster.labels |= {"chem": {"team": "x"}, "bio": {"team": "y"}}
    assert look(world, "a").admitted_namespaces == {"chem"}
    del world.cluster.labels["chem"]
    assert not look(world, "a").admits("chem"), "a namespace that is gone"


@pytest.mark.parametrize("access", [{"from": "All"}, {"from": "Selector", "selector": {"matchLabels": {"team": "x"}}}])
@pytest.mark.parametrize("label", [None, "false", "True", ""])
def test_only_a_namespace_with_the_label_offers_backends_to_others(access: dict[str, Any], label: str | None) -> None:
    world = World()
    world.backend("a", access={"namespaces": access})
    world.cluster.labels["chem"] = {"team": "x"}
    assert look(world, "a").admits("chem")
    world.cluster.labels["lab"] = {} if label is None else {OFFERS_LABEL: label}
    view = look(world, "a")
    assert (view.admits("chem"), view.admits("lab"), view.offer_withheld) == (False, True, True)
    del world.cluster.labels["lab"]
    assert not look(world, "a").admits("chem"), "a namespace whose labels are not known"


async def test_a_job_is_told_why_an_offer_does_not_count() -> None:
    world = World()
    world.backend("a")
    world.cluster.labels["lab"] = {}
    world.job("any")
    world.job("named", backend={"name": "a", "namespace": "lab"})
    await world.round()
    assert not world.pods.given, "nothing was sent"
    for name in ("any", "named"):
        decision = world.flight(name).proposal
        assert decision is not None
        assert not decision.impossible, "an administrator may allow it while the job waits"
        assert f"{OFFERS_LABEL}=true" in decision.reason
    world.cluster.labels["lab"] = {OFFERS_LABEL: "true"}
    await world.round()
    assert len(world.pods.given) == 2


def test_an_engine_s_abilities_are_seen() -> None:
    world = World()
    world.backend("stim", simulator={"engine": "Stim"})
    world.backend("braket", simulator={"engine": "BraketLocal"})
    stim, braket = look(world, "stim"), look(world, "braket")
    assert stim.features is not None
    assert (stim.method, "NonClifford" in stim.features) == ("Stabilizer", False)
    assert (braket.method, braket.state_copies, braket.memory_bytes) == ("Statevector", 3, 2**30 - 2**27)


@pytest.mark.parametrize("told", [{"wait_seconds": 900.0}, {"queue_length": 400}])
def test_a_wait_for_a_device_that_is_too_old_is_not_taken_for_none(told: dict[str, Any]) -> None:
    world = World()
    cloud = world.backend("c", simulator=None, plugin={"provider": "Acme"})
    world.pod("c-0").answer(info(4, None, device=DeviceState(online=True, **told)), 0.01, NOW)
    fresh, old = (world.forecasts.device_wait(cloud, NOW + age) for age in (0.0, 3600.0))
    assert fresh is not None
    assert fresh > 600
    assert old == pytest.approx(fresh, rel=0.1)
    (seen_old,) = world.rounds.sight.backends(NOW + 3600.0)
    assert next(iter(told)) in seen_old.stale_figures
