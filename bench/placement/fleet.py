"""Devices and circuits of a comparison: what is forecast of each pair, and what is true of it."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from bench.fidelity.circuits import cases
from bench.fidelity.study import half
from bench.placement import pairs
from bench.placement.pairs import InvalidInput, Pair, Pairs
from qonverge.circuits.analysis import analyse
from qonverge.circuits.canonical import canonical
from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.ideal import Ideal
from qonverge.circuits.parse import parse_openqasm
from qonverge.circuits.profiling import profile
from qonverge.devices import Calibration, InvalidCalibration, snapshots
from qonverge.forecast.learning_work import Work

Floats = NDArray[np.float64]

LEAST_QUBITS = 16
"""Smaller devices of the snapshots were retired long ago."""
MOST_ERROR = 0.012
"""Of gates on two qubits, the median: worse devices of the snapshots are older still, or were broken that day."""


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """C circuits on B devices; what does not fit is NaN."""

    circuits: tuple[str, ...]
    devices: tuple[str, ...]
    widths: tuple[int, ...]
    """Qubits of each circuit."""
    works: tuple[Work, ...]
    """Each circuit with one shot."""
    quality: Floats
    """(B,): see ``quality``."""
    true: Floats
    """(C, B): Hellinger fidelity, simulated by the calibration."""
    shot_seconds: Floats
    """(C, B)"""
    forecast: Floats
    """(3, C, B): lower bound, middle and upper bound of the fast forecast of fidelity by the calibration."""
    ideals: tuple[Ideal | None, ...]
    """Outcomes of each circuit without errors; None where its counts can't be compared with them."""

    @property
    def fits(self) -> NDArray[np.bool_]:
        """(C, B): whether the circuit can run there."""
        return np.isfinite(self.true)

    def first(self, count: int) -> Fleet:
        """Return the fleet of the first devices, with the circuits that fit on one of them."""
        rows = np.flatnonzero(self.fits[:, :count].any(axis=1)).tolist()
        return Fleet(
            tuple(self.circuits[row] for row in rows),
            self.devices[:count],
            tuple(self.widths[row] for row in rows),
            tuple(self.works[row] for row in rows),
            self.quality[:count],
            self.true[rows, :count],
            self.shot_seconds[rows, :count],
            self.forecast[:, rows, :count],
            tuple(self.ideals[row] for row in rows),
        )


def known_circuits(part: str | None = None) -> dict[str, QuantumCircuit]:
    """Return the circuits of the fidelity study, or those of one half; a family is in one half as a whole."""
    return {case.name: case.circuit for case in cases() if part in (None, half(case.family))}


def known_devices(part: str | None = None) -> list[Calibration]:
    """Return the snapshots of devices that someone would still run jobs on, or those of one half."""
    names = (name for name in snapshots.names() if part in (None, half(name)))
    return [device for device in map(snapshots.load, names) if _usable(device)]


def _usable(device: Calibration) -> bool:
    error = device.median_error(2)
    return len(device.qubits) >= LEAST_QUBITS and error is not None and error <= MOST_ERROR


def read_devices(folder: Path) -> list[Calibration]:
    """Return the calibrations in a folder of ``.json`` and ``.json.gz`` files.

    Raises:
        InvalidInput: one of them is none, or there is none.
    """
    found = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.json.gz")]):
        try:
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            found.append(Calibration.from_json(data.decode()))
        except (OSError, UnicodeDecodeError, InvalidCalibration) as error:
            raise InvalidInput(f"{path}: {error}") from error
    if not found:
        raise InvalidInput(f"{folder} has no calibration: files that end in .json or .json.gz")
    return found


def read_circuits(folder: Path) -> dict[str, QuantumCircuit]:
    """Return the circuits in a folder of ``.qasm`` files, by file name.

    Raises:
        InvalidInput: one of them is none, or there is none.
    """
    found = {}
    for path in sorted(folder.glob("*.qasm")):
        try:
            found[path.stem] = parse_openqasm(path.read_text()).circuit
        except (OSError, UnicodeDecodeError, InvalidProgram) as error:
            raise InvalidInput(f"{path}: {error}") from error
    if not found:
        raise InvalidInput(f"{folder} has no circuit: files that end in .qasm")
    return found


def assemble(
    circuits: Mapping[str, QuantumCircuit],
    devices: Sequence[Calibration],
    known: Pairs,
    save: Callable[[Pairs], None] | None = None,
) -> Fleet:
    """Return the fleet; pairs that are not known are simulated now, and given to ``save``.

    Circuits that fit on no device, and devices on which none does, are left out.
    """
    done = pairs.completed(known, circuits, devices, save)
    got = [[done[pairs.key(circuit, device)] for device in devices] for circuit in circuits.values()]
    figures = np.array([[_figures(pair) for pair in row] for row in got])
    rows, columns = (np.isfinite(figures[..., 0]).any(axis=axis) for axis in (1, 0))
    kept = figures[rows][:, columns]
    return Fleet(
        tuple(name for name, use in zip(circuits, rows, strict=True) if use),
        tuple(device.name for device, use in zip(devices, columns, strict=True) if use),
        tuple(circuit.num_qubits for circuit, use in zip(circuits.values(), rows, strict=True) if use),
        tuple(Work.of(analyse(circuit), 1) for circuit, use in zip(circuits.values(), rows, strict=True) if use),
        np.array([quality(device) for device, use in zip(devices, columns, strict=True) if use]),
        kept[..., 0],
        kept[..., 1],
        np.moveaxis(kept[..., 2:], 2, 0),
        tuple(_ideal(circuit) for circuit, use in zip(circuits.values(), rows, strict=True) if use),
    )


def _ideal(circuit: QuantumCircuit) -> Ideal | None:
    plain = canonical(circuit)
    made = profile(plain, analyse(plain), {})
    return None if made is None else made.response.ideal


def _figures(pair: Pair | None) -> tuple[float, ...]:
    return (np.nan,) * 5 if pair is None or not pair.forecast else (pair.fidelity, pair.seconds, *pair.forecast)


def quality(device: Calibration) -> float:
    """Return a device's average calibration: the geometric mean of one less its median errors."""
    gate, readout = device.median_error(2) or 0.0, device.median_readout_error or 0.0
    return float(np.sqrt((1 - gate) * (1 - readout)))
