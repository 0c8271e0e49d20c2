"""Circuits as programs of Google's engine, in the form that protocol buffers have in JSON.

Source: ``program.proto`` of ``cirq.google.api.v2``. Cirq writes the same, and would take 230 MiB for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import RXGate, RZGate
from qiskit.synthesis import OneQubitEulerDecomposer

from qonverge.wire.errors import InvalidTask

KEY = "bits"
"""Of the one measurement that a program has. Its qubits are in the order of the bits that they are measured into."""
_TYPE = "type.googleapis.com/cirq.google.api.v2.Program"
_NANOSECONDS = 1e9
_ANGLES = OneQubitEulerDecomposer("U3")
_NOTHING = 1e-9
# A CZ of two square roots of iSWAP, up to a global phase: with the sign of the second's YY turned by X on one qubit
# their product is exp(i pi/4 XX), which H on both makes exp(i pi/4 ZZ).
_Matrix: TypeAlias = NDArray[np.complex128]
_H: _Matrix = np.array([[0.5**0.5, 0.5**0.5], [0.5**0.5, -(0.5**0.5)]], dtype=complex)
_X: _Matrix = np.array([[0, 1], [1, 0]], dtype=complex)
_S: _Matrix = np.array([[1, 0], [0, 1j]], dtype=complex)


class Writer:
    """Writes one program, operation by operation. Each begins in the first moment that its qubits are free in."""

    def __init__(self, labels: Sequence[str], native: str) -> None:
        """Args: the device's names of its qubits, and the gate on two of them, of ``devices.google``."""
        self._labels, self._native = labels, native
        self._constants: dict[str, int] = {}
        self._moments: list[list[dict[str, Any]]] = []
        self._free: dict[int, int] = {}
        # What gates on one qubit come to, since the last on two.
        self._turned: dict[int, _Matrix] = {}

    def add(self, name: str, params: Sequence[float], qubits: Sequence[int]) -> None:
        """Append a gate: rx, rz, cz, delay or barrier."""
        if name == "barrier":
            self._settle(qubits)
            free = max((self._free.get(qubit, 0) for qubit in qubits), default=0)
            self._free.update(dict.fromkeys(qubits, free))
        elif name == "delay":
            self._settle(qubits)
            self._append({"waitgate": {"durationNanos": _value(params[0] * _NANOSECONDS)}}, qubits)
        elif name == "cz":
            self._cz(*qubits)
        else:
            gate = {"rx": RXGate, "rz": RZGate}[name](params[0])
            self._turn(qubits[0], gate.to_matrix())

    def text(self, measured: Sequence[int]) -> str:
        """Return the program, with these qubits measured at its end, all at once."""
        self._settle(measured)
        start = max((self._free.get(qubit, 0) for qubit in measured), default=0)
        self._free.update(dict.fromkeys(measured, max(start, len(self._moments))))
        self._append({"measurementgate": {"key": {"argValue": {"stringValue": KEY}}}}, measured)
        program = {
            "@type": _TYPE,
            "language": {"gateSet": "v2_5", "argFunctionLanguage": "exp"},
            "circuit": {
                "schedulingStrategy": "MOMENT_BY_MOMENT",
                "moments": [{"operations": moment} for moment in self._moments],
            },
            "constants": [{"qubit": {"id": label}} for label in self._constants],
        }
        return json.dumps(program, separators=(",", ":"))

    def _cz(self, one: int, other: int) -> None:
        if self._native == "cz":
            self._settle((one, other))
            self._append({"czpowgate": {"exponent": _value(1.0)}}, (one, other))
            return
        for qubit in (one, other):
            self._turn(qubit, _H)
        self._turn(one, _X)
        self._root(one, other)
        self._turn(one, _X)
        self._root(one, other)
        for qubit in (one, other):
            self._turn(qubit, _S @ _H)

    def _root(self, one: int, other: int) -> None:
        self._settle((one, other))
        self._append({"iswappowgate": {"exponent": _value(0.5)}}, (one, other))

    def _turn(self, qubit: int, matrix: _Matrix) -> None:
        before = self._turned.get(qubit)
        self._turned[qubit] = matrix if before is None else matrix @ before

    def _settle(self, qubits: Sequence[int]) -> None:
        """Write what gates on one qubit come to as one pulse, or as a change of the frame alone."""
        for qubit in qubits:
            matrix = self._turned.pop(qubit, None)
            if matrix is None:
                continue
            theta, phi, lam = _ANGLES.angles(matrix)
            # u3(theta, phi, lam) is Z^(phi/pi + 1/2) X^(theta/pi) Z^(lam/pi - 1/2).
            x, axis, z = _half(theta / math.pi), _half(0.5 - lam / math.pi), _half((phi + lam) / math.pi)
            if abs(x) > _NOTHING:
                exponents = {"xExponent": x, "zExponent": z, "axisPhaseExponent": axis}
                self._append({"phasedxzgate": {key: _value(value) for key, value in exponents.items()}}, (qubit,))
            elif abs(z) > _NOTHING:
                self._append({"zpowgate": {"exponent": _value(z)}}, (qubit,))

    def _append(self, gate: dict[str, Any], qubits: Sequence[int]) -> None:
        moment = max(self._free.get(qubit, 0) for qubit in qubits)
        if moment == len(self._moments):
            self._moments.append([])
        places = [self._constants.setdefault(self._labels[qubit], len(self._constants)) for qubit in qubits]
        self._moments[moment].append({"qubitConstantIndex": places, **gate})
        self._free.update(dict.fromkeys(qubits, moment + 1))


def written(circuit: QuantumCircuit, labels: Sequence[str], native: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the program of a circuit in rx, rz, cz, delays (in s), barriers and measurements at its end.

    Args:
        circuit: with a qubit for each of the device's.
        labels: the device's own names of its qubits.
        native: ``cz`` or ``sqrt_iswap``.

    Returns:
        The program, and for each classical bit that is written its number and the place in the measurement of the qubit
        that is measured into it. Places follow from the bits alone, wherever the circuit lies: another process reads
        the answer, which may know another calibration by then and so would put the circuit elsewhere.
    """
    writer, bits = Writer(labels, native), list[tuple[int, int]]()
    for item in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
        if item.name == "measure":
            bits.append((circuit.find_bit(item.clbits[0]).index, qubits[0]))
            continue
        params = [float(item.operation.duration)] if item.name == "delay" else [float(each) for each in item.params]
        if not all(map(math.isfinite, params)):
            raise InvalidTask(f"the angle of a gate {item.name} is {params}: give finite parameters")
        writer.add(item.name, params, qubits)
    measured = list(dict.fromkeys(qubit for _, qubit in sorted(bits)))
    return writer.text(measured), [(bit, measured.index(qubit)) for bit, qubit in sorted(bits)]


def _half(exponent: float) -> float:
    """Return the exponent between -1 and 1 that differs by a whole number of turns, which is a global phase."""
    return math.remainder(exponent, 2.0)


def _value(number: float) -> dict[str, float]:
    return {"floatValue": number}
