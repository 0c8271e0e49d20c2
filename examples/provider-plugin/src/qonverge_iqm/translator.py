"""Qiskit's circuits in IQM's operations, and IQM's measurements as outcomes of their classical bits.

A circuit is mapped to rotations about X, changes of the frame (rz) and cz. A change of the frame takes no pulse: since
``R(theta, phi) RZ(a) = RZ(a) R(theta, phi - a)``, it moves behind the rotations after it by turning their axes, passes
cz, which is diagonal, and has no effect on a measurement.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from importlib.metadata import version
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.clouds.translators import Outcomes
from qonverge.backend.config import EngineConfig
from qonverge.circuits.errors import Unmapped
from qonverge.circuits.mapping.mapper import Mapper
from qonverge.devices import Calibration, Layout
from qonverge.wire.errors import InvalidCircuit, InvalidTask
from qonverge_iqm.device import qubit_name
from qonverge_iqm.options import IqmOptions


class IqmTranslator:
    """Writes jobs for one quantum computer, as it is calibrated now, and reads their measurements."""

    def __init__(self, config: EngineConfig) -> None:
        """Take the device from the configuration: its calibration comes from ``Cloud.device``."""
        self._name = IqmOptions.read(config.options).quantum_computer
        self._mapper = Mapper(config.noise) if isinstance(config.noise, Calibration) else None
        self.version = f"IQM {self._name}, Qiskit {version('qiskit')}"
        self.basis_gates = config.noise.basis_gates if config.noise is not None else ()

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> QuantumCircuit:
        """Return the circuit on the device's qubits; see ``Translator.prepare``."""
        if self._mapper is None:
            raise InvalidCircuit(f"IQM has not told of the gates of {self._name} yet")
        try:
            return self._mapper.map(circuit, layout).circuit
        except Unmapped as error:
            raise InvalidCircuit(str(error)) from None

    def encode(self, circuit: QuantumCircuit, shots: int) -> Submission:
        """Return the payload of a job; see ``Translator.encode``."""
        frames: defaultdict[int, float] = defaultdict(float)
        instructions, bits = [], []
        for item in circuit.data:
            qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
            name, locus = item.operation.name, [qubit_name(qubit) for qubit in qubits]
            if name == "rz":
                frames[qubits[0]] += _number(item.operation.params[0], name)
            elif name == "rx":
                angle = _number(item.operation.params[0], name)
                instructions.append(_operation("prx", locus, angle=angle, phase=-frames[qubits[0]]))
            elif name in ("cz", "barrier"):
                instructions.append(_operation(name, locus))
            elif name == "delay":
                instructions.append(_operation(name, locus, duration=_number(item.operation.duration, name)))
            elif name == "measure":
                bit = circuit.find_bit(item.clbits[0]).index
                bits.append(bit)
                instructions.append(_operation(name, locus, key=_key(bit)))
            else:
                raise InvalidCircuit(f"{self._name} has no {name}: remove it, or use a simulator")
        if not bits:
            raise InvalidCircuit(f"the circuit measures nothing: add a measurement, or observables, for {self._name}")
        circuits = [{"name": "circuit", "instructions": instructions, "metadata": None}]
        return Submission(json.dumps({"circuits": circuits, "shots": shots}), shots, {"bits": bits})

    def decode(self, submission: Submission, answer: str) -> Outcomes:
        """Return the outcomes in the artifact ``measurements`` of a job; see ``Translator.decode``."""
        found, bits = json.loads(answer), submission.reading["bits"]
        if not isinstance(found, list) or len(found) != 1:
            raise ValueError("the measurements are not those of one circuit")
        if set(found[0]) != {_key(bit) for bit in bits}:
            raise ValueError(f"the measurements have the keys {sorted(found[0])}, not those of bits {bits}")
        values = [0] * submission.shots
        for bit in bits:
            column = np.asarray(found[0][_key(bit)])
            if column.shape != (submission.shots, 1) or not np.isin(column, (0, 1)).all():
                raise ValueError(f"the measurement {_key(bit)} is not a column of {submission.shots} times 0 or 1")
            for shot in np.flatnonzero(column[:, 0]).tolist():
                values[shot] |= 1 << bit
        return Outcomes(values)


def _operation(name: str, locus: list[str], **args: Any) -> dict[str, Any]:
    return {"name": name, "implementation": None, "locus": locus, "args": args}


def _key(bit: int) -> str:
    return f"m{bit}"


def _number(given: Any, name: str) -> float:
    value = float(given)
    if not math.isfinite(value):
        raise InvalidTask(f"the parameter of a gate {name} is {value}: give finite parameters")
    return value
