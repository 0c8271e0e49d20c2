"""What the operator's loop makes of what there is to do, a step at a time."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api.scaling import Scaling
from qonverge.controller.backends.status import Seen, status_of
from qonverge.controller.objects.backend_objects import deployment
from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.scaling.autoscaling import Autoscaling, policy_of
from qonverge.controller.settings import Settings
from qonverge.controller.store.state import State
from qonverge.scaling import Decision, Policy
from tests.unit.controller.worlds import World, info

ZERO: dict[str, Any] = {"minReplicas": 0, "maxReplicas": 10, "scaleToZeroAfter": "20s", "scaleDownAfter": "5s"}


class IdlePods:
    """Lets a backend get smaller once none of its pods has a task or keeps a result."""

    def __init__(self, state: State) -> None:
        self.state = state

    async def remove(self, key: str, wanted: int) -> tuple[int, str]:
        there = self.state.replicas_of(self.state.backends[key])
        busy = [
            pod.key
            for pod in self.state.pods_of(key)
            if pod.info is not None and pod.info.running + pod.info.kept_results
        ]
        return (there, f"{', '.join(busy)} may be needed still") if busy and wanted < there else (wanted, "")

    async def take_back(self, key: str) -> None:
        pass

    def stand_by(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Loop(World):
    """A world that is scaled."""

    def __init__(self) -> None:
        super().__init__()
        self.autoscaling = Autoscaling(
            state=self.state, queue=self.queue, remover=IdlePods(self.state), clock=lambda: self.now
        )

    async def steps(self, seconds: float, every: float = 1.0) -> None:
        """Go on for so long."""
        until = self.now + seconds
        while self.now < until:
            self.now += every
            await self.autoscaling.step()

    def observe_deployment(self, name: str, replicas: int) -> None:
        """Let a Deployment with so many pods be known."""
        selector = backend_selector(self.state.backends[f"lab/{name}"])
        self.state.deployments[selector] = {"uid": "d", "generation": 1, "replicas": replicas, "status": {}}

    @property
    def replicas(self) -> dict[str, int]:
        """What backends should have."""
        return self.state.replicas

    def bound(self, name: str) -> str:
        """Return what bounds the backend's number."""
        return self.state.scaled[f"lab/{name}"].bound

    def written(self) -> list[str]:
        """Return the backends that are to be looked at, and forget them."""
        found = []
        while (taken := self.queue._ready.take()) is not None:
            found.append(taken[1])
        return found


async def test_a_new_backend_begins_with_a_pod_that_goes_when_nothing_needs_it() -> None:
    loop = Loop()
    loop.backend("a", pods=0, scaling={**ZERO, "stableWindow": "10s"})
    assert loop.state.replicas_of(loop.state.backends["lab/a"]) == 1
    await loop.steps(5)
    assert loop.replicas == {"lab/a": 1}
    await loop.steps(20)
    assert loop.replicas == {"lab/a": 0}
    assert loop.state.scaled["lab/a"].driver == "Idle"


async def test_a_clock_that_is_set_back_keeps_no_pod() -> None:
    loop = Loop()
    loop.backend("a", pods=0, scaling={**ZERO, "stableWindow": "10s"})
    await loop.steps(5)
    loop.set_clock(-86400.0)
    await loop.steps(20)
    assert loop.replicas == {"lab/a": 0}


async def test_a_burst_at_zero_starts_pods_and_all_go_again_after_it() -> None:
    loop = Loop()
    loop.backend("a", pods=0, scaling={**ZERO, "stableWindow": "10s"})
    loop.observe_deployment("a", 0)
    await loop.steps(2)
    assert loop.replicas == {"lab/a": 0}
    for number in range(20):
        loop.job(f"j{number}")
    await loop.rounds.once()
    loop.written()
    await loop.steps(1)
    assert loop.replicas == {"lab/a": 1}, "20 Bell pairs take less than a second"
    assert loop.state.scaled["lab/a"].driver == "Backlog"
    assert "QuantumBackend lab/a" in loop.written()
    for number in range(20):
        del loop.state.flights[f"chem/j{number}"]
    await loop.steps(60)
    assert loop.replicas == {"lab/a": 0}


