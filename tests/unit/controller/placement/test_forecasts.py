"""What was learned is kept in a ConfigMap, and what is damaged there is left out."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from qonverge.api.noise import Noise
from qonverge.circuits.checker.checked_circuit import check
from qonverge.circuits.checker.checker import Checker
from qonverge.controller.kube.client import Kube
from qonverge.controller.placement.forecasts import Forecasts
from qonverge.controller.store.phases import Checked, Sent
from qonverge.controller.store.state import Calibrated, State
from qonverge.devices.rates import Rates
from qonverge.forecast.loops import Loop
from qonverge.wire.messages import PubResult, TaskResult
from tests.unit.controller.worlds import NOW, World

BELL = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;'


class Shelf(Kube):
    """Has the one ConfigMap."""

    def __init__(self, data: dict[str, str] | None = None) -> None:
        self.data = data
        self.writes = 0

    async def get(self, kind: str, namespace: str | None, name: str) -> dict[str, Any] | None:
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
    sent = Sent("t", world.endpoint("a-0"), "lab/a", NOW)
    pub = PubResult(counts=({"00": 1024},), shots=1024, method="statevector")
    for _ in range(5):
        world.forecasts.observe(job, world.flight("j"), sent, TaskResult("t", "Completed", (pub,), run_seconds=20.0))
    return world, job


def run_seconds(world: World, forecasts: Forecasts) -> float:
    offers = forecasts.offers(world.rounds.sight.backends(NOW))
    return float(forecasts.row(world.state.jobs["chem/j"], world.flight("j"), offers).run_seconds.mid[0])


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


async def test_what_programs_do_is_known_to_a_successor_and_damage_of_it_is_survived() -> None:
    world, shelf = World(), Shelf()
    program = world.job("p", program={"python": {"source": "pass"}})
    world.forecasts.learn_loop(program, 12, "lab/a")
    await world.forecasts.save(shelf, "system")
    later = Forecasts(world.state, Checker(), lambda: NOW)
    await later.load(shelf, "system")
    assert later.loop(program) == Loop(12.0, "lab/a")
    again = world.job("again", program={"python": {"source": "pass"}})
    other = world.job("other", program={"python": {"source": "print()"}})
    assert (later.loop(again), later.loop(other)) == (Loop(12.0, "lab/a"), None)
    await later.load(Shelf({"programs": "{"}), "system")
    assert later.loop(program) == Loop(12.0, "lab/a")


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
    sent = Sent("t", world.endpoint("a-0"), "lab/a", NOW, whole=False)
    pub = PubResult(counts=({"00": 9},), shots=9, method="statevector")
    world.forecasts.observe(job, world.flight("j"), sent, TaskResult("t", "Completed", (pub,), run_seconds=20.0))
    world.forecasts.forget("uid-j")
    assert run_seconds(world, world.forecasts) == cold
    assert world.forecasts.shares(lambda _: 1.0, ["chem"]).of("chem").usage == 20.0


def noisy(world: World, error: float) -> str:
    """Give the backend the noise of a device, and return the digest."""
    spec = Noise.model_validate({"rates": {"oneQubit": error, "twoQubit": 10 * error, "readout": error}})
    noise = Rates(one_qubit=error, two_qubit=10 * error, readout=error)
    world.state.calibrations["lab/a"] = Calibrated(spec, noise, None, NOW)
    return noise.digest


def fidelity(world: World, forecasts: Forecasts) -> tuple[float, float, float]:
    forecasts.forget("uid-j")
    offers = forecasts.offers(world.rounds.sight.backends(NOW))
    found = forecasts.row(world.state.jobs["chem/j"], world.flight("j"), offers).fidelity[0]
    return found.mid, found.low, found.high


async def test_counts_of_a_known_circuit_correct_the_fidelity_until_the_next_calibration() -> None:
    world = World()
    world.backend("a")
    job, flight = world.job("j"), world.flight("j")
    flight.program = Checked("x", check(BELL, {}, []))
    digest = noisy(world, 0.002)
    before = fidelity(world, world.forecasts)
    sent = Sent("t", world.endpoint("a-0"), "lab/a", NOW, fidelity=world.forecasts.fidelity(flight, "lab/a"))
    assert sent.fidelity is not None
    assert (sent.fidelity.mid, sent.fidelity.low, sent.fidelity.high) == before
    # A tenth of the shots are wrong: far more than was forecast.
    pub = PubResult(counts=({"00": 4500, "11": 4500, "01": 500, "10": 500},), shots=10_000, method="density_matrix")

    def run(calibration: str) -> None:
        result = TaskResult("t", "Completed", (pub,), run_seconds=1.0, calibration=calibration)
        world.forecasts.observe(job, flight, sent, result)

    run("that of an earlier calibration")
    assert fidelity(world, world.forecasts) == before
    for _ in range(20):
        run(digest)
    after = fidelity(world, world.forecasts)
    assert after[0] == pytest.approx(0.9, abs=0.015)
    assert after[1] <= 0.9 <= after[2]
    shelf = Shelf()
    await world.forecasts.save(shelf, "system")
    later = Forecasts(world.state, Checker(), lambda: NOW)
    await later.load(shelf, "system")
    assert fidelity(world, later) == pytest.approx(after, rel=1e-3)
    noisy(world, 0.0021)
    renewed = fidelity(world, world.forecasts)
    assert after[0] < renewed[0] < before[0]
    del world.state.calibrations["lab/a"]
    assert fidelity(world, world.forecasts) == (1.0, 1.0, 1.0)


async def test_noise_that_nobody_has_read_yet_is_not_taken_for_none() -> None:
    world = World()
    world.backend("a", simulator={"noise": {"configMapKeyRef": {"name": "device", "key": "today"}}})
    world.job("j")
    world.flight("j").program = Checked("x", check(BELL, {}, []))
    assert all(math.isnan(value) for value in fidelity(world, world.forecasts))
    noisy(world, 0.002)
    assert 0 < fidelity(world, world.forecasts)[0] < 1
