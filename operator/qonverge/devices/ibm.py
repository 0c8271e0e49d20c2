"""Calibrations from IBM's own forms: a backend's ``properties``, as published, and its ``configuration`` where given.

Both are as ``backend.properties().to_dict()`` gives them, as the REST interface and the fake backends of
qiskit-ibm-runtime have them (``props_NAME.json``, ``conf_NAME.json``), and so as data sets of daily properties do.

``python -m qonverge.devices.ibm FOLDER OUT`` reads ``conf_*.json`` and ``props_*.json`` below a folder.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qonverge.devices.calibration import MAX_QUBITS, Calibration, Gate, InvalidCalibration, Qubit

# The micro sign and the Greek letter look alike, and both are written.
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "\N{MICRO SIGN}s": 1e-6, "\N{GREEK SMALL LETTER MU}s": 1e-6, "ns": 1e-9}
_UNITS |= {"ps": 1e-12, "": 1.0}
# Not gates of a program: a second kind of measurement and of reset.
_LEFT_OUT = frozenset(("measure", "measure_2", "reset_2", "delay"))
# Gates that qiskit-ibm-runtime leaves out too unless fractional gates are asked for.
_FRACTIONAL = frozenset(("rx", "rzz"))
_OF_QUBITS = frozenset(
    ("T1", "T2", "readout_error", "prob_meas0_prep1", "prob_meas1_prep0", "readout_length", "operational")
)
_DIGITS = 5


def is_properties(data: Mapping[str, Any]) -> bool:
    """Return whether an object looks like the properties of a backend."""
    return isinstance(data.get("qubits"), Sequence) and isinstance(data.get("gates"), Sequence) and "format" not in data


def from_properties(
    properties: Mapping[str, Any], configuration: Mapping[str, Any] | None = None, source: str = "IBM's properties"
) -> Calibration:
    """Return the calibration in the properties of a backend.

    What is missing, NaN or below 0 was not measured. Out of order (an error of 1) is a gate whose error is 1 or more,
    one that is marked as not operational, one on a qubit that is so marked, and one on several qubits without an error.

    Args:
        properties: the backend's properties.
        configuration: says which gates and couplings there are. Without it they are those of the properties, but for
            fractional gates.
        source: said in the calibration.

    Raises:
        InvalidCalibration: when they are not of IBM's form.
    """
    try:
        values = [_named(parameters, _OF_QUBITS) for parameters in properties["qubits"]]
        broken = {index for index, given in enumerate(values) if given.get("operational") == 0}
        if not 0 < len(values) <= MAX_QUBITS:
            raise ValueError(f"{len(values)} qubits")
        gates = [_gate(item, broken, len(values)) for item in properties["gates"] if item["gate"] not in _LEFT_OUT]
        name = str(properties.get("backend_name") or "unnamed")
        measured_at = _time(properties.get("last_update_date"))
        basis = _basis({gate.name for gate in gates}, configuration)
        couplings = _couplings(configuration)
        # In nanoseconds, and missing where the device's pulses were not told.
        dt = float((configuration or {}).get("dt") or 0.0) * 1e-9
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidCalibration(f"these are no properties of an IBM backend: {error!r}") from None
    kept = [g for g in gates if g.name in basis and (couplings is None or len(g.qubits) != 2 or g.qubits in couplings)]
    return Calibration(
        name.removeprefix("ibmq_").removeprefix("ibm_").removeprefix("fake_"),
        tuple(map(_qubit, values)),
        tuple(sorted(kept, key=lambda gate: (gate.name, gate.qubits))),
        measured_at,
        source,
        float(f"{dt:.12g}") or None,
    )


def _named(parameters: Iterable[Mapping[str, Any]], wanted: Iterable[str]) -> dict[str, float]:
    """Return the values that were measured, in seconds or without unit."""
    # Frequencies and the like have units of their own, and are not wanted.
    given = ((str(item["name"]), _value(item)) for item in parameters if item["name"] in wanted)
    return {name: value for name, value in given if value is not None}


def _qubit(given: Mapping[str, float]) -> Qubit:
    mean = given.get("readout_error")
    return Qubit(
        # A lifetime of nothing is no figure.
        given.get("T1") or None,
        given.get("T2") or None,
        _probability(given.get("prob_meas0_prep1", mean)),
        _probability(given.get("prob_meas1_prep0", mean)),
        given.get("readout_length"),
    )


def _gate(item: Mapping[str, Any], broken: set[int], size: int) -> Gate:
    given = _named(item["parameters"], ("gate_error", "gate_length", "operational"))
    qubits = tuple(int(qubit) for qubit in item["qubits"])
    if not qubits or len(set(qubits)) < len(qubits) or not all(0 <= qubit < size for qubit in qubits):
        raise ValueError(f"the gate {item['gate']} acts on {list(qubits)} of {size} qubits")
    gate = Gate(str(item["gate"]), qubits, _probability(given.get("gate_error")), given.get("gate_length"))
    faulty = given.get("operational") == 0 or not broken.isdisjoint(qubits)
    return replace(gate, error=1.0) if faulty or (gate.error is None and len(qubits) > 1) else gate


def _basis(names: set[str], configuration: Mapping[str, Any] | None) -> set[str]:
    if configuration is not None:
        return {*configuration["basis_gates"], "reset"}
    return names - _FRACTIONAL


def _couplings(configuration: Mapping[str, Any] | None) -> set[tuple[int, ...]] | None:
    given = None if configuration is None else configuration.get("coupling_map")
    return None if given is None else {tuple(int(qubit) for qubit in pair) for pair in given}


def _value(item: Mapping[str, Any]) -> float | None:
    if item.get("value") is None:
        return None
    value = float(item["value"]) * _UNITS[str(item.get("unit") or "")]
    return float(f"{value:.{_DIGITS}g}") if 0 <= value < math.inf else None


def _probability(value: float | None) -> float | None:
    return None if value is None else min(1.0, value)


def _time(given: Any) -> float | None:
    """Return Unix seconds of a time, which is UTC where it names no zone."""
    if given is None:
        return None
    time = datetime.fromisoformat(str(given))
    return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()


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
        calibration = from_properties(json.loads(file.read_text()), configuration, options.source)
        text = json.dumps({**calibration.to_dict(), "name": name}, separators=(",", ":"))
        # No time in the archive: the same input gives the same file.
        (options.out / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
