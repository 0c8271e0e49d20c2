"""A device made of a few rates, alike everywhere."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from qonverge.devices.calibration import Calibration, Gate, InvalidCalibration, Qubit
from qonverge.documents.excerpt import excerpt

RATES_FORMAT = "qonverge.io/rates/v1"
# Basis of a device that is told by its rates alone.
ONE_QUBIT_GATES = ("sx", "x")
TWO_QUBIT_GATE = "cx"


@dataclass(frozen=True)
class Rates:
    """Errors that every qubit and every gate has alike; qubits are all coupled, and as many as are wanted."""

    one_qubit: float = 0.0
    """Average infidelity of each gate on one qubit, but for rz, which is a change of the frame."""
    two_qubit: float = 0.0
    """Average infidelity of each gate on two qubits."""
    readout: float = 0.0
    """Probability to read a bit wrongly, either way."""
    t1: float | None = None
    """Relaxation time, seconds; None for none."""
    t2: float | None = None
    """Dephasing time, seconds; None: as ``t1`` alone gives."""
    one_qubit_seconds: float | None = None
    two_qubit_seconds: float | None = None
    readout_seconds: float | None = None

    name = "rates"
    num_qubits = None
    measured_at = None
    dt = None
    basis_gates = tuple(sorted(("rz", *ONE_QUBIT_GATES, TWO_QUBIT_GATE)))

    @property
    def pauli(self) -> bool:
        """Whether no qubit relaxes, so that every error is a random Pauli operator."""
        return self.t1 is None and self.t2 is None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the figures, in hex."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def qubit(self, index: int) -> Qubit:
        """Return the figures of a qubit."""
        return Qubit(self.t1, self.t2, self.readout, self.readout, self.readout_seconds)

    def gate(self, name: str, qubits: tuple[int, ...]) -> Gate | None:
        """Return the figures of a gate at a place; None where the device has none."""
        if name == "rz" and len(qubits) == 1:
            return Gate(name, qubits, 0.0, 0.0)
        if name in ONE_QUBIT_GATES and len(qubits) == 1:
            return Gate(name, qubits, self.one_qubit, self.one_qubit_seconds)
        if name == TWO_QUBIT_GATE and len(qubits) == 2:
            return Gate(name, qubits, self.two_qubit, self.two_qubit_seconds)
        return None

    def median_error(self, width: int) -> float | None:
        """Return the error of gates on so many qubits; None where there are no such gates."""
        return {1: self.one_qubit, 2: self.two_qubit}.get(width)

    @property
    def median_readout_error(self) -> float | None:
        """The error of a measurement."""
        return self.readout

    def calibration(self, num_qubits: int) -> Calibration:
        """Return the calibration of so many qubits, every pair of them coupled."""
        places = [(place,) for place in range(num_qubits)]
        pairs = [(a, b) for a in range(num_qubits) for b in range(num_qubits) if a != b]
        wanted: list[tuple[str, tuple[int, ...]]] = [
            (name, place) for name in ("rz", *ONE_QUBIT_GATES) for place in places
        ]
        wanted += [(TWO_QUBIT_GATE, pair) for pair in pairs]
        gates = (self.gate(name, place) for name, place in wanted)
        qubits = tuple(self.qubit(index) for index in range(num_qubits))
        return Calibration(self.name, qubits, tuple(gate for gate in gates if gate), source="explicit rates")

    def to_dict(self) -> dict[str, Any]:
        """Return the form of files and of the wire, see docs/backends.md; what is not known is left out."""
        given = {key: getattr(self, name) for key, name in _NAMES.items()}
        return {"format": RATES_FORMAT} | {key: value for key, value in given.items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the rates that ``to_dict`` gave, or that a person wrote.

        Raises:
            InvalidCalibration: naming the field that is wrong.
        """
        if unknown := sorted(set(data) - {"format", *_NAMES}):
            raise InvalidCalibration(f"the rates have the unknown field {unknown[0]}; known: {', '.join(_NAMES)}")
        values: dict[str, float] = {}
        for key, value in data.items():
            if key == "format" or value is None:
                continue
            most = 1.0 if key in _PROBABILITIES else math.inf
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 0 <= value <= most
                or value == math.inf
            ):
                limit = "from 0 to 1" if key in _PROBABILITIES else "of at least 0"
                raise InvalidCalibration(f"the rate {key} is {excerpt(value)}: give a finite number {limit}")
            values[_NAMES[key]] = float(value)
        return cls(**values)


_PROBABILITIES = frozenset(("oneQubit", "twoQubit", "readout"))
_NAMES = {
    "oneQubit": "one_qubit",
    "twoQubit": "two_qubit",
    "readout": "readout",
    "t1": "t1",
    "t2": "t2",
    "oneQubitSeconds": "one_qubit_seconds",
    "twoQubitSeconds": "two_qubit_seconds",
    "readoutSeconds": "readout_seconds",
}


def uniform(num_qubits: int, **rates: float | None) -> Calibration:
    """Return a device whose qubits are all coupled and equally good; ``rates`` are the fields of ``Rates``."""
    return Rates(**rates).calibration(num_qubits)  # type: ignore[arg-type]  # None only where a field may be None
