"""Calibrations: round trips, refusals, and the snapshots of real devices."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qonverge.devices import Calibration, Gate, InvalidCalibration, Qubit, snapshots
from qonverge.devices.ibm import from_properties
from qonverge.devices.rates import uniform

ERRORS = st.none() | st.floats(0, 1)
TIMES = st.none() | st.floats(0, 1e3)
QUBITS = st.builds(Qubit, TIMES, TIMES, ERRORS, ERRORS, TIMES)


@st.composite
def calibrations(draw: st.DrawFn) -> Calibration:
    qubits = tuple(draw(st.lists(QUBITS, min_size=1, max_size=5)))
    places = st.lists(st.integers(0, len(qubits) - 1), min_size=1, max_size=2, unique=True).map(tuple)
    gates = draw(st.lists(st.builds(Gate, st.sampled_from(["cz", "sx", "rz"]), places, ERRORS, TIMES), max_size=6))
    return Calibration("device", qubits, tuple(gates), draw(st.none() | st.integers(0, 2**31).map(float)), "somewhere")


@given(calibrations())
def test_what_is_written_is_read_again(calibration: Calibration) -> None:
    text = json.dumps(calibration.to_dict())
    again = Calibration.from_json(text)
    assert again == calibration
    assert again.digest == calibration.digest


def test_the_digest_is_of_the_figures_alone() -> None:
    first = uniform(2, two_qubit=0.01)
    assert Calibration("other", first.qubits, first.gates, 5.0).digest == first.digest
    assert uniform(2, two_qubit=0.02).digest != first.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "x"}, "format is 'x'"),
        ({"qubits": []}, "qubits must be a list of 1 to"),
        ({"gates": {}}, "gates must be a list"),
        ({"gates": [{"name": "cz", "qubits": [0, 2]}]}, r"gates\[0\].qubits is \[0, 2\]: give different qubits from 0"),
        ({"gates": [{"name": "cz", "qubits": [0, 0]}]}, r"gates\[0\].qubits"),
        ({"gates": [{"name": "cz", "qubits": [0, True]}]}, r"gates\[0\].qubits"),
        ({"gates": [{"name": "cz", "qubits": [0, 1], "error": 1.5}]}, r"gates\[0\].error is 1.5: .* from 0 to 1"),
        ({"gates": [{"qubits": [0, 1]}]}, r"gates\[0\].name"),
        ({"qubits": [{"t1": float("nan")}, {}]}, r"qubits\[0\].t1 is nan"),
        ({"qubits": [{"t3": 1}, {}]}, r"qubits\[0\] has the unknown field t3"),
        ({"measuredAt": "yesterday"}, "measuredAt is 'yesterday'"),
        ({"measuredAt": "2026-01-31T12:00:00"}, "time zone"),
        ({"more": 1}, "unknown field more"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidCalibration, match=message):
        Calibration.from_dict({**uniform(2).to_dict(), **change})


def test_no_json_is_refused() -> None:
    with pytest.raises(InvalidCalibration, match="not JSON"):
        Calibration.from_json("{")
    with pytest.raises(InvalidCalibration, match="not JSON"):
        Calibration.from_json("[" * 100_000)


def test_every_snapshot_is_a_device_with_figures() -> None:
    names = snapshots.names()
    assert len(names) == 71
    for name in names:
        calibration = snapshots.load(name)
        assert calibration.name == name
        assert calibration.measured_at is not None
        error = calibration.median_error(1)
        assert error is not None
        assert 0 < error < 0.01
        assert all(qubit.t1 is None or 1e-7 < qubit.t1 < 1e-2 for qubit in calibration.qubits)
        assert all(gate.seconds is None or gate.seconds < 1e-3 for gate in calibration.gates)
        assert {gate.name for gate in calibration.gates if len(gate.qubits) == 2} <= {
            "cx",
            "ecr",
            "cz",
            "rzz",
            "sqrt_iswap",
        }


def test_a_snapshot_is_found_by_the_names_that_people_know() -> None:
    torino = snapshots.load("torino")
    assert len(torino.qubits) == 133
    assert torino.basis_gates == ("cz", "id", "rz", "sx", "x")
    assert snapshots.load("ibm_torino").digest == snapshots.load("fake_torino").digest == torino.digest
    with pytest.raises(LookupError, match="did you mean torino"):
        snapshots.load("torrino")


def test_couplings_that_are_out_of_order_are_none() -> None:
    gates = (Gate("cz", (0, 1), 0.01), Gate("cz", (1, 2), 1.0))
    assert Calibration("device", (Qubit(),) * 3, gates).couplings == ((0, 1),)


def test_properties_of_another_form_are_refused() -> None:
    with pytest.raises(InvalidCalibration, match="no properties of an IBM backend"):
        from_properties({"qubits": 3})
