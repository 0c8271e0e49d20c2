"""Rates: laws of their forms, and the noise in each form that is taken."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qonverge.devices import InvalidCalibration, Rates, snapshots
from qonverge.devices.noise import noise_from_dict, noise_from_json, noise_named

PROBABILITIES = st.floats(0, 1)
TIMES = st.none() | st.floats(0, 1e3)


@given(st.builds(Rates, *[PROBABILITIES] * 3, *[TIMES] * 5))
def test_what_is_written_is_read_again(rates: Rates) -> None:
    again = noise_from_json(json.dumps(rates.to_dict()))
    assert again == rates
    assert again.digest == rates.digest


@given(st.builds(Rates, *[PROBABILITIES] * 3, *[TIMES] * 5), st.integers(1, 4))
def test_a_device_of_rates_has_their_figures_everywhere(rates: Rates, size: int) -> None:
    device = rates.calibration(size)
    assert device.num_qubits == size
    for gate in device.gates:
        assert rates.gate(gate.name, gate.qubits) == gate
    assert all(device.qubit(index) == rates.qubit(index) for index in range(size))
    assert device.basis_gates == (rates.basis_gates if size > 1 else ("rz", "sx", "x"))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf"), "0.1", True])
def test_rates_that_are_none_are_named(value: object) -> None:
    with pytest.raises(InvalidCalibration, match="rate readout is"):
        Rates.from_dict({"readout": value})


def test_noise_has_a_name_or_a_form() -> None:
    lima = snapshots.load("lima")
    assert noise_named("lima") is not None
    assert noise_from_dict(lima.to_dict()).digest == noise_named(json.dumps(lima.to_dict())).digest == lima.digest
    configuration = {"basis_gates": ["x"]}
    properties = {
        "backend_name": "ibm_one",
        "last_update_date": "2026-01-31T12:00:00Z",
        "qubits": [[{"name": "T1", "unit": "us", "value": 100.0}]],
        "gates": [{"gate": "x", "qubits": [0], "parameters": [{"name": "gate_error", "unit": "", "value": 0.01}]}],
    }
    theirs = noise_from_dict({"configuration": configuration, "properties": properties})
    assert theirs.name == "one"
    assert theirs.qubit(0).t1 == pytest.approx(1e-4)
    with pytest.raises(InvalidCalibration, match="not JSON"):
        noise_from_json("{")
    with pytest.raises(InvalidCalibration, match="must be an object"):
        noise_from_json("[]")


def test_the_documentation_has_a_calibration_that_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs/backends.md").read_text()
    (text,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    calibration = noise_from_json(text)
    assert (calibration.num_qubits, calibration.basis_gates) == (2, ("cz", "rz", "sx"))
    (rates,) = re.findall(r'`(\{"format": "qonverge.io/rates[^`]*)`', page)
    assert noise_from_json(rates) == Rates(two_qubit=0.01)
