"""The simulator of the scheduler: what it counts, what it reads, and that the scheduler does what it is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit

from bench.placement import compare, fleet, metrics, pairs, policies, report, trace, trace_file
from bench.placement.compare import Setting
from bench.placement.counts import drawn
from bench.placement.fleet import Fleet
from bench.placement.nature import Nature
from bench.placement.pairs import InvalidInput, Pair, Program
from bench.placement.planned import PlannedWaits
from bench.placement.simulate import Run, State, Stuck, simulate
from bench.placement.trace import Arrival, Trace
from bench.placement.world import World
from qonverge.circuits.error_response.ideal import Ideal
from qonverge.devices import snapshots
from qonverge.forecast.features import Work
from qonverge.scheduling import Policy

CALM = Nature(speed_spread=0, run_noise=0, drift=0, error_noise=0)


def small(true: Sequence[Sequence[float]]) -> Fleet:
    """A fleet whose forecasts of fidelity are true; rows are circuits, columns devices; NaN does not fit."""
    value = np.array(true)
    return Fleet(
        tuple("abcdef"[: len(true)]),
        tuple(f"device-{n}" for n in range(value.shape[1])),
        (4,) * len(true),
        (Work(4, 10, 4, 5, 2, 4, 1),) * len(true),
        np.nanmean(value, axis=0),
        value,
        np.full(value.shape, 1e-6),
        np.stack([value - 0.01, value, value + 0.01]),
        (Ideal.of(np.array([0.5, *[0.0] * 14, 0.5]), 4),) * len(true),
        np.array([[0.01], [0.02]]) * np.arange(1, value.shape[1] + 1),
    )


TWO = small([[0.9, 0.8], [0.95, 0.7]])


def jobs(*times: float, **more: object) -> Trace:
    return Trace("test", tuple(replace(Arrival(at, "a", 8000), **more) for at in times))  # type: ignore[arg-type]


def busy_at_once(run: Run) -> list[tuple[float, float]]:
    return [
        (first, second)
        for device in range(len(run.fleet.devices))
        for own in [sorted((o.start, o.end) for o in run.outcomes if o.device == device)]
        for (_, first), (second, _) in pairwise(own)
        if second < first - 1e-9
    ]


@pytest.mark.parametrize("policy", policies.every(), ids=lambda policy: policy.name)
def test_every_policy_runs_every_job_once_on_a_device_that_it_fits(policy: object) -> None:
    nan = float("nan")
    those = small([[0.9, 0.8, nan], [nan, 0.7, 0.95]])
    arrivals = [Arrival(n * 1.0, "ab"[n % 2], 4000 + n) for n in range(20)]
    run = simulate(those, Trace("test", tuple(arrivals)), policy)  # type: ignore[arg-type]
    assert len(run.outcomes) == 20
    for arrival, outcome in zip(arrivals, run.outcomes, strict=True):
        assert those.fits["ab".index(arrival.circuit), outcome.device]
        assert arrival.seconds <= outcome.start < outcome.end
    assert not busy_at_once(run)


def test_times_and_fidelity_are_those_of_the_world() -> None:
    run = simulate(TWO, jobs(0.0, 1.0), policies.AtOnce("first", lambda state, job: np.array([0.0, 1.0])), CALM)
    # 2 s and 8,000 shots of 250 us and 1 us.
    length = 2 + 8000 * 251e-6
    assert [o.start for o in run.outcomes] == pytest.approx([0.0, length])
    assert [o.end for o in run.outcomes] == pytest.approx([length, 2 * length])
    assert [o.fidelity for o in run.outcomes] == [0.9, 0.9]
    found = metrics.figures(run)
    assert found.wait_mean == pytest.approx((length - 1) / 2)
    assert found.completion_mean == pytest.approx(found.wait_mean + length)


def test_policies_meet_the_same_world() -> None:
    arrivals = jobs(*range(30))
    worlds = [World(TWO, arrivals, Nature(), seed=3) for _ in range(2)]
    assert worlds[0].run_seconds(5, 0, 100, 1, 77.0) == worlds[1].run_seconds(5, 0, 100, 1, 77.0)
    assert worlds[0].fidelity(5, 0, 1, 77.0) == worlds[1].fidelity(5, 0, 1, 77.0)
    assert World(TWO, arrivals, Nature(), seed=4).fidelity(5, 0, 1, 77.0) != worlds[0].fidelity(5, 0, 1, 77.0)


def test_a_forecast_sees_the_last_calibration_and_not_the_shift_since() -> None:
    shifted = replace(CALM, shift_at=4000.0)
    world = World(TWO, jobs(0.0, 9000.0), shifted, seed=0)
    truth = [world.fidelity(0, 0, device, 4001.0) for device in (0, 1)]
    worse = [device for device, plain in enumerate((0.9, 0.8)) if truth[device] < plain - 1e-6]
    assert len(worse) <= 1
    assert world.calibrated(3999.0).tolist() == [1.0, 1.0]
    after = world.calibrated(4000.0 + shifted.calibrated_every)
    assert [device for device in (0, 1) if after[device] > 1.0] == worse


def test_errors_are_stationary_from_the_start_and_calibrations_lag_behind_them() -> None:
    arrivals, drifting = jobs(0.0, 600.0), replace(CALM, drift=0.15)
    worlds = [World(TWO, arrivals, drifting, seed) for seed in range(400)]
    for at in (0.0, 600.0):
        logs = np.log([world.errors(at) for world in worlds])
        assert logs.std() == pytest.approx(0.15, abs=0.012)
        assert logs.mean() == pytest.approx(0, abs=0.02)
        # Half an hour old on average, of a memory of four hours; the mean over ages of 2 (1 - exp(-age / 4 h)).
        lag = logs - np.log([world.calibrated(at) for world in worlds])
        assert lag.std() == pytest.approx(0.15 * 0.48, abs=0.008)


def test_greedy_goes_where_the_scheduler_would_send_a_job_that_is_alone() -> None:
    random = np.random.default_rng(2)
    for _ in range(20):
        those = small(random.uniform(0.5, 0.95, (1, 4)).tolist())
        alone = jobs(0.0, deadline=float(random.uniform(5, 100)))
        greedy, ours = (
            simulate(those, alone, of, CALM).outcomes[0].device
            for of in policies.every()
            if of.name in ("greedy", "Qonverge")
        )
        assert greedy == ours


def test_rules_of_others_choose_among_the_nearly_best_and_the_soon() -> None:
    those = small([[0.90, 0.89, 0.80]])
    every = {policy.name: policy for policy in policies.every()}
    # The third job finds both of the nearly best taken, and waits for one all the same.
    nearly = simulate(those, jobs(0.0, 0.1, 0.2, service_seconds=4.0), every["least-loaded within 3 %"], CALM)
    assert [outcome.device for outcome in nearly.outcomes] == [0, 1, 0]
    # The fourth would wait for longer than 10 s on the best.
    soon = simulate(those, jobs(0.0, 0.1, 0.2, 0.3, service_seconds=4.0), every["fidelity first, of the soon"], CALM)
    assert [outcome.device for outcome in soon.outcomes] == [0, 0, 0, 1]


@dataclass(frozen=True, slots=True)
class Idle:
    name: str = "idle"

    def decide(self, state: State) -> list[tuple[int, int]]:
        return []


def test_a_policy_that_leaves_jobs_for_nothing_is_found_out() -> None:
    with pytest.raises(Stuck, match="idle sends none of 1 jobs"):
        simulate(TWO, jobs(0.0), Idle())


def test_deadlines_that_no_device_could_meet_are_not_counted_and_their_jobs_still_run() -> None:
    arrivals = Trace("test", (Arrival(0, "a", 8000, deadline=1.0), Arrival(0, "a", 8000, deadline=60.0)))
    run = simulate(TWO, arrivals, policies.Qonverge(), CALM)
    found = metrics.figures(run)
    assert (found.deadlines_feasible, found.deadlines_met) == (1, 1.0)


def test_fairness_is_jains_index_of_weighted_seconds() -> None:
    arrivals = Trace("test", tuple(Arrival(0, "a", 8000, name) for name in "xxxy"), {"x": 3.0, "y": 1.0})
    run = simulate(TWO, arrivals, policies.RoundRobin(), CALM)
    assert metrics.fairness(run, 1e9) == pytest.approx(1.0)
    alike = replace(run, trace=replace(arrivals, shares={}))
    assert metrics.fairness(alike, 1e9) == pytest.approx(16 / (2 * 10))


def test_traces_are_read_as_they_were_written(tmp_path: Path) -> None:
    made = trace.make("bursty", ("a", "b"), 40, 0.5, seed=1)
    made = replace(made, shares={"chem": 2.0})
    first = replace(made.arrivals[0], layout=(2, 0), service_seconds={"a": 3.0}, min_fidelity=0.5)
    made = replace(made, arrivals=(first, *made.arrivals[1:]), world=Nature(drift=0.0))
    trace_file.write(tmp_path / "t.jsonl", made)
    assert trace_file.read(tmp_path / "t.jsonl") == made


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "line 2: it: Invalid JSON"),
        ("[1]", "line 2: it: Input should be an object"),
        ('{"seconds": 1, "circuit": "a"}', "line 2: shots: Field required"),
        ('{"seconds": 1, "circuit": "a", "shots": 5, "priorty": 1}', "line 2: priorty: Unexpected"),
        ('{"seconds": -1, "circuit": "a", "shots": 5}', "seconds: Input should be greater than or equal to 0"),
        ('{"seconds": 1, "circuit": "a", "shots": "5"}', "shots: Input should be a valid integer"),
        ('{"seconds": 1, "circuit": "a", "shots": true}', "shots: Input should be a valid integer"),
        ('{"seconds": 1, "circuit": "a", "shots": 5, "objective": "Speed"}', "objective: Input should be 'Fidelity'"),
        ('{"seconds": 1, "circuit": "a", "shots": 5, "layout": [1, 1]}', "the layout has a physical qubit twice"),
        ('{"seconds": 1, "circuit": "a", "shots": 5, "minFidelity": 2}', "minFidelity: Input should be less than"),
        ('{"seconds": 1, "circuit": "a", "shots": 5, "maxErrors": {"cx": 1}}', "maxErrors.cx: Unexpected"),
    ],
)
def test_a_wrong_line_of_a_trace_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"format": "{trace_file.FORMAT}"}}\n{line}\n')
    with pytest.raises(InvalidInput, match=message):
        trace_file.read(path)


@pytest.mark.parametrize("kind", trace.KINDS)
def test_made_traces_have_the_rate_that_was_asked_for(kind: str) -> None:
    times = trace.KINDS[kind](20_000, 0.05, np.random.default_rng(0))
    assert (np.diff(times) >= 0).all()
    assert len(times) / times[-1] == pytest.approx(0.05, rel=0.05)


def test_bursts_are_denser_than_the_rest() -> None:
    times = {kind: trace.KINDS[kind](20_000, 1.0, np.random.default_rng(1)) for kind in ("poisson", "bursty")}
    # Of hundredths of the time, the fullest tenth.
    full = {kind: np.sort(np.histogram(found, 100)[0])[-10:].sum() / 20_000 for kind, found in times.items()}
    assert full["poisson"] < 0.13
    assert full["bursty"] > 0.3


def test_pairs_are_read_as_they_were_written(tmp_path: Path) -> None:
    some: pairs.Pairs = {
        ("c", "d"): Pair(0.9, 1e-6, (0.8, 0.9, 0.95)),
        ("c", "e"): None,
        ("f", "d"): Pair(0.5, 2e-6, ()),
        ("g", "d"): Pair(0.5, 2e-6),
    }
    pairs.write(tmp_path / "p.json.gz", some)
    assert pairs.read(tmp_path / "p.json.gz") == some
    (tmp_path / "p.json.gz").write_bytes(b"nothing")
    with pytest.raises(InvalidInput, match="has no pairs"):
        pairs.read(tmp_path / "p.json.gz")


def test_what_is_missing_is_simulated_and_forecast(tmp_path: Path) -> None:
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    bell.measure_all()
    wide = QuantumCircuit(9)
    wide.h(range(9))
    wide.measure_all()
    device = snapshots.load("manila")
    made = fleet.assemble(
        {"bell": Program(bell), "wide": Program(wide)}, [device], {}, lambda found: pairs.write(tmp_path / "p", found)
    ).usable()
    assert made.circuits == ("bell",)  # the other one fits nowhere
    assert 0.85 < made.true[0, 0] < 1
    low, mid, high = made.forecast[:, 0, 0]
    assert low <= mid <= high
    assert abs(mid - made.true[0, 0]) < 0.05
    again = pairs.read(tmp_path / "p")
    assert pairs.completed(again, {"bell": Program(bell)}, [device]) == again


def test_others_circuits_and_snapshots_are_read(tmp_path: Path) -> None:
    (tmp_path / "flip.qasm").write_text("OPENQASM 3.0;\nqubit q;\nbit c;\nU(pi, 0, pi) q;\nc = measure q;\n")
    assert list(fleet.read_circuits(tmp_path)) == ["flip"]
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"bad\.json: format is None"):
        fleet.read_devices(tmp_path)


@pytest.fixture(scope="module")
def tuning() -> Setting:
    return compare.settings(pairs.read(pairs.KNOWN))[0]


def test_the_kept_pairs_are_those_of_the_circuits_and_snapshots(tuning: Setting) -> None:
    # Otherwise the fixture has simulated them anew.
    known = pairs.read(pairs.KNOWN)
    circuits, devices = fleet.known_circuits(tuning.half), fleet.known_devices(tuning.half)
    assert all(pairs.key(Program(circuit), device) in known for circuit in circuits.values() for device in devices)


def test_jobs_end_far_sooner_than_in_order_of_fidelity_and_lose_little(tuning: Setting) -> None:
    busy = trace.make("poisson", tuning.fleet.circuits, 70, tuning.rate(0.8), seed=5)
    ours, fcfs, static = (metrics.figures(simulate(tuning.fleet, busy, of)) for of in policies.every()[:3])
    assert report.lower(ours.completion_mean, fcfs.completion_mean) >= 0.4
    assert report.lower(ours.fidelity_mean, fcfs.fidelity_mean) <= 0.025
    assert static.wait_mean / ours.wait_mean >= 5
    assert ours.deadlines_met >= 0.95


def test_saturated_namespaces_get_what_their_weights_say() -> None:
    weighted = trace.saturated(("a", "b"), 25, seed=2)
    runs = [simulate(TWO, of, policies.Qonverge(), CALM) for of in (weighted, replace(weighted, shares={}))]
    # Both judged by the weights; the second was planned without them, and equal parts give 0.82.
    found, equal = (metrics.fairness(replace(run, trace=weighted), 120.0) for run in runs)
    assert found >= 0.9
    assert equal < found


@pytest.mark.parametrize(("aging", "started"), [(40.0, True), (1e9, False)])
def test_low_priority_starts_once_it_has_aged_and_otherwise_after_the_flood(aging: float, started: bool) -> None:
    # More comes than both devices do.
    flood = [Arrival(0.8 * n, "a", 8000, priority=1000) for n in range(100)]
    arrivals = sorted([*flood, Arrival(10.2, "a", 8000)], key=lambda arrival: arrival.seconds)
    run = simulate(
        small([[0.9, 0.9]]), Trace("test", tuple(arrivals)), policies.Qonverge(Policy(aging_seconds=aging)), CALM
    )
    low = next(n for n, arrival in enumerate(arrivals) if arrival.priority == 0)
    waited = run.outcomes[low].start - arrivals[low].seconds
    assert (waited <= 40 + 4.1) == started
    assert started or waited > 80


@pytest.mark.parametrize("fidelity", [0.4, 0.9, 0.99])
@pytest.mark.parametrize("weights", [[1.0, *[0.0] * 15], [0.5, *[0.0] * 14, 0.5], [1 / 16] * 16])
def test_counts_show_the_fidelity_that_they_were_drawn_with(fidelity: float, weights: list[float]) -> None:
    ideal = Ideal.of(np.array(weights), 4)
    assert ideal is not None
    random = np.random.default_rng(0)
    found = [drawn(ideal, fidelity, 20_000, random) for _ in range(20)]
    errors = [one.error for one in found if one is not None]
    assert len(errors) == 20
    mean = np.mean([one.fidelity for one in found if one is not None])
    assert mean == pytest.approx(fidelity, abs=max(errors))


def test_forecasts_of_a_device_follow_what_its_jobs_gave() -> None:
    # Devices that are worse than their calibration says, from one moment on.
    broken = replace(CALM, shift_at=50.0, shift_errors=0.7)
    run = simulate(TWO, jobs(*np.arange(0.0, 400.0, 5.0).tolist()), policies.RoundRobin(), broken, seed=1)
    changed = {o.device for o in run.outcomes if o.fidelity < 0.95 * [0.9, 0.8][o.device]}
    assert changed
    for device in changed:
        last = [o for o in run.outcomes if o.device == device][-1]
        assert last.promised_fidelity.mid == pytest.approx(last.fidelity, abs=0.015)
        assert last.promised_fidelity.low < last.fidelity < last.promised_fidelity.high


def test_waits_of_plans_are_within_their_intervals_though_jobs_overtake_each_other() -> None:
    random = np.random.default_rng(4)
    model, within = PlannedWaits.cold(), []
    for _ in range(600):
        planned = float(random.exponential(20))
        waited = planned * float(np.exp(random.normal(-0.4, 0.9)))
        promised = model.predict(planned)
        within.append(promised.low <= waited <= promised.high)
        model = model.observe(planned, promised, 0.0, waited)
    assert 0.75 < np.mean(within[100:]) < 0.85
    assert model.predict(0.0).high == 0
