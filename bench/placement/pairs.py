"""What each circuit gives on each device by its calibration, simulated and forecast once and kept in a file."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from qiskit import QuantumCircuit

from bench.fidelity.simulate import MOST_WIDE_QUBITS, TooWide, hellinger
from qonverge.circuits.analysis.analysis import analyse
from qonverge.circuits.analysis.canonical import canonical
from qonverge.circuits.error_response.profile_builder import profile
from qonverge.circuits.errors import Unmapped
from qonverge.circuits.mapping.mapped import load_of, schedule
from qonverge.circuits.mapping.mapper import Mapper
from qonverge.devices import Calibration, Layout
from qonverge.forecast.errors import DoesNotFit
from qonverge.forecast.fidelity import EXACT, Forecaster, interval
from qonverge.forecast.intervals import Interval

FORMAT = "qonverge.io/placement-pairs/v1"
KNOWN = Path(__file__).parent / "data" / "pairs.json.gz"


class InvalidInput(ValueError):
    """A file of snapshots, circuits, pairs or arrivals that can't be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A circuit on a device, by its calibration."""

    fidelity: float | None
    """Hellinger fidelity of its simulation there; None: it is too wide to be simulated."""
    seconds: float
    """Duration of one shot, as it is mapped and scheduled there; without the reset."""
    forecast: tuple[float, ...] | None = None
    """Lower bound, middle and upper bound of the fast forecast of fidelity, kept as the operator keeps it; empty: none
    could be made; None: not made yet."""


Pairs = dict[tuple[str, str], Pair | None]
"""By digest of the circuit and of the calibration; None: it does not fit there."""


def digest_of(circuit: QuantumCircuit) -> str:
    """Return what tells circuits apart: SHA-256 of their operations, in hex, 16 digits."""
    text = ";".join(
        f"{item.operation.name}{[format(float(p), '.9g') for p in item.operation.params if isinstance(p, int | float)]}"
        f"{[circuit.find_bit(qubit).index for qubit in item.qubits]}"
        for item in circuit.data
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A circuit, and where it lies."""

    circuit: QuantumCircuit
    layout: tuple[int, ...] | None = None
    """Physical qubit of each of its qubits; None: the best that are found."""

    @property
    def digest(self) -> str:
        """What tells it apart from others."""
        found = digest_of(self.circuit)
        return found if self.layout is None else f"{found}@{','.join(map(str, self.layout))}"


def key(program: Program, device: Calibration) -> tuple[str, str]:
    """Return the pair's key."""
    return program.digest, device.digest[:16]


def completed(
    known: Pairs,
    programs: Mapping[str, Program],
    devices: Sequence[Calibration],
    save: Callable[[Pairs], None] | None = None,
) -> Pairs:
    """Return the pairs with those that were missing, simulated and forecast now; ``save`` is called in between."""
    found = dict(known)
    for device in devices:
        missing = [program for program in programs.values() if key(program, device) not in found]
        for program in missing:
            found[key(program, device)] = simulated(program, device)
        if missing and save is not None:
            print(f"{device.name}: {len(missing)} circuits simulated", file=sys.stderr, flush=True)
            save(found)
    forecaster = Forecaster()
    for name, program in programs.items():
        new = [d for d in devices if (pair := found[key(program, d)]) is not None and pair.forecast is None]
        for device, forecast in zip(new, _forecasts(forecaster, program, new), strict=True):
            pair = found[key(program, device)]
            assert pair is not None
            found[key(program, device)] = replace(pair, forecast=forecast)
        if new and save is not None:
            print(f"{name}: forecast on {len(new)} devices", file=sys.stderr, flush=True)
            save(found)
    return found


def without_forecasts(pairs: Pairs) -> Pairs:
    """Return the pairs with forecasts still to be made, as after a change of the forecaster."""
    return {key: None if pair is None else replace(pair, forecast=None) for key, pair in pairs.items()}


def _forecasts(forecaster: Forecaster, program: Program, devices: Sequence[Calibration]) -> list[tuple[float, ...]]:
    if not devices:
        return []
    plain = canonical(program.circuit)
    found = profile(plain, analyse(plain), {})
    if found is None:
        return [()] * len(devices)
    made: Sequence[Interval | DoesNotFit]
    if program.layout is None:
        made = forecaster.estimate(found, devices)
    else:
        # A quick search for places would not know of the given ones.
        ones = dict(found.ones)
        loads = (load_of(_mapped(program, device), device, ones) for device in devices)
        made = [interval(found, load, EXACT) for load in loads]
    return [() if isinstance(f, DoesNotFit) else (round(f.low, 5), round(f.mid, 5), round(f.high, 5)) for f in made]


def simulated(program: Program, device: Calibration) -> Pair | None:
    """Return what the program gives on the device; None where it does not fit."""
    if max((program.circuit.num_qubits - 1, *(program.layout or ()))) >= len(device.qubits):
        return None
    try:
        mapped = _mapped(program, device)
    except Unmapped:
        return None
    try:
        fidelity = round(hellinger(mapped, device, MOST_WIDE_QUBITS), 6)
    except TooWide:
        fidelity = None
    return Pair(fidelity, float(f"{schedule(mapped, device)[1]:.4g}"))


def _mapped(program: Program, device: Calibration) -> QuantumCircuit:
    layout = None if program.layout is None else Layout(tuple(program.layout))
    return Mapper(device).map(program.circuit, layout).circuit


def read(path: Path) -> Pairs:
    """Return the pairs in a file.

    Raises:
        InvalidInput: it is no such file.
    """
    try:
        data: Any = json.loads(gzip.decompress(path.read_bytes()))
        if data["format"] != FORMAT:
            raise InvalidInput(f"{path}: format is {data['format']!r}, not {FORMAT}")
        return {(c, d): _pair(got) for c, rows in data["pairs"].items() for d, got in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path} has no pairs: {error}") from error


def write(path: Path, pairs: Pairs) -> None:
    """Write the pairs, sorted, so that equal pairs are equal bytes."""
    rows: dict[str, list[Any]] = {}
    for (circuit, device), pair in sorted(pairs.items()):
        rows.setdefault(circuit, []).append([device, None if pair is None else astuple(pair)])
    text = json.dumps({"format": FORMAT, "pairs": rows}, separators=(",", ":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _pair(got: list[Any] | None) -> Pair | None:
    if got is None:
        return None
    fidelity, seconds, forecast = (*got, None)[:3]
    return Pair(fidelity, seconds, None if forecast is None else tuple(forecast))