async def test_nothing_is_written_while_the_number_stays() -> None:
    loop = Loop()
    loop.backend("a", pods=1, scaling={"maxReplicas": 3})
    loop.observe_deployment("a", 1)
    await loop.steps(1)
    assert loop.written() == ["QuantumBackend lab/a"]
    await loop.steps(28)
    assert loop.written() == []
    # That it is idle, in place of that pods stay after a restart, is said once.
    await loop.steps(70)
    assert loop.written() == ["QuantumBackend lab/a"]
    await loop.steps(100)
    assert loop.written() == []


async def test_what_bounds_the_number_is_written_soon_and_not_at_each_change() -> None:
    loop = Loop()
    loop.backend("a", pods=1, scaling={"maxReplicas": 1})
    loop.observe_deployment("a", 1)
    await loop.steps(10)
    loop.written()
    loop.pod("a-0").answer(info(running=1, queued=5000), 0.1, loop.now)
    await loop.steps(1)
    assert loop.bound("a") == "TooManyReplicas"
    assert loop.written() == ["QuantumBackend lab/a"]
    loop.pod("a-0").answer(info(), 0.1, loop.now)
    await loop.steps(3)
    loop.pod("a-0").answer(info(running=1, queued=5000), 0.1, loop.now)
    await loop.steps(20)
    assert loop.written() == []
    loop.pod("a-0").answer(info(), 0.1, loop.now)
    await loop.steps(40)
    assert loop.bound("a") == "DesiredWithinRange"
    assert loop.written() == ["QuantumBackend lab/a"]


async def test_after_a_restart_pods_stay_until_the_window_was_seen() -> None:
    loop = Loop()
    loop.backend("a", pods=4, scaling={"maxReplicas": 9, "stableWindow": "30s"})
    loop.observe_deployment("a", 4)
    await loop.steps(29)
    assert loop.replicas == {"lab/a": 4}
    await loop.steps(60)
    assert loop.replicas == {"lab/a": 1}


async def test_pods_with_tasks_or_kept_results_stay() -> None:
    loop = Loop()
    loop.backend("a", pods=2, scaling={"maxReplicas": 9, "stableWindow": "10s", "scaleDownAfter": "5s"})
    loop.observe_deployment("a", 2)
    loop.pod("a-1").answer(info(kept_results=1), 0.1, loop.now)
    await loop.steps(60)
    assert loop.replicas == {"lab/a": 2}
    assert "lab/a-1 may be needed still" in loop.state.scaled["lab/a"].message
    loop.pod("a-1").answer(info(), 0.1, loop.now)
    await loop.steps(1)
    assert loop.replicas == {"lab/a": 1}


async def test_a_program_keeps_the_last_pod() -> None:
    loop = Loop()
    loop.backend("a", pods=1, scaling={**ZERO, "stableWindow": "10s"})
    loop.observe_deployment("a", 1)
    loop.job("p", program={"python": {"source": "print()"}}, status={"state": "Running", "backend": "lab/a"})
    await loop.steps(100)
    assert loop.replicas == {"lab/a": 1}
    assert loop.state.scaled["lab/a"].message == "1 replica: 1 program has begun and may send tasks"
    del loop.state.flights["chem/p"]
    await loop.steps(30)
    assert loop.replicas == {"lab/a": 0}


async def test_one_that_is_scaled_from_outside_or_stopped_is_left_alone() -> None:
    loop = Loop()
    loop.backend("outside", pods=0, replicas=7, scaling={"mode": "External"})
    loop.backend("stopped", pods=0, replicas=0, scaling=ZERO)
    for number in range(20):
        loop.job(f"j{number}")
    await loop.rounds.once()
    await loop.steps(10)
    assert loop.replicas == {}
    assert {key: loop.state.replicas_of(backend) for key, backend in loop.state.backends.items()} == {
        "lab/outside": 7,
        "lab/stopped": 0,
    }


