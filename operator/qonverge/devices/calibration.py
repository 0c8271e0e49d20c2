"""A calibration: how good each part of a device was when it was last measured."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

from qonverge.devices.connected import connected
from qonverge.documents import strict_json
from qonverge.documents.excerpt import excerpt
from qonverge.documents.faults import Unreadable

FORMAT = "qonverge.io/calibration/v1"
# A device with more than this is a mistake, and would take all memory where its couplings are laid out.
MAX_QUBITS = 10_000
_MAX_GATES = 1_000_000


class InvalidCalibration(ValueError):
    """A text or object that is no calibration; the message names the field and what it should be."""


@dataclass(frozen=True, slots=True)
class Qubit:
    """One qubit; what was not measured is None."""

    t1: float | None = None
    """Relaxation time, seconds."""
    t2: float | None = None
    """Dephasing time, seconds."""
    read_1_as_0: float | None = None
    """Probability to read 0 after 1 was prepared."""
    read_0_as_1: float | None = None
    """Probability to read 1 after 0 was prepared."""
    readout_seconds: float | None = None
    """How long a measurement takes."""

    @property
    def readout_error(self) -> float | None:
        """The mean of both readout errors; None where neither was measured."""
        known = [error for error in (self.read_1_as_0, self.read_0_as_1) if error is not None]
        return sum(known) / len(known) if known else None


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate at one place."""

    name: str
    """Qiskit's name, such as ``cz``; ``reset`` is one too."""
    qubits: tuple[int, ...]
    """Where it acts, the control first."""
    error: float | None = None
    """Average gate infidelity, 0 to 1; 1 says that the gate is out of order."""
    seconds: float | None = None
    """How long it takes."""

    @property
    def works(self) -> bool:
        """Whether it is in order."""
        return self.error != 1


