"""Forecasts of fidelity: laws of the estimate, and how well it ranks simulated outcomes."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from bench.fidelity.circuits import Case
from bench.fidelity.study import HELD_OUT, Row, figures, run
from qonverge.circuits.analysis.analysis import analyse
from qonverge.circuits.analysis.canonical import canonical
from qonverge.circuits.error_response.profile import CircuitProfile
from qonverge.circuits.error_response.profile_builder import profile
from qonverge.devices import Calibration, Gate, Qubit, snapshots
from qonverge.devices.rates import uniform
from qonverge.forecast.device import Devices, device
from qonverge.forecast.errors import DoesNotFit
from qonverge.forecast.fidelity import EXACT, FAST, Forecaster, Spread
from qonverge.forecast.initial_layout import pattern, place
from qonverge.forecast.intervals import Interval
from qonverge.wire.codec import pack, unpack


def known(circuit: QuantumCircuit) -> CircuitProfile:
    plain = canonical(circuit)
    found = profile(plain, analyse(plain), {})
    assert found is not None
    return found


def ghz(n: int) -> CircuitProfile:
    circuit = QuantumCircuit(n)
    circuit.h(0)
    for qubit in range(n - 1):
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    return known(circuit)


def line(errors: list[float], readout: float = 0.0) -> Calibration:
    """A chain of qubits whose couplings have these errors."""
    size = len(errors) + 1
    gates = [Gate("cx", (place, place + 1), error, 3e-7) for place, error in enumerate(errors)]
    gates += [Gate("sx", (place,), 0.0, 3e-8) for place in range(size)]
    return Calibration("line", (Qubit(read_1_as_0=readout, read_0_as_1=readout),) * size, tuple(gates))


def only(profile: CircuitProfile, calibration: Calibration) -> Interval:
    (found,) = Forecaster().estimate(profile, [calibration])
    assert isinstance(found, Interval)
    return found


def test_without_errors_nothing_is_lost() -> None:
    found = only(ghz(4), uniform(6))
    assert found.mid == pytest.approx(1)
    assert found.low > 0.99


def test_readout_alone_is_exact() -> None:
    # Both peaks of a GHZ state keep (1 - r)^3 + r^3 of theirs.
    assert only(ghz(3), uniform(3, readout=0.03)).mid == pytest.approx(0.97**3 + 0.03**3, abs=1e-4)


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 0.2), st.floats(0, 0.2), st.floats(0, 0.1), st.floats(1e-5, 1e-3))
def test_more_errors_never_raise_a_forecast(low: float, more: float, readout: float, t1: float) -> None:
    circuit, forecaster = ghz(4), Forecaster()
    rates = {"one_qubit_seconds": 5e-8, "two_qubit_seconds": 4e-7}
    good = uniform(5, two_qubit=low, readout=readout, t1=t1, t2=t1, **rates)
    bad = uniform(5, two_qubit=low + more, readout=readout * 2, t1=t1 / 2, t2=t1 / 2, **rates)
    first, second = forecaster.estimate(circuit, [good, bad])
    assert isinstance(first, Interval)
    assert isinstance(second, Interval)
    assert second.mid <= first.mid + 1e-9
    assert 0 <= first.low <= first.mid <= first.high <= 1


def test_the_good_part_of_a_device_is_found() -> None:
    device_of = device(line([0.2, 0.2, 0.001, 0.002, 0.001, 0.2]))
    layout = place(pattern(ghz(4)), device_of)
    assert sorted(device_of.places[layout].tolist()) == [2, 3, 4, 5]


def test_a_chain_lies_on_a_heavy_hexagon_without_swaps() -> None:
    device_of = device(snapshots.load("torino"))
    layout = place(pattern(ghz(10)), device_of)
    order = pattern(ghz(10)).order
    at = dict(zip(order, layout.tolist(), strict=True))
    assert len(set(at.values())) == 10
    assert sum(device_of.hops[at[k], at[k + 1]] - 1 for k in range(9)) <= 1


def test_swaps_cost() -> None:
    star = QuantumCircuit(5)
    for qubit in range(1, 5):
        star.cx(0, qubit)
        star.ry(0.3, 0)
    star.measure_all()
    forecaster = Forecaster()
    chained = forecaster.load(known(star), line([0.01] * 6))
    coupled = forecaster.load(known(star), uniform(7, two_qubit=0.01))
    assert coupled.gates == pytest.approx(4 * 0.0125)
    # Two of the four are next to the middle; the others need SWAPs.
    assert chained.gates > 1.3 * coupled.gates


def test_what_cannot_run_is_said() -> None:
    found = Forecaster().estimate(ghz(5), [line([0.01] * 3), line([0.01, 1, 0.01, 0.01, 1, 0.01]), line([0.01] * 4)])
    assert [type(one) for one in found] == [DoesNotFit, DoesNotFit, Interval]
    assert str(found[0]) == "line has 4 qubits that work and are connected; the circuit needs 5"
    assert str(found[1]).startswith("line has 3 qubits")


def test_every_snapshot_gives_a_forecast_or_a_reason() -> None:
    forecaster = Forecaster()
    calibrations = [snapshots.load(name) for name in snapshots.names()]
    found = forecaster.estimate(ghz(1), calibrations)
    assert all(isinstance(one, Interval) and 0.5 < one.mid <= 1 for one in found)
    wide = forecaster.estimate(ghz(30), calibrations)
    fit = {calibration.name for calibration, one in zip(calibrations, wide, strict=True) if isinstance(one, Interval)}
    assert {"fez", "brisbane", "washington"} <= fit
    assert not fit & {"lima", "kyoto", "hanoi"}


def test_a_huge_device_is_cut_to_its_best_region() -> None:
    found = device(line([0.02] * 600 + [0.001] + [0.02] * 900))
    assert found.size == 1024
    assert {600, 601} <= set(found.places.tolist())


def test_figures_that_are_missing_are_replaced_by_the_median() -> None:
    given_ = line([0.01, 0.01, 0.01])
    gates = (dataclasses.replace(given_.gates[0], error=None), *given_.gates[1:])
    gap = dataclasses.replace(given_, gates=gates)
    assert only(ghz(4), gap) == only(ghz(4), given_)


def test_devices_are_kept_by_their_figures_and_only_so_many() -> None:
    kept = Devices(2)
    first = kept.of(line([0.01]))
    assert kept.of(dataclasses.replace(line([0.01]), name="other")) is first
    for error in (0.02, 0.03):
        kept.of(line([error]))
    assert kept.of(line([0.01])) is not first


def test_an_unknown_response_promises_nothing() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.cx(0, 1)
    circuit.measure(1, 1)
    found = only(known(circuit), uniform(2, two_qubit=0.1, readout=0.02))
    assert (found.low, found.high) == (0, 1)
    assert found.mid == pytest.approx(math.exp(-0.125) * 0.98**2, abs=0.01)


@given(st.floats(0, 1), st.floats(-2, 0), st.floats(0, 2))
def test_spreads_hold_their_middle_and_their_quantiles(mid: float, less: float, more: float) -> None:
    spread = Spread(less, more)
    found = spread.around(mid)
    assert 0 <= found.low <= mid <= found.high <= 1
    if found.low > 0:
        assert Spread.score(mid, found.low) == pytest.approx(more, abs=1e-6)


def test_a_profile_travels_to_and_from_the_child() -> None:
    found = ghz(4)
    assert found.response.ideal is not None
    assert CircuitProfile.from_dict(unpack(pack(found.to_dict()))) == found


_DEVICES = frozenset(("lima", "nairobi", "guadalupe", "hanoi", "torino", "rochester", "fez", "cusco"))
_CIRCUITS = frozenset(
    [
        *("ghz-5", "w-state-3", "phase-estimation-4", "vqe-linear-4", "vqe-full-4", "quantum-volume-3", "ising-4"),
        *("heisenberg-4", "hidden-shift-6", "hidden-shift-4", "ghz-7"),
    ]
)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    def wanted(case: Case, calibration: Calibration) -> bool:
        return case.name in _CIRCUITS and calibration.name in _DEVICES

    return list(run(wanted, lambda line: None))


def test_forecasts_rank_outcomes_of_held_out_circuits_and_devices(rows: list[Row]) -> None:
    assert {row.half for row in rows} == {HELD_OUT}
    assert len(rows) >= 25
    of = {name: figures(rows, name) for name in ("fast", "exact")}
    assert of["fast"]["rank_correlation"] >= 0.93
    assert of["exact"]["rank_correlation"] >= 0.95
    assert of["exact"]["mean_absolute_error"] < 0.04
    assert of["fast"]["mean_absolute_error"] < 0.06
    for name in ("fast", "exact"):
        assert 0.6 < of[name]["coverage"] < 0.98


def test_each_kind_of_response_has_its_spread() -> None:
    for spreads in (FAST, EXACT):
        assert set(spreads) == {"Simulated", "Stabilizer", "NearStabilizer"}
        assert all(spread.less < 0 < spread.more for spread in spreads.values())
