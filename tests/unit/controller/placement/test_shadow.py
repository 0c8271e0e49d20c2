"""The shadow policy: it decides beside the one in force, changes nothing, and holds nothing up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from qonverge.controller.placement.shadow import Shadow
from qonverge.scheduling import Plan, Policy, Snapshot, plan, schedulers
from qonverge.scheduling.model import Weights
from qonverge.telemetry import OperatorMetrics
from tests.unit.controller.worlds import World
from tests.unit.scheduling.worlds import backend, job, snapshot


@pytest.fixture
def metrics() -> OperatorMetrics:
    return OperatorMetrics()


def told(metrics: OperatorMetrics) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in metrics.exposition().decode().splitlines() if "shadow" in line)
    return {name: float(value) for name, value in lines if name[0] != "#" and "_created" not in name}


def dearer() -> Snapshot:
    two = [backend("good", workers=2), backend("cheap", workers=2, currency="EUR")]
    return snapshot([job("a"), job("b")], two, fidelity=[[0.9, 0.5]] * 2, cost=[[5.0, 1.0]] * 2, run=1.0)


def test_what_it_would_change_is_counted_by_figure_and_policy(metrics: OperatorMetrics) -> None:
    seen = replace(dearer(), backends=tuple(replace(b, currency="USD") for b in dearer().backends))
    shadow = Shadow(Policy(weights=Weights(0, 0, 1)), metrics, rest=lambda _: None)
    shadow.offer(seen, Policy(), plan(seen, Policy(weights=Weights(1, 0, 0))))
    shadow.wait()
    found = told(metrics)
    assert found['qonverge_operator_shadow_rounds_total{result="Compared"}'] == 1
    assert found['qonverge_operator_shadow_jobs_total{same="false"}'] == 2
    figures = 'qonverge_operator_shadow_figures_total{figure="%s",policy="%s"}'
    assert [found[figures % ("fidelity", policy)] for policy in ("InForce", "Shadow")] == pytest.approx([1.8, 1.0])
    assert [found[figures % ("cost_USD", policy)] for policy in ("InForce", "Shadow")] == pytest.approx([10.0, 2.0])
    assert found['qonverge_operator_shadow_figure_jobs_total{figure="wait_seconds"}'] == 2


class Slow:
    """A scheduler of somebody else that takes its time, or fails."""

    def __init__(self) -> None:
        self.entered, self.let_go = threading.Event(), threading.Event()
        self.fails = False

    def __call__(self, snapshot: Snapshot, policy: Policy) -> Plan:
        self.entered.set()
        self.let_go.wait(60)
        if self.fails:
            raise RuntimeError("it can't")
        return plan(snapshot, policy)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    found = Slow()
    known = schedulers.find
    monkeypatch.setattr(schedulers, "find", lambda name: found if name == "Slow" else known(name))
    yield found
    found.let_go.set()


async def test_rounds_go_on_while_it_is_busy_and_after_it_failed(metrics: OperatorMetrics, slow: Slow) -> None:
    world = World()
    world.backend("a", workers=8)
    world.rounds.shadow = Shadow(Policy(scheduler="Slow"), metrics, rest=lambda _: None)
    for number in range(4):
        world.job(f"j{number}")
        await world.round()
        assert f"uid-j{number}-1-1" in world.pods.given
        assert slow.entered.wait(60)
    # One is being decided, one waits; what came meanwhile was passed over.
    assert told(metrics)['qonverge_operator_shadow_rounds_total{result="Skipped"}'] >= 1
    slow.fails = True
    slow.let_go.set()
    world.rounds.shadow.wait()
    found = told(metrics)
    assert found['qonverge_operator_shadow_rounds_total{result="Failed"}'] == 2
    assert found["qonverge_operator_shadow_seconds_count"] == 2


def test_it_rests_for_most_of_the_time(metrics: OperatorMetrics) -> None:
    rests: list[float] = []
    rested = threading.Event()

    def rest(seconds: float) -> None:
        rests.append(seconds)
        rested.set()

    shadow = Shadow(Policy(), metrics, rest=rest)
    seen = dearer()
    shadow.offer(seen, Policy(), plan(seen))
    assert rested.wait(60)
    spent = told(metrics)["qonverge_operator_shadow_seconds_sum"]
    assert rests == [pytest.approx(min(60.0, 19 * spent))]


async def test_a_scheduler_in_force_that_fails_leaves_the_round_to_ours(slow: Slow) -> None:
    slow.let_go.set()
    slow.fails = True
    world = World(policy=Policy(scheduler="Slow"))
    world.backend("a")
    world.job("j")
    await world.round()
    assert "uid-j-1-1" in world.pods.given
