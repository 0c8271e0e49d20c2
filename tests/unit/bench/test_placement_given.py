"""Somebody's trace: what it says of jobs, devices and their truth is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.fidelity import simulate as truth
from bench.placement import fleet, given, pairs, policies, trace_file
from bench.placement.fleet import Fleet
from bench.placement.pairs import InvalidInput, Pairs, Program
from bench.placement.simulate import simulate
from bench.placement.trace import Arrival, MaxErrors, Trace
from bench.placement.world import World
from qonverge.circuits.mapping.mapped import map_to
from qonverge.scheduling import Plan, Policy, Snapshot, plan
from tests.unit.bench.test_placement import CALM, TWO

EXAMPLE = Path(__file__).parents[3] / "bench" / "placement" / "example"


@pytest.fixture(scope="module")
def example() -> Trace:
    return trace_file.read(EXAMPLE / "trace.jsonl")


@pytest.fixture(scope="module")
def made(example: Trace) -> tuple[Fleet, Pairs]:
    kept: Pairs = {}
    circuits, devices = fleet.read_circuits(EXAMPLE / "circuits"), fleet.read_devices(EXAMPLE / "devices")
    return given.fleet_of(example, circuits, devices, {}, kept.update), kept


def test_the_example_is_run_as_it_says(example: Trace, made: tuple[Fleet, Pairs]) -> None:
    devices, kept = made
    assert devices.devices == ("long", "short")  # short-noon is short, later
    assert devices.circuits == ("ghz-4", "ghz-12", "ghz-4 on 0,1,2,3")
    run = simulate(devices, example, policies.Qonverge(), seed=1)
    # Nothing reaches 0.9999.
    assert (len(run.outcomes), run.unserved) == (6, 1)
    by_time = {arrival.seconds: outcome for arrival, outcome in zip(run.trace.arrivals, run.outcomes, strict=True)}
    wide, by_device, picky = by_time[1.0], by_time[2.5], by_time[40.0]
    assert devices.devices[wide.device] == "long"
    assert wide.end - wide.start == pytest.approx(12.5)
    assert wide.fidelity == pytest.approx(0.8)
    assert by_device.end - by_device.start == pytest.approx({"short": 6, "long": 8}[devices.devices[by_device.device]])
    assert devices.devices[picky.device] == "long"  # short is worse than that by then
    assert all(pair is None or pair.fidelity is not None for pair in kept.values())


def test_a_series_of_calibrations_changes_what_is_true_and_what_is_forecast(
    example: Trace, made: tuple[Fleet, Pairs]
) -> None:
    devices = made[0]
    world = World(devices, example, example.world, 0)
    before, after = (world.fidelity(0, 0, 1, at) for at in (29.0, 30.0))
    assert after < before - 0.05
    assert devices.at(30.0).forecast[1, 0, 1] < devices.at(29.0).forecast[1, 0, 1] - 0.05
    assert world.next_calibration(29.0) <= 30.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fidelities": {"ghz-4": {"nowhere": 0.5}}}, "the device nowhere, which is not there; known: long, short"),
        ({"fidelities": {"qft": {"long": 0.5}}}, "the circuit qft, which is not there; known: ghz-12, ghz-4"),
        ({"calibrations": {}}, None),
        ({"arrivals": (Arrival(0.0, "z", 10),)}, "the circuit z, which is not there"),
        ({"arrivals": (Arrival(0.0, "ghz-4", 10, layout=(1, 2)),)}, "lays ghz-4 on 2 qubits; the circuit has 4"),
        ({"arrivals": (Arrival(0.0, "ghz-4", 10, layout=(1, 2, 3, 99)),)}, "runs on none of long, short"),
    ],
)
def test_what_a_trace_names_must_be_there(
    example: Trace, made: tuple[Fleet, Pairs], change: dict[str, object], message: str | None
) -> None:
    circuits, devices = fleet.read_circuits(EXAMPLE / "circuits"), fleet.read_devices(EXAMPLE / "devices")
    changed = replace(example, **change)  # type: ignore[arg-type]
    if message is None:
        assert len(given.fleet_of(changed, circuits, devices, made[1]).devices) == 3
        return
    with pytest.raises(InvalidInput, match=message):
        given.fleet_of(changed, circuits, devices, made[1])


@pytest.mark.parametrize("policy", policies.every(), ids=lambda policy: policy.name)
def test_every_policy_keeps_least_fidelities_and_largest_errors(policy: object) -> None:
    # The first device gives more; its errors on two qubits are 0.01, the other's 0.02.
    arrivals = [
        *(Arrival(float(n), "a", 8000, min_fidelity=0.85) for n in range(6)),
        *(Arrival(6.0 + n, "a", 8000, max_errors=MaxErrors(two_qubit=0.015)) for n in range(6)),
        Arrival(12.0, "a", 8000, min_fidelity=0.99),
        Arrival(13.0, "a", 8000, max_errors=MaxErrors(readout=0.001)),
    ]
    run = simulate(TWO, Trace("test", tuple(arrivals)), policy, CALM)  # type: ignore[arg-type]
    assert [outcome.device for outcome in run.outcomes] == [0] * 12
    assert run.unserved == 2


def test_largest_errors_are_terms_of_the_job_and_the_reason_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []

    def recorded(snapshot: Snapshot, policy: Policy) -> Plan:
        plans.append(plan(snapshot, policy))
        return plans[-1]

    monkeypatch.setattr(policies, "plan", recorded)
    picky = Arrival(0.0, "a", 8000, max_errors=MaxErrors(two_qubit=0.015))
    simulate(TWO, Trace("test", (picky,)), policies.Qonverge(), CALM)
    (decision,) = plans[0].decisions
    assert dict(decision.rejected) == {"lab/device-1": "lab/device-1's median two-qubit error 0.02 is above 0.015"}


def test_a_job_is_late_where_only_a_device_that_its_terms_forbid_would_be_in_time() -> None:
    seconds = {"device-0": 50.0, "device-1": 1.0}
    terms = (MaxErrors(two_qubit=0.015), None), (None, 0.85)
    for max_errors, min_fidelity in terms:
        picky = Arrival(
            0.0, "a", 8000, deadline=10.0, service_seconds=seconds, max_errors=max_errors, min_fidelity=min_fidelity
        )
        (outcome,) = simulate(TWO, Trace("test", (picky,)), policies.Qonverge(), CALM).outcomes
        assert (outcome.device, outcome.end) == (0, 50.0)


def test_given_layouts_are_kept_and_cost_what_their_qubits_do(example: Trace) -> None:
    (device,) = (d for d in fleet.read_devices(EXAMPLE / "devices") if d.name == "short")
    qubits = list(device.qubits)
    qubits[0] = replace(qubits[0], read_1_as_0=0.3, read_0_as_1=0.3)
    bad = replace(device, qubits=tuple(qubits))
    circuit = fleet.read_circuits(EXAMPLE / "circuits")["ghz-4"]
    free, pinned = (pairs.simulated(Program(circuit, layout), bad) for layout in (None, (0, 1, 2, 3)))
    assert free is not None and pinned is not None
    assert free.fidelity is not None and pinned.fidelity is not None
    assert pinned.fidelity < free.fidelity - 0.1
    assert pairs.key(Program(circuit), bad) != pairs.key(Program(circuit, (0, 1, 2, 3)), bad)


def test_trajectories_give_what_density_matrices_give(monkeypatch: pytest.MonkeyPatch) -> None:
    (device,) = (d for d in fleet.read_devices(EXAMPLE / "devices") if d.name == "short-noon")
    mapped = map_to(fleet.read_circuits(EXAMPLE / "circuits")["ghz-4"], device)
    exact = truth.hellinger(mapped, device)
    monkeypatch.setattr(truth, "MOST_QUBITS", 3)
    with pytest.raises(truth.TooWide):
        truth.hellinger(mapped, device, 3)
    assert truth.hellinger(mapped, device, 20) == pytest.approx(exact, abs=0.02)
    assert exact < 0.93
