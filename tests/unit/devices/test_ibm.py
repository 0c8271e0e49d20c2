"""IBM's own files as calibrations: as they are published, and with what is missing or broken in them."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from qonverge.devices import Calibration, InvalidCalibration, snapshots
from qonverge.devices.noise import MAX_BYTES, Noise, noise_from_data, noise_from_dict, noise_from_json

FAKES = Path(str(resources.files("qiskit_ibm_runtime"))) / "fake_provider" / "backends"


def value(name: str, number: Any, unit: str = "") -> dict[str, Any]:
    return {"date": "2026-01-31T06:06:31+01:00", "name": name, "unit": unit, "value": number}


def qubit(*more: dict[str, Any], t1: Any = 150.0) -> list[dict[str, Any]]:
    figures = [value("T1", t1, "us"), value("T2", 0.09, "ms"), value("frequency", 5.1, "GHz")]
    return [*figures, value("prob_meas0_prep1", 0.03), value("prob_meas1_prep0", 0.01), *more]


def gate(name: str, places: list[int], *parameters: dict[str, Any]) -> dict[str, Any]:
    return {"gate": name, "name": f"{name}{places}", "qubits": places, "parameters": list(parameters)}


def cx(a: int, b: int, error: Any = 0.01, *more: dict[str, Any]) -> dict[str, Any]:
    return gate("cx", [a, b], value("gate_error", error), value("gate_length", 300, "ns"), *more)


def properties(qubits: list[Any], gates: list[Any], **more: Any) -> dict[str, Any]:
    """Return a device whose qubits all have rz and sx."""
    singles = [gate("sx", [q], value("gate_error", 3e-4), value("gate_length", 35, "ns")) for q in range(len(qubits))]
    frames = [gate("rz", [q], value("gate_error", 0), value("gate_length", 0, "ns")) for q in range(len(qubits))]
    return {
        "backend_name": "ibm_street",
        "backend_version": "1.1.38",
        "last_update_date": "2026-01-31T08:40:00+01:00",
        "qubits": qubits,
        "gates": [*singles, *frames, *gates],
        "general": [value("jq_01", 0.001, "GHz")],
        **more,
    }


def read(data: dict[str, Any]) -> Calibration:
    found: Noise = noise_from_dict(data)
    assert isinstance(found, Calibration)
    return found


@pytest.mark.parametrize("name", ["perth", "torino", "kyoto", "poughkeepsie", "cairo"])
def test_a_published_file_is_read_as_it_is(name: str) -> None:
    data = (FAKES / name / f"props_{name}.json").read_bytes()
    snapshot = snapshots.load(name)
    for found in (noise_from_data(data), noise_from_data(gzip.compress(data))):
        assert found.digest == replace(snapshot, dt=None).digest, "the step of the clock is in the configuration"
        assert found.measured_at == snapshot.measured_at
        assert found.name.endswith(name)
    configuration = json.loads((FAKES / name / f"conf_{name}.json").read_text())
    assert noise_from_dict({"configuration": configuration, "properties": json.loads(data)}).digest == snapshot.digest


def test_what_the_client_library_gives_is_read_as_it_is() -> None:
    from qiskit_ibm_runtime.fake_provider import FakePerth

    found = FakePerth().properties().to_dict()
    assert not isinstance(found["last_update_date"], str)
    assert read(found).digest == replace(snapshots.load("perth"), dt=None).digest


def test_units_are_seconds() -> None:
    micro = [value("T1", 150, "\N{MICRO SIGN}s"), value("T2", 90, "\N{GREEK SMALL LETTER MU}s")]
    found = read(properties([qubit(value("readout_length", 700, "ns")), micro], [cx(0, 1)]))
    first, second = found.qubits
    assert (first.t1, first.t2, first.readout_seconds) == pytest.approx((150e-6, 90e-6, 700e-9))
    assert (second.t1, second.t2) == pytest.approx((150e-6, 90e-6))
    coupling = found.gate("cx", (0, 1))
    assert coupling is not None
    assert coupling.seconds == pytest.approx(300e-9)
    assert found.measured_at == pytest.approx(1769845200)


@pytest.mark.parametrize("nothing", [None, math.nan, -1.0, 0])
def test_a_lifetime_that_was_not_measured_is_none(nothing: Any) -> None:
    found = read(properties([qubit(t1=nothing), qubit()], [cx(0, 1)]))
    assert found.qubits[0].t1 is None
    assert found.qubits[1].t1 == pytest.approx(150e-6)


def test_a_file_in_which_python_wrote_nan_is_read() -> None:
    text = json.dumps(properties([qubit(t1=math.nan), qubit()], [cx(0, 1, math.nan)]))
    assert "NaN" in text
    found = noise_from_data(text.encode())
    assert isinstance(found, Calibration)
    assert (found.qubits[0].t1, found.couplings) == (None, ())


def test_a_readout_that_was_not_measured_counts_as_the_median() -> None:
    found = read(properties([qubit(), [value("T1", 150, "us")], [value("readout_error", 0.08)]], [cx(0, 1), cx(1, 2)]))
    assert found.qubits[1].readout_error is None
    assert found.misreading(0) == (0.03, 0.01)
    assert found.misreading(2) == (0.08, 0.08)
    assert found.misreading(1) == pytest.approx((0.05, 0.05))


@pytest.mark.parametrize(
    "dead",
    [
        cx(1, 2, 1),
        cx(1, 2, 1.0),
        cx(1, 2, 7.5),
        cx(1, 2, math.nan),
        cx(1, 2, None),
        gate("cx", [1, 2], value("gate_length", 300, "ns")),
        cx(1, 2, 0.01, value("operational", 0)),
    ],
)
def test_a_dead_coupling_is_none(dead: dict[str, Any]) -> None:
    found = read(properties([qubit()] * 4, [cx(0, 1), dead, cx(2, 3), cx(3, 2)]))
    assert found.couplings == ((0, 1), (2, 3), (3, 2))
    assert (1, 2) in found.built
    assert found.parts == ((0, 1), (2, 3))
    # What does not work says nothing of what does.
    assert found.median_error(2) == 0.01


def test_a_qubit_that_is_not_operational_takes_its_gates_along() -> None:
    found = read(
        properties([qubit(), qubit(value("operational", 0)), qubit(), qubit()], [cx(0, 1), cx(1, 2), cx(2, 3)])
    )
    assert found.parts == ((2, 3), (0,))


def test_a_qubit_without_pulse_is_in_no_part() -> None:
    dead = gate("sx", [1], value("gate_error", 1))
    given = properties([qubit()] * 3, [cx(0, 1), cx(1, 2)])
    given["gates"] = [item for item in given["gates"] if (item["gate"], item["qubits"]) != ("sx", [1])] + [dead]
    assert read(given).parts == ((0,), (2,))


def test_fractional_gates_are_taken_only_where_the_configuration_has_them() -> None:
    given = properties([qubit()] * 2, [cx(0, 1), gate("rzz", [0, 1], value("gate_error", 0.005)), gate("measure", [0])])
    given["gates"][-1]["parameters"] = []
    assert read(given).basis_gates == ("cx", "rz", "sx")
    configuration = {"basis_gates": ["cx", "rz", "sx", "rzz"], "coupling_map": [[0, 1]]}
    assert read({"configuration": configuration, "properties": given}).basis_gates == ("cx", "rz", "rzz", "sx")


def test_a_coupling_that_the_configuration_lacks_is_none() -> None:
    given = properties([qubit()] * 3, [cx(0, 1), cx(1, 2)])
    configuration = {"basis_gates": ["cx", "rz", "sx"], "coupling_map": [[0, 1]], "dt": 0.22}
    assert read({"configuration": configuration, "properties": given}).couplings == ((0, 1),)


def test_a_time_without_zone_is_utc() -> None:
    found = read(properties([qubit()], [], last_update_date="2026-01-31T08:40:00"))
    assert found.measured_at == 1769848800


@pytest.mark.parametrize(
    "wrong",
    [
        {"qubits": [[{"name": "T1", "unit": "us", "value": "long"}]]},
        {"qubits": [[{"name": "T1", "unit": "years", "value": 1}]]},
        {"qubits": []},
        {"gates": [{"gate": "cx", "qubits": [0, 9], "parameters": []}]},
        {"gates": [{"gate": "cx", "parameters": []}]},
        {"last_update_date": "yesterday"},
    ],
)
def test_what_is_of_no_known_form_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidCalibration, match="no properties of an IBM backend"):
        noise_from_dict({**properties([qubit()] * 2, [cx(0, 1)]), **wrong})


def test_files_that_are_damaged_are_refused() -> None:
    good = gzip.compress(json.dumps(snapshots.load("lima").to_dict()).encode())
    assert noise_from_data(good) == snapshots.load("lima")
    with pytest.raises(InvalidCalibration, match="its end is missing"):
        noise_from_data(good[:-20])
    with pytest.raises(InvalidCalibration, match="gzip says"):
        noise_from_data(good[:20] + b"\0" * 200)
    with pytest.raises(InvalidCalibration, match="more than 64 MiB"):
        noise_from_data(gzip.compress(b" " * (MAX_BYTES + 1)))
    with pytest.raises(InvalidCalibration, match="neither UTF-8 nor"):
        noise_from_data(b"\xff\xfe{}")
    assert noise_from_data(b'\xef\xbb\xbf{"format": "qonverge.io/rates/v1"}') == noise_from_json(
        '{"format": "qonverge.io/rates/v1"}'
    )
