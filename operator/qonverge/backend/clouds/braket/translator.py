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
from qiskit.transpiler import generate_preset_pass_manager
from qiskit.transpiler.exceptions import TranspilerError

from qonverge.backend.clouds.braket.gates import NAMES, gates_of
from qonverge.backend.clouds.braket.options import BraketOptions
from qonverge.backend.clouds.measured_bits import outcomes_of
from qonverge.backend.clouds.protocol import Outcomes, Submission
from qonverge.backend.config import EngineConfig
from qonverge.circuits.analysis.canonical import canonical
from qonverge.circuits.errors import InvalidProgram
from qonverge.devices import Layout
from qonverge.wire.errors import InvalidCircuit, InvalidTask

_NOT_GATES = frozenset(("measure", "barrier"))
# Probabilities are written with six digits or more.
_PROBABILITY_TOLERANCE = 1e-3


class BraketTranslator:
    """Writes programs for one device of Amazon Braket, and reads its results."""

    def __init__(self, config: EngineConfig) -> None:
        """Take the device from the options."""
        options = BraketOptions.read(config.options)
        self._device = options.device_name
        self._gates = gates_of(options.family)
        self._passes = generate_preset_pass_manager(
            # The device's own compiler optimizes; what a program says should reach it as it was written.
            optimization_level=0,
            basis_gates=sorted(self._gates),
            seed_transpiler=0,
        )
        self.version = f"Braket {self._device}, Qiskit {version('qiskit')}"
        self.basis_gates = tuple(sorted(self._gates))

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> QuantumCircuit:
        """Return the circuit in gates that the device takes; see ``Translator.prepare``."""
        if layout is not None:
            raise InvalidCircuit(
                f"the circuit has a layout, and Braket's compiler places circuits on {self._device} itself: leave the "
                "layout out"
            )
        try:
            flat = canonical(circuit)
        except InvalidProgram as error:
            raise InvalidCircuit(str(error)) from None
        self._check(flat)
        return self._in_basis(flat)

    def encode(self, circuit: QuantumCircuit, shots: int) -> Submission:
        """Return the program for a prepared circuit; see ``Translator.encode``."""
        self._check(circuit)
        circuit = self._in_basis(circuit)
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
            times = _times(probabilities, submission.shots)
            rows = _table([list(map(int, outcome)) for outcome in times], len(columns))
            return Outcomes(outcomes_of(rows, found), list(times.values()))
        raise ValueError("the result has neither measurements nor measurementProbabilities")

    def _check(self, circuit: QuantumCircuit) -> None:
        """Refuse what no program for the device can say."""
        measured: set[Any] = set()
        for item in circuit.data:
            name = item.name
            if name == "barrier":
                continue
            if name != "measure" and (item.clbits or getattr(item.operation, "blocks", ()) or name == "store"):
                raise InvalidCircuit(f"{self._device} runs no control flow, such as {name}: use a simulator")
            if name in ("reset", "delay"):
                raise InvalidCircuit(f"{self._device} takes no {name} in programs: remove it, or use a simulator")
            if name != "measure" and (again := measured.intersection(item.qubits)):
                qubit = min(circuit.find_bit(each).index for each in again)
                raise InvalidCircuit(
                    f"{self._device} measures at the end only, and {name} follows the measurement of qubit {qubit}: "
                    "measure last, or use a simulator"
                )
            if name == "measure":
                measured.update(item.qubits)

    def _in_basis(self, circuit: QuantumCircuit) -> QuantumCircuit:
        if all(item.name in self._gates or item.name in _NOT_GATES for item in circuit.data):
            return circuit
        try:
            return self._passes.run(circuit)
        except TranspilerError as error:
            raise InvalidCircuit(f"the circuit cannot be written in the gates of {self._device}: {error}") from None


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


def _times(probabilities: Mapping[str, float], shots: int) -> dict[str, int]:
    """Return how often each outcome came; what rounding leaves goes where the largest fractions are."""
    exact = {outcome: float(probability) * shots for outcome, probability in probabilities.items()}
    if abs(sum(exact.values()) - shots) > _PROBABILITY_TOLERANCE * shots:
        raise ValueError(f"the probabilities of the outcomes sum to {sum(exact.values()) / shots}")
    total = sum(exact.values())
    exact = {outcome: times * shots / total for outcome, times in exact.items()}
    times = {outcome: math.floor(value) for outcome, value in exact.items()}
    for outcome in sorted(exact, key=lambda each: times[each] - exact[each])[: shots - sum(times.values())]:
        times[outcome] += 1
    return {outcome: count for outcome, count in times.items() if count}
