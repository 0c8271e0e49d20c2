"""Calibrations from IBM's own form: a backend's ``configuration`` and ``properties``, as qiskit-ibm-runtime saves them.

``python -m qonverge.devices.ibm FOLDER OUT`` reads ``conf_*.json`` and ``props_*.json`` below a folder.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from qonverge.devices.calibration import Calibration, Gate, InvalidCalibration, Qubit

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "": 1.0}
# Not gates of a program: a second kind of measurement and of reset.
_LEFT_OUT = frozenset(("measure", "measure_2", "reset_2"))
_OF_QUBITS = frozenset(("T1", "T2", "readout_error", "prob_meas0_prep1", "prob_meas1_prep0", "readout_length"))
_DIGITS = 5


def from_properties(configuration: Mapping[str, Any], properties: Mapping[str, Any], source: str = "") -> Calibration:
    """Return the calibration in the properties of a backend.

    An error of 1, which IBM gives to what was out of order, stays.

    Raises:
        InvalidCalibration: when they are not of IBM's form.
    """
    try:
        qubits = tuple(_qubit(values) for values in properties["qubits"])
        gates = [_gate(item) for item in properties["gates"] if item["gate"] not in _LEFT_OUT]
        name = str(properties["backend_name"]).removeprefix("ibmq_").removeprefix("ibm_").removeprefix("fake_")
        measured_at = datetime.fromisoformat(str(properties["last_update_date"])).timestamp()
        basis = set(configuration["basis_gates"]) | {"reset"}
        # In nanoseconds, and missing where the device's pulses were not told.
        dt = float(configuration.get("dt") or 0.0) * 1e-9
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidCalibration(f"these are no properties of an IBM backend: {error!r}") from None
    kept = tuple(sorted((g for g in gates if g.name in basis), key=lambda g: (g.name, g.qubits)))
    return Calibration(name, qubits, kept, measured_at, source, float(f"{dt:.12g}") or None)


def _qubit(values: Sequence[Mapping[str, Any]]) -> Qubit:
    # Frequencies and the like have units of their own, and are not wanted.
    given = {str(item["name"]): _value(item) for item in values if item["name"] in _OF_QUBITS}
    mean = given.get("readout_error")
    return Qubit(
        given.get("T1"),
        given.get("T2"),
        _probability(given.get("prob_meas0_prep1", mean)),
        _probability(given.get("prob_meas1_prep0", mean)),
        given.get("readout_length"),
    )


def _gate(item: Mapping[str, Any]) -> Gate:
    given = {str(parameter["name"]): _value(parameter) for parameter in item["parameters"]}
    qubits = tuple(int(qubit) for qubit in item["qubits"])
    return Gate(str(item["gate"]), qubits, _probability(given.get("gate_error")), given.get("gate_length"))


def _value(item: Mapping[str, Any]) -> float:
    value = float(item["value"]) * _UNITS[str(item.get("unit", ""))]
    return float(f"{value:.{_DIGITS}g}")


def _probability(value: float | None) -> float | None:
    return None if value is None else min(1.0, max(0.0, value))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a calibration for each backend that is found."""
    parser = argparse.ArgumentParser(prog="qonverge.devices.ibm", description="Write calibrations of IBM's backends.")
    parser.add_argument("folder", type=Path, help="holds conf_NAME.json and props_NAME.json, at any depth")
    parser.add_argument("out", type=Path, help="gets NAME.json.gz for each")
    parser.add_argument("--source", default="IBM Quantum", help="said in each calibration")
    options = parser.parse_args(arguments)
    for file in sorted(options.folder.rglob("props_*.json")):
        name = file.stem.removeprefix("props_")
        beside = file.parent / f"conf_{name}.json"
        if not beside.exists():
            continue  # a second set of figures of the same device
        configuration = json.loads(beside.read_text())
        calibration = from_properties(configuration, json.loads(file.read_text()), options.source)
        text = json.dumps({**calibration.to_dict(), "name": name}, separators=(",", ":"))
        # No time in the archive: the same input gives the same file.
        (options.out / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