async def test_how_long_pods_take_to_start_is_learned_from_those_that_do() -> None:
    loop = Loop()
    backend = loop.backend("a", pods=1, scaling=ZERO)
    await loop.steps(1)
    for uid, took in (("x", 4.0), ("y", 8.0)):
        loop.state.pods.observe(
            uid, f"lab/{uid}", backend=backend_selector(backend), created=loop.now, ready_at=loop.now + took
        )
        await loop.steps(2)
    assert loop.state.start_seconds == {"lab/a": 6.0}


async def test_a_replica_that_stands_by_forgets_and_one_backend_that_trips_a_defect_stops_no_other() -> None:
    loop = Loop()
    loop.backend("a", pods=1, scaling=ZERO)
    loop.backend("b", pods=1, scaling=ZERO)
    await loop.steps(1)
    assert set(loop.replicas) == {"lab/a", "lab/b"}
    loop.autoscaling.stand_by()
    assert not loop.replicas
    assert not loop.state.scaled


def test_a_policy_has_what_is_given_and_defaults_for_the_rest() -> None:
    assert policy_of(Scaling(max_replicas=10)) == Policy(max_replicas=10, budget="")
    budget = {"perReplicaHour": "0.7", "maxPerHour": "2", "currency": "EUR"}
    given = {**ZERO, "targetQueueTime": "1m30s", "stableWindow": "5m", "budget": budget, "maxScaleDownRate": 1.5}
    policy = policy_of(Scaling.model_validate(given))
    assert (policy.target_queue_seconds, policy.stable_window, policy.panic_window) == (90.0, 300.0, 30.0)
    assert (policy.affordable_replicas, policy.budget) == (2, "the hourly budget of 2 EUR")
    assert (policy.max_scale_up_rate, policy.max_scale_down_rate, policy.min_replicas) == (10.0, 1.5, 0)


def conditions(world: World, seen: Seen) -> dict[str, tuple[str, str, str]]:
    status = status_of(world.state.backends["lab/a"], seen, world.now)
    told: dict[str, tuple[str, str, str]] = {
        each.type: (each.status, each.reason, each.message) for each in status.conditions
    }
    del told["Offered"]
    return told


def test_conditions_say_what_was_decided_and_why() -> None:
    world = World()
    world.backend("a", pods=0, scaling=ZERO)
    there = {"generation": 1, "status": {"observedGeneration": 1}}
    idle = Decision(0, 0, "Idle", "DesiredWithinRange", "0 replicas: nothing runs")
    found = conditions(world, Seen(there, replicas=0, scaled=idle))
    assert found == {
        "Ready": ("True", "ScaledToZero", "no job needs a pod, and one that does starts one"),
        "ScalingActive": ("True", "Idle", "0 replicas: nothing runs"),
        "ScalingLimited": ("False", "DesiredWithinRange", "there are as many as are wanted"),
    }
    limited = Decision(10, 40, "Burst", "TooManyReplicas", "10 replicas: much; 40 are wanted, maxReplicas is 10")
    found = conditions(world, Seen(there, replicas=10, scaled=limited))
    assert found["Ready"] == ("False", "Starting", "0 of 10 pods serve")
    assert found["ScalingLimited"] == ("True", "TooManyReplicas", limited.message)
    world.backend("a", pods=0, scaling=ZERO, replicas=0)
    found = conditions(world, Seen(there, replicas=0))
    assert found["Ready"][1:] == ("Stopped", "spec.replicas is 0")
    assert found["ScalingActive"] == ("False", "ScalingDisabled", "spec.replicas is 0")


@pytest.mark.parametrize(("replicas", "found"), [(None, 1), (0, 0), (7, 7)])
def test_a_deployment_has_the_number_that_was_decided(replicas: int | None, found: int) -> None:
    backend = World().backend("a", pods=0)
    assert deployment(backend, Settings(), b"key", replicas)["spec"]["replicas"] == found
