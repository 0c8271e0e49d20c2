"""What was learned is kept in a ConfigMap, and what is damaged there is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qonverge.circuits.isolated import Checker
from qonverge.controller.forecasts import Forecasts
from qonverge.controller.kube import Kube
from qonverge.controller.state import Sent, State
from qonverge.wire.messages import PubResult, TaskResult
from tests.unit.controller.worlds import NOW, World


class Shelf(Kube):
    """Has the one ConfigMap."""

    def __init__(self, data: dict[str, str] | None = None) -> None:
        self.data = data
        self.writes = 0

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        assert (kind, namespace, name) == ("ConfigMap", "system", "qonverge-forecasts")
        return None if self.data is None else {"data": self.data}

    async def apply(self, obj: dict[str, Any]) -> dict[str, Any]:
        self.data = obj["data"]
        self.writes += 1
        return obj


def taught() -> tuple[World, Any]:
    """Return a world whose models have seen a task, and what its job asks for."""
    world = World()
    world.backend("a")
    job = world.job("j")
    sent = Sent("t", world.state.endpoints["a-0"], "lab/a", NOW)
    pub = PubResult(counts=({"00": 1024},), shots=1024, method="statevector")
    for _ in range(5):
        world.forecasts.observe(job, world.flight("j"), sent, TaskResult("t", "Completed", (pub,), run_seconds=20.0))
    return world, job


def run_seconds(world: World, forecasts: Forecasts) -> float:
    offers = forecasts.offers(world.rounds.backends(NOW))
    return float(forecasts.row(world.state.jobs["chem/j"], world.flight("j"), offers)[3, 0])


async def test_a_successor_expects_what_its_predecessor_did() -> None:
    world, _ = taught()
    shelf = Shelf()
    await world.forecasts.save(shelf, "system")
    await world.forecasts.save(shelf, "system")
    assert shelf.writes == 1, "nothing is new"
    later = Forecasts(world.state, Checker(), lambda: NOW + 86_400)
    cold = run_seconds(world, later)
    await later.load(shelf, "system")
    world.forecasts.forget("uid-j")
    later.forget("uid-j")
    assert run_seconds(world, later) == pytest.approx(run_seconds(world, world.forecasts))
    assert run_seconds(world, later) > 2 * cold
    shares = later.shares(lambda _: 3.0, ["chem"]).of("chem")
    assert shares.weight == 3.0
    assert shares.usage == pytest.approx(50.0), "half of it, a day later"


@pytest.mark.parametrize("models", ["", "{", "[]", '{"version": 99}', '{"version": 1, "states": {"x": "y"}}', "\x00"])
@pytest.mark.parametrize(
    "shares",
    [
        *("", "{", "[]", "7", '{"usage": 3}', '{"usage": {"chem": "many"}}', '{"usage": {"chem": NaN}}'),
        *('{"usage": {"chem": -1}}', '{"usage": {"chem": 1e999}}', '{"at": "noon", "usage": {}}'),
    ],
)
async def test_damage_is_survived(models: str, shares: str) -> None:
    world, _ = taught()
    fresh = Forecasts(world.state, Checker(), lambda: NOW)
    before = run_seconds(world, fresh)
    await fresh.load(Shelf({"models": models, "shares": shares}), "system")
    fresh.forget("uid-j")
    assert run_seconds(world, fresh) == before
    assert fresh.shares(lambda _: 1.0, ["chem"]).of("chem").usage == 0


async def test_a_time_that_is_still_to_come_does_not_freeze_shares() -> None:
    clock = [NOW]
    fresh = Forecasts(State(), Checker(), lambda: clock[0])
    await fresh.load(Shelf({"shares": json.dumps({"at": NOW * 10, "usage": {"chem": 8.0}})}), "system")
    clock[0] += 86_400
    assert fresh.shares(lambda _: 1.0, ["chem"]).of("chem").usage == pytest.approx(4.0)


async def test_parts_of_a_job_teach_nothing_of_the_whole() -> None:
    world = World()
    world.backend("a")
    job = world.job("j")
    cold = run_seconds(world, world.forecasts)
    sent = Sent("t", world.state.endpoints["a-0"], "lab/a", NOW, whole=False)
    pub = PubResult(counts=({"00": 9},), shots=9, method="statevector")
    world.forecasts.observe(job, world.flight("j"), sent, TaskResult("t", "Completed", (pub,), run_seconds=20.0))
    world.forecasts.forget("uid-j")
    assert run_seconds(world, world.forecasts) == cold
    assert world.forecasts.shares(lambda _: 1.0, ["chem"]).of("chem").usage == 20.0