@dataclass(frozen=True)
class Calibration:
    """All that was measured of a device."""

    name: str
    qubits: tuple[Qubit, ...]
    gates: tuple[Gate, ...]
    measured_at: float | None = None
    """Unix seconds; None for a device that does not drift, such as one from explicit rates."""
    source: str = ""
    """Where the figures come from."""
    dt: float | None = None
    """Seconds of a step of the device's clock, in which programs may give delays; None where it is not known."""
    labels: tuple[str, ...] = ()
    """The vendor's own names of the qubits, in order; empty where they are the numbers."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the figures, in hex: equal for equal devices, whatever their names."""
        data = self.to_dict()
        clock = [] if self.dt is None else [self.dt]
        figures = json.dumps([data["qubits"], data["gates"], *clock], separators=(",", ":"))
        return hashlib.sha256(figures.encode()).hexdigest()

    @property
    def num_qubits(self) -> int:
        """How many qubits the device has."""
        return len(self.qubits)

    def qubit(self, index: int) -> Qubit:
        """Return the figures of a qubit."""
        return self.qubits[index]

    def gate(self, name: str, qubits: tuple[int, ...]) -> Gate | None:
        """Return the figures of a gate at a place; None where the device has none."""
        return self._by_place.get((name, qubits))

    @cached_property
    def _by_place(self) -> dict[tuple[str, tuple[int, ...]], Gate]:
        return {(gate.name, gate.qubits): gate for gate in self.gates}

    @property
    def pauli(self) -> bool:
        """Whether no qubit relaxes, so that every error is a random Pauli operator."""
        return all(qubit.t1 is None and qubit.t2 is None for qubit in self.qubits)

    @cached_property
    def basis_gates(self) -> tuple[str, ...]:
        """Names of the gates that the device has, sorted."""
        return tuple(sorted({gate.name for gate in self.gates} - {"reset"}))

    @cached_property
    def couplings(self) -> tuple[tuple[int, int], ...]:
        """Ordered pairs of qubits with a gate on both that works, sorted."""
        pairs = {(gate.qubits[0], gate.qubits[1]) for gate in self.gates if len(gate.qubits) == 2 and gate.works}
        return tuple(sorted(pairs))

    @cached_property
    def coupled(self) -> frozenset[tuple[int, int]]:
        """The same as a set."""
        return frozenset(self.couplings)

    @cached_property
    def built(self) -> frozenset[tuple[int, int]]:
        """Ordered pairs of qubits with a gate on both, whether it works or not."""
        return frozenset((gate.qubits[0], gate.qubits[1]) for gate in self.gates if len(gate.qubits) == 2)

    @cached_property
    def pulse_gate(self) -> str | None:
        """Name of the gate that takes one pulse, where the basis has several; None where it has none."""
        names = {gate.name for gate in self.gates if len(gate.qubits) == 1}
        return next((name for name in _PULSES if name in names), None)

    @cached_property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """Sets of qubits that work and are connected by couplings that work, the largest first, each sorted.

        A qubit without a pulse that works is in none: no gate but changes of the frame can be made on it.
        """
        pulsed = {g.qubits[0] for g in self.gates if g.name == self.pulse_gate and len(g.qubits) == 1 and g.works}
        working = range(self.num_qubits) if self.pulse_gate is None else sorted(pulsed)
        return connected(working, self.couplings)

    @cached_property
    def working(self) -> frozenset[int]:
        """Qubits that work."""
        return frozenset(qubit for part in self.parts for qubit in part)

    def median_error(self, width: int) -> float | None:
        """Return the median error of gates on so many qubits that work; None where none was measured."""
        return self._median_errors.get(width)

    @cached_property
    def _median_errors(self) -> dict[int, float]:
        errors: dict[int, list[float]] = {}
        for gate in self.gates:
            if gate.error is not None and gate.works and gate.name not in _NOT_COUNTED:
                errors.setdefault(len(gate.qubits), []).append(gate.error)
        return {width: statistics.median(known) for width, known in errors.items()}

    def error_of(self, gate: Gate) -> float:
        """Return a gate's error; where it was not measured, 0 for a change of the frame and else the median."""
        if gate.error is not None:
            return gate.error
        return 0.0 if gate.name in _NOT_COUNTED else self.median_error(len(gate.qubits)) or 0.0

    @cached_property
    def median_readout_error(self) -> float | None:
        """The median error of a measurement; None where none was measured."""
        errors = [error for qubit in self.qubits if (error := qubit.readout_error) is not None]
        return statistics.median(errors) if errors else None

    def misreading(self, index: int) -> tuple[float, float]:
        """Return the probabilities to read 0 for 1 and 1 for 0; where a qubit has none, the device's median."""
        qubit = self.qubits[index]
        mean = qubit.readout_error
        unknown = (self.median_readout_error or 0.0) if mean is None else mean
        read_1_as_0 = unknown if qubit.read_1_as_0 is None else qubit.read_1_as_0
        return read_1_as_0, unknown if qubit.read_0_as_1 is None else qubit.read_0_as_1

    def to_dict(self) -> dict[str, Any]:
        """Return the form of files and of the wire, see docs/backends.md; what is not known is left out."""
        data: dict[str, Any] = {"format": FORMAT, "name": self.name}
        if self.measured_at is not None:
            data["measuredAt"] = datetime.fromtimestamp(self.measured_at, UTC).isoformat().replace("+00:00", "Z")
        if self.source:
            data["source"] = self.source
        if self.dt is not None:
            data["dt"] = self.dt
        if self.labels:
            data["labels"] = list(self.labels)
        data["qubits"] = [
            {key: value for key, name in _QUBIT.items() if (value := getattr(qubit, name)) is not None}
            for qubit in self.qubits
        ]
        data["gates"] = [
            {
                "name": gate.name,
                "qubits": list(gate.qubits),
                **({} if gate.error is None else {"error": gate.error}),
                **({} if gate.seconds is None else {"seconds": gate.seconds}),
            }
            for gate in self.gates
        ]
        return data

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Return the calibration that ``to_dict`` gave, or that a person wrote.

        Raises:
            InvalidCalibration: naming the field that is wrong.
        """
        known = {"format", "name", "measuredAt", "source", "dt", "labels", "qubits", "gates"}
        given = _fields(data, "the calibration", known)
        if given.get("format") != FORMAT:
            raise InvalidCalibration(f"format is {excerpt(given.get('format'))}: only {FORMAT} is known")
        qubits, gates = given.get("qubits"), given.get("gates")
        if not isinstance(qubits, list) or not 0 < len(qubits) <= MAX_QUBITS:
            raise InvalidCalibration(f"qubits must be a list of 1 to {MAX_QUBITS} objects")
        if not isinstance(gates, list) or len(gates) > _MAX_GATES:
            raise InvalidCalibration(f"gates must be a list of at most {_MAX_GATES} objects")
        return cls(
            str(given.get("name") or "unnamed"),
            tuple(_qubit(item, index) for index, item in enumerate(qubits)),
            tuple(_gate(item, index, len(qubits)) for index, item in enumerate(gates)),
            _time(given.get("measuredAt")),
            str(given.get("source") or ""),
            _number(given, "dt", "the calibration") or None,
            _labels(given.get("labels"), len(qubits)),
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the calibration in a JSON text.

        Raises:
            InvalidCalibration: it is none.
        """
        try:
            data = strict_json.loads(text)
        except Unreadable as error:
            raise InvalidCalibration(f"the calibration is not JSON: {error}") from None
        return cls.from_dict(data)


