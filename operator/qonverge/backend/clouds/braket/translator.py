"""Qiskit's circuits as OpenQASM 3 in Braket's dialect, and Braket's results as outcomes of their classical bits.

Gates have Braket's names, and no header is included. Qubits are a register's, not a device's: where they lie is left to
the compiler of the device's maker. Each qubit that is used is measured, since some devices take no program that
measures fewer; bits that the circuit does not ask for are passed over afterwards.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from qonverge.backend.clouds.braket.gates import NAMES, gates_of
from qonverge.backend.clouds.braket.options import BraketOptions
from qonverge.backend.clouds.frequencies import counts_of
from qonverge.backend.clouds.gate_circuits import GateCircuits
from qonverge.backend.clouds.measured_bits import outcomes_of
from qonverge.backend.clouds.protocol import Outcomes, Submission
from qonverge.backend.config import EngineConfig
from qonverge.devices import Layout
from qonverge.wire.errors import InvalidCircuit, InvalidTask


class BraketTranslator:
    """Writes programs for one device of Amazon Braket, and reads its results."""

    def __init__(self, config: EngineConfig) -> None:
        """Take the device from the options."""
        options = BraketOptions.read(config.options)
        self._device = options.device_name
        self._gates = gates_of(options.family)
        self._circuits = GateCircuits(self._device, "Braket", self._gates)
        self.version = f"Braket {self._device}, Qiskit {version('qiskit')}"
        self.basis_gates = tuple(sorted(self._gates))

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> QuantumCircuit:
        """Return the circuit in gates that the device takes; see ``Translator.prepare``."""
        return self._circuits.prepare(circuit, layout)

    def encode(self, circuit: QuantumCircuit, shots: int) -> Submission:
        """Return the program for a prepared circuit; see ``Translator.encode``."""
        circuit = self._circuits.bound(circuit)
        used = {circuit.find_bit(q).index for item in circuit.data if item.name != "barrier" for q in item.qubits}
        place = {qubit: index for index, qubit in enumerate(sorted(used))}
        gates: list[str] = []
        bits: dict[int, int] = {}
        untouched = dict.fromkeys(place.values())
        for item in circuit.data:
            places = [place[circuit.find_bit(qubit).index] for qubit in item.qubits] if item.name != "barrier" else []
            if item.name == "measure":
                bits[circuit.find_bit(item.clbits[0]).index] = places[0]
            elif places:
                gates.append(_statement(NAMES[item.name], item.params, places))
                for each in places:
                    untouched.pop(each, None)
        if not bits:
            raise InvalidCircuit(f"the circuit measures nothing: add a measurement, or observables, for {self._device}")
        idle = "i" if "id" in self._gates else "rz(0.0)"
        lines = [
            "OPENQASM 3.0;",
            f"bit[{len(place)}] b;",
            f"qubit[{len(place)}] q;",
            *gates,
            # Simulators count the qubits of gates only.
            *(f"{idle} q[{each}];" for each in untouched),
            *(f"b[{each}] = measure q[{each}];" for each in place.values()),
        ]
        return Submission("\n".join(lines) + "\n", shots, {"bits": [[bit, qubit] for bit, qubit in bits.items()]})

    def decode(self, submission: Submission, answer: str) -> Outcomes:
        """Return the outcomes in a ``results.json`` of gate model tasks; see ``Translator.decode``.

        Source: ``braket.task_result.gate_model_task_result``, version 1, of amazon-braket-schemas.
        """
        document = json.loads(answer)
        if not isinstance(document, Mapping):
            raise ValueError("the result is no JSON object")
        measured = document.get("measuredQubits") or []
        columns = {qubit: column for column, qubit in enumerate(measured)}
        wanted = submission.reading["bits"]
        lost = sorted({qubit for _, qubit in wanted} - columns.keys())
        if lost or len(columns) < len(measured):
            raise ValueError(f"measuredQubits is {measured}: each measured qubit must be there once, {lost} too")
        found = [(bit, columns[qubit]) for bit, qubit in wanted]
        if measurements := document.get("measurements"):
            return Outcomes(outcomes_of(_table(measurements, len(columns)), found))
        if probabilities := document.get("measurementProbabilities"):
            times = counts_of(probabilities, submission.shots)
            rows = _table([list(map(int, outcome)) for outcome in times], len(columns))
            return Outcomes(outcomes_of(rows, found), list(times.values()))
        raise ValueError("the result has neither measurements nor measurementProbabilities")


def _statement(name: str, params: Sequence[Any], places: Sequence[int]) -> str:
    angles = list(map(float, params))
    if not all(map(math.isfinite, angles)):
        raise InvalidTask(f"the angle of a gate {name} is {angles}: give finite parameters")
    given = f"({', '.join(map(repr, angles))})" if angles else ""
    return f"{name}{given} {', '.join(f'q[{place}]' for place in places)};"


def _table(rows: Any, width: int) -> NDArray[np.uint8]:
    """Return the measured values, shape (rows, width)."""
    table = np.asarray(rows, dtype=np.uint8)
    if table.ndim != 2 or table.shape[1] != width or table.max() > 1:
        raise ValueError(f"the measurements are no table of 0 and 1 with {width} columns, one for each measured qubit")
    return table
