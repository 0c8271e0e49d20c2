"""What a simulated device does wrong: read from a snapshot, a calibration or plain rates, for every engine alike."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qonverge.backend.config import EngineConfig

_SNAPSHOTS = resources.files("qonverge.backend") / "snapshots"
# A gate whose average infidelity is this large leaves nothing of the state: (d - 1) / d for dimension d.
_WORST = {1: 0.5, 2: 0.75}


@dataclass(frozen=True, slots=True)
class GateNoise:
    """A gate at one place of a device."""

    name: str
    """As in Qiskit's standard gates, such as cz."""
    qubits: tuple[int, ...]
    error: float
    """Average infidelity of the whole gate, relaxation during it included; 0 where none is given."""
    seconds: float
    """Duration; 0 where none is given."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Errors of a device, or uniform rates.

    Probabilities of a Pauli error: one of X, Y, Z (of the 15 pairs but II) hits, each as likely as the others, as in
    Stim's DEPOLARIZE1 and DEPOLARIZE2 and Braket's Depolarizing. Qiskit's ``depolarizing_error`` counts differently.
    """

    source: str
    """Where the figures come from, for the result."""
    num_qubits: int | None = None
    """Qubits of the device; None: any number, and any gate anywhere."""
    gates: tuple[GateNoise, ...] = ()
    """Every gate at every place that the device has; empty for uniform rates."""
    one_qubit: float = 0.0
    """Uniform rates: probability of a Pauli error after each gate on one qubit."""
    two_qubit: float = 0.0
    """Uniform rates: probability of a Pauli error after each gate on two qubits; gates on more are decomposed."""
    reset: float = 0.0
    """Uniform rates: probability that a reset leaves 1."""
    readout: tuple[tuple[float, float], ...] = ()
    """Probabilities (1 is read for 0, 0 is read for 1): one pair for each qubit of a device, else one for all or none.
    What is read wrong does not change the state."""
    t1: tuple[float | None, ...] = ()
    """Seconds: one for each qubit of a device, else one for all or none. None: no relaxation."""
    t2: tuple[float | None, ...] = ()
    """Seconds, as ``t1`` and never above its double."""
    one_qubit_seconds: float = 0.0
    """Uniform rates: duration of gates on one qubit, in which it relaxes besides the Pauli errors."""
    two_qubit_seconds: float = 0.0
    readout_seconds: tuple[float | None, ...] = ()
    """Duration of a measurement for each qubit of a device."""

    def target(self) -> dict[str, Any] | None:
        """Return the device in the form of ``Provider.target``; None for uniform rates."""
        if self.num_qubits is None:
            return None
        gates: list[list[Any]] = [[g.name, list(g.qubits), g.error, g.seconds or None] for g in self.gates]
        for qubit, (one, zero) in enumerate(self.readout):
            gates.append(["measure", [qubit], (one + zero) / 2, self.readout_seconds[qubit]])
        return {
            "num_qubits": self.num_qubits,
            "gates": gates,
            "qubits": [list(times) for times in zip(self.t1, self.t2, strict=True)],
        }


def load(config: EngineConfig) -> Noise | None:
    """Return the noise that the configuration asks for, or None.

    ``config.noise`` is ``{"device": name}``, ``{"calibration": document}`` or ``{"rates": {...}}``, as in the API.

    Raises:
        ValueError: there is no such device, or a figure is missing or out of range; the message says which.
    """
    if config.noise is None:
        return None
    ((kind, given),) = config.noise.items()
    if kind == "device":
        return _calibrated(_snapshot(given), f"the snapshot {given}")
    if kind == "calibration":
        return _calibrated(given, "the calibration")
    return _uniform(given)


def devices() -> tuple[str, ...]:
    """Return the names of the snapshots."""
    names = (entry.name for entry in _SNAPSHOTS.iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in names if name.endswith(".json")))


def _snapshot(name: str) -> Any:
    if name not in devices():
        raise ValueError(f"noise.device: no snapshot is called {name!r}; there are {', '.join(devices())}")
    return json.loads((_SNAPSHOTS / f"{name}.json").read_text(encoding="utf-8"))


