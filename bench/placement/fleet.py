"""Devices and circuits of a comparison: what is forecast of each pair, and what is true of it."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from bench.fidelity.circuits import cases
from bench.fidelity.study import half
from bench.placement import pairs
from bench.placement.pairs import InvalidInput, Pair, Pairs, Program
from qonverge.circuits.analysis.analysis import analyse
from qonverge.circuits.analysis.canonical import canonical
from qonverge.circuits.error_response.ideal import Ideal
from qonverge.circuits.error_response.profile_builder import profile
from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.qasm.parse import parse_openqasm
from qonverge.devices import Calibration, InvalidCalibration, snapshots
from qonverge.forecast.features import Work

Floats = NDArray[np.float64]

LEAST_QUBITS = 16
"""Smaller devices of the snapshots were retired long ago."""
MOST_ERROR = 0.012
"""Of gates on two qubits, the median: worse devices of the snapshots are older still, or were broken that day."""
_OF_OTHERS = ("rainbow", "weber", "willow_pink")
"""Google's snapshots, which came after the study."""
_MOST_BITS = 12
"""Counts of wider circuits are too thin to show a fidelity."""


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
    errors: Floats
    """(2, B): median errors of gates on two qubits and of measurements by the calibration; NaN where not known."""
    later: tuple[tuple[float, Fleet], ...] = ()
    """What calibrations say from some second on, in order of time."""

    @property
    def fits(self) -> NDArray[np.bool_]:
        """(C, B): whether the circuit can run there."""
        return np.isfinite(self.true)

    def at(self, seconds: float) -> Fleet:
        """Return the fleet by the calibrations of that time."""
        return next((fleet for since, fleet in reversed(self.later) if since <= seconds), self)

    def first(self, count: int) -> Fleet:
        """Return the fleet of the first devices, with the circuits that fit on one of them."""
        return self._part(list(range(count)))

    def usable(self) -> Fleet:
        """Return the fleet without circuits that fit on no device, and without devices on which none does."""
        return self._part(np.flatnonzero(self.fits.any(axis=0)).tolist())

    def _part(self, columns: list[int]) -> Fleet:
        return self._cut(np.flatnonzero(self.fits[:, columns].any(axis=1)).tolist(), columns)

    def _cut(self, rows: list[int], columns: list[int]) -> Fleet:
        pairs = np.ix_(rows, columns)
        return Fleet(
            tuple(self.circuits[row] for row in rows),
            tuple(self.devices[column] for column in columns),
            tuple(self.widths[row] for row in rows),
            tuple(self.works[row] for row in rows),
            self.quality[columns],
            self.true[pairs],
            self.shot_seconds[pairs],
            np.stack([side[pairs] for side in self.forecast]),
            tuple(self.ideals[row] for row in rows),
            self.errors[:, columns],
            tuple((since, fleet._cut(rows, columns)) for since, fleet in self.later),
        )


def known_circuits(part: str | None = None) -> dict[str, QuantumCircuit]:
    """Return the circuits of the fidelity study, or those of one half; a family is in one half as a whole."""
    return {case.name: case.circuit for case in cases() if part in (None, half(case.family))}


def known_devices(part: str | None = None) -> list[Calibration]:
    """Return the snapshots of IBM's devices that someone would still run jobs on, or those of one half."""
    names = (name for name in snapshots.names() if name not in _OF_OTHERS and part in (None, half(name)))
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
    programs: Mapping[str, Program],
    devices: Sequence[Calibration],
    known: Pairs,
    save: Callable[[Pairs], None] | None = None,
    fidelities: Mapping[str, Mapping[str, float]] | None = None,
) -> Fleet:
    """Return the fleet; pairs that are not known are simulated now, and given to ``save``.

    ``fidelities`` are truths by program and device that are given instead of simulated.
    """
    done = pairs.completed(known, programs, devices, save)
    got = [[done[pairs.key(program, device)] for device in devices] for program in programs.values()]
    figures = np.array([[_figures(pair) for pair in row] for row in got])
    true, forecast = figures[..., 0], np.moveaxis(figures[..., 2:], 2, 0)
    for row, name in enumerate(programs):
        for column, device in enumerate(devices):
            true[row, column] = (fidelities or {}).get(name, {}).get(device.name, true[row, column])
    # Without a forecast or a duration it can't be placed.
    true = np.where(np.isfinite(figures[..., 1:]).all(axis=2), true, np.nan)
    circuits = [program.circuit for program in programs.values()]
    return Fleet(
        tuple(programs),
        tuple(device.name for device in devices),
        tuple(circuit.num_qubits for circuit in circuits),
        tuple(Work.of(analyse(circuit), 1) for circuit in circuits),
        np.array([quality(device) for device in devices]),
        true,
        figures[..., 1],
        forecast,
        tuple(_ideal(circuit) for circuit in circuits),
        np.array([[_known(device.median_error(2)), _known(device.median_readout_error)] for device in devices]).T,
    )


def with_series(fleet: Fleet, later: Sequence[tuple[float, Fleet]]) -> Fleet:
    """Return the fleet as calibrations change it; a program fits where it does all the time."""
    fits = np.logical_and.reduce([each.fits for each in (fleet, *(each for _, each in later))])
    parts = [replace(each, true=np.where(fits, each.true, np.nan)) for each in (fleet, *(each for _, each in later))]
    return replace(parts[0], later=tuple(zip([since for since, _ in later], parts[1:], strict=True)))


def _known(error: float | None) -> float:
    return np.nan if error is None else error


def _ideal(circuit: QuantumCircuit) -> Ideal | None:
    if circuit.num_clbits > _MOST_BITS:
        return None
    plain = canonical(circuit)
    made = profile(plain, analyse(plain), {})
    return None if made is None else made.response.ideal


def _figures(pair: Pair | None) -> tuple[float, ...]:
    if pair is None or not pair.forecast:
        return (np.nan,) * 5
    return (np.nan if pair.fidelity is None else pair.fidelity, pair.seconds, *pair.forecast)


def quality(device: Calibration) -> float:
    """Return a device's average calibration: the geometric mean of one less its median errors."""
    gate, readout = device.median_error(2) or 0.0, device.median_readout_error or 0.0
    return float(np.sqrt((1 - gate) * (1 - readout)))