# Changes of the reference frame, and what is no gate: their errors say nothing of the device's gates.
_NOT_COUNTED = frozenset(("rz", "id", "u1", "p", "reset"))
# Gates of one pulse come first.
_PULSES = ("sx", "x", "u2", "u3", "rx", "ry", "r", "prx")
_QUBIT = {
    "t1": "t1",
    "t2": "t2",
    "read1As0": "read_1_as_0",
    "read0As1": "read_0_as_1",
    "readoutSeconds": "readout_seconds",
}


def _fields(data: Any, what: str, known: Iterable[str]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise InvalidCalibration(f"{what} must be an object, not {type(data).__name__}")
    if unknown := sorted(set(data) - set(known)):
        raise InvalidCalibration(f"{what} has the unknown field {unknown[0]}; known: {', '.join(sorted(known))}")
    return data


def _number(data: Mapping[str, Any], key: str, what: str, most: float = math.inf) -> float | None:
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most or value == math.inf:
        limit = f"from 0 to {most:g}" if most < math.inf else "of at least 0"
        raise InvalidCalibration(f"{what}.{key} is {excerpt(value)}: give a finite number {limit}")
    return float(value)


def _qubit(data: Any, index: int) -> Qubit:
    what = f"qubits[{index}]"
    given = _fields(data, what, _QUBIT)
    return Qubit(
        _number(given, "t1", what),
        _number(given, "t2", what),
        _number(given, "read1As0", what, 1),
        _number(given, "read0As1", what, 1),
        _number(given, "readoutSeconds", what),
    )


def _gate(data: Any, index: int, size: int) -> Gate:
    what = f"gates[{index}]"
    given = _fields(data, what, ("name", "qubits", "error", "seconds"))
    name, qubits = given.get("name"), given.get("qubits")
    if not isinstance(name, str) or not name:
        raise InvalidCalibration(f"{what}.name must be a gate's name, such as cz")
    if (
        not isinstance(qubits, list | tuple)
        or not qubits
        or not all(type(qubit) is int and 0 <= qubit < size for qubit in qubits)
        or len(set(qubits)) != len(qubits)
    ):
        raise InvalidCalibration(f"{what}.qubits is {excerpt(qubits)}: give different qubits from 0 to {size - 1}")
    return Gate(name, tuple(qubits), _number(given, "error", what, 1), _number(given, "seconds", what))


def _labels(data: Any, size: int) -> tuple[str, ...]:
    if data is None:
        return ()
    if not isinstance(data, list) or not all(isinstance(label, str) and label for label in data):
        raise InvalidCalibration(f"labels is {excerpt(data)}: give a list of texts, one for each qubit")
    if len(data) != size or len(set(data)) != size:
        raise InvalidCalibration(f"labels has {len(set(data))} different texts: give one for each of the {size} qubits")
    return tuple(data)


def _time(value: Any) -> float | None:
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise InvalidCalibration(f"measuredAt is {excerpt(value)}: give a time such as 2026-01-31T12:00:00Z") from None
    if time.tzinfo is None:
        raise InvalidCalibration(f"measuredAt is {excerpt(value)}: the time zone is missing, such as Z at its end")
    return time.timestamp()