def _calibrated(document: Any, what: str) -> Noise:
    """Return the noise of a device from its document, see docs/backends.md."""
    if not isinstance(document, Mapping) or not all(
        isinstance(document.get(name), list) and document[name] for name in ("qubits", "gates")
    ):
        raise ValueError(f"{what}: needs the lists qubits and gates, neither of them empty")
    qubits = [_entry(item, f"{what}: qubits[{index}]") for index, item in enumerate(document["qubits"])]
    t1 = tuple(_seconds(item, "t1", where) for item, where in qubits)
    t2 = tuple(_seconds(item, "t2", where) for item, where in qubits)
    gates = tuple(
        _gate(*_entry(item, f"{what}: gates[{index}]"), len(qubits)) for index, item in enumerate(document["gates"])
    )
    places = [(gate.name, gate.qubits) for gate in gates]
    if twice := next((place for place in places if places.count(place) > 1), None) if _repeats(places) else None:
        raise ValueError(f"{what}: the gate {twice[0]} on {list(twice[1])} is given twice")
    named = [str(document[name]) for name in ("name", "source", "date") if document.get(name)]
    return Noise(
        source=", ".join(named) or what,
        num_qubits=len(qubits),
        gates=gates,
        readout=tuple(_readout(item.get("readout", 0), f"{where}.readout") for item, where in qubits),
        t1=t1,
        t2=tuple(_physical(*times) for times in zip(t1, t2, strict=True)),
        readout_seconds=tuple(_seconds(item, "readoutDuration", where) for item, where in qubits),
    )


def _repeats(places: list[tuple[str, tuple[int, ...]]]) -> bool:
    return len(set(places)) < len(places)


def _entry(item: Any, where: str) -> tuple[Mapping[str, Any], str]:
    if not isinstance(item, Mapping):
        raise ValueError(f"{where}: an object is needed, not {item!r}")
    return item, where


def _gate(item: Mapping[str, Any], where: str, num_qubits: int) -> GateNoise:
    name, qubits = item.get("name"), item.get("qubits")
    if not isinstance(name, str) or not name:
        raise ValueError(f"{where}.name: the gate's name is needed, such as cz")
    if (
        not isinstance(qubits, list)
        or len(qubits) not in _WORST
        or not all(type(qubit) is int and 0 <= qubit < num_qubits for qubit in qubits)
        or len(set(qubits)) < len(qubits)
    ):
        raise ValueError(f"{where}.qubits: one or two different numbers from 0 to {num_qubits - 1}, not {qubits!r}")
    error = _number(item.get("error", 0), 0, _WORST[len(qubits)], f"{where}.error")
    return GateNoise(name, tuple(qubits), error, _seconds(item, "duration", where) or 0.0)


def _uniform(rates: Mapping[str, float]) -> Noise:
    """Return uniform noise; the API has checked the ranges, which other callers are told of here."""
    known = {
        "oneQubit": 0.75,
        "twoQubit": 0.9375,
        "readout": 1,
        "reset": 1,
        **dict.fromkeys(("t1", "t2", "oneQubitDuration", "twoQubitDuration"), math.inf),
    }
    if unknown := sorted(rates.keys() - known.keys()):
        raise ValueError(f"noise.rates: {', '.join(unknown)} not known; there are {', '.join(known)}")
    given = {name: _number(value, 0, known[name], f"noise.rates.{name}") for name, value in rates.items()}
    t1, t2 = given.get("t1"), given.get("t2")
    if 0 in (t1, t2):
        raise ValueError("noise.rates: t1 and t2 are above 0 seconds")
    readout = given.get("readout", 0.0)
    return Noise(
        source="rates " + ", ".join(f"{name} {value:g}" for name, value in given.items()),
        one_qubit=given.get("oneQubit", 0.0),
        two_qubit=given.get("twoQubit", 0.0),
        reset=given.get("reset", 0.0),
        readout=((readout, readout),) if readout else (),
        t1=() if t1 is None and t2 is None else (t1,),
        t2=() if t1 is None and t2 is None else (_physical(t1, t2),),
        one_qubit_seconds=given.get("oneQubitDuration", 0.0),
        two_qubit_seconds=given.get("twoQubitDuration", 0.0),
    )


def _physical(t1: float | None, t2: float | None) -> float | None:
    """Return T2, which no qubit has above 2 T1: measured figures exceed that by their own errors."""
    if t1 is None:
        return t2
    return 2 * t1 if t2 is None else min(t2, 2 * t1)


def _readout(value: Any, where: str) -> tuple[float, float]:
    pair = value if isinstance(value, list) else [value, value]
    if len(pair) != 2:
        raise ValueError(f"{where}: a probability, or the two that 1 is read for 0 and 0 is read for 1, not {value!r}")
    one, zero = (_number(item, 0, 1, where) for item in pair)
    return one, zero


def _seconds(item: Mapping[str, Any], name: str, where: str) -> float | None:
    if item.get(name) is None:
        return None
    value = _number(item[name], 0, math.inf, f"{where}.{name}")
    # A qubit without a lifetime would divide by it; a gate may take no time.
    if value == 0 and name in ("t1", "t2"):
        raise ValueError(f"{where}.{name}: above 0 seconds, or left out for no relaxation")
    return value


def _number(value: Any, least: float, most: float, where: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= most:
        upper = f" to {most:g}" if math.isfinite(most) else " up"
        raise ValueError(f"{where}: a number from {least:g}{upper} is needed, not {value!r}")
    return float(value)
