"""Qiskit's circuits as OpenQASM 3 in Braket's dialect, and Braket's results as outcomes of their classical bits.

Gates have Braket's names, and no header is included. Qubits are a register's, not a device's: where they lie is left to
the compiler of the device's maker. Each qubit that is used is measured, since some devices take no program that
measures fewer; bits that the circuit does not ask for are passed over afterwards.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qonverge.backend.clouds.braket import verbatim
from qonverge.backend.clouds.braket.gates import NAMES, gates_of
from qonverge.backend.clouds.braket.options import BraketOptions
from qonverge.backend.clouds.frequencies import counts_of
from qonverge.backend.clouds.gate_circuits import GateCircuits
from qonverge.backend.clouds.measured_bits import outcomes_of
from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.clouds.translators import Estimates, Outcomes
from qonverge.backend.config import EngineConfig
from qonverge.devices import Layout
from qonverge.wire.errors import InvalidCircuit, InvalidTask
from qonverge.wire.messages import Observable

# Of a value that a simulator computes in double precision, or in single.
_ROUNDING = 1e-5


class BraketTranslator:
    """Writes programs for one device of Amazon Braket, and reads its results."""

    parametric: ClassVar[Literal[True]] = True

    def __init__(self, config: EngineConfig) -> None:
        """Take the device from the options."""
        options = BraketOptions.read(config.options)
        self._device = options.device_name
        self._gates = gates_of(options.family)
        self.gives_states = options.gives_states
        self._family, self._noise = options.family, config.noise
        self._circuits = GateCircuits(self._device, "Braket", self._gates)
        self.version = f"Braket {self._device}, Qiskit {version('qiskit')}"
        self.basis_gates = tuple(sorted(self._gates))

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> QuantumCircuit:
        """Return the circuit in gates that the device takes, with a layout as it is; see ``Translator.prepare``."""
        if layout is not None:
            self._circuits.check(circuit)
            return verbatim.prepare(circuit, layout, self._device, self._family, self._noise)
        return self._circuits.bound(circuit)

    def encode(self, circuit: QuantumCircuit, shots: int) -> Submission:
        """Return the program for a prepared circuit; see ``Translator.encode``."""
        if (qubits := (circuit.metadata or {}).get(verbatim.QUBITS)) is not None:
            return self._encode_verbatim(circuit, qubits, shots)
        body, place, bits = self._body(circuit, ())
        if not bits:
            raise InvalidCircuit(f"the circuit measures nothing: add a measurement, or observables, for {self._device}")
        lines = [
            *_head(circuit),
            f"bit[{len(place)}] b;",
            *body,
            *(f"b[{each}] = measure q[{each}];" for each in place.values()),
        ]
        return _submission(lines, shots, {"bits": [[bit, qubit] for bit, qubit in bits.items()]})

    def _encode_verbatim(self, circuit: QuantumCircuit, qubits: Sequence[int], shots: int) -> Submission:
        places = {bit: qubits[index] for index, bit in enumerate(circuit.qubits)}
        box, bits, used = list[str](), dict[int, int](), dict[int, None]()
        for item in circuit.data:
            own = [places[qubit] for qubit in item.qubits]
            if item.name == "measure":
                bits[circuit.find_bit(item.clbits[0]).index] = own[0]
            elif item.name == "barrier":
                continue
            else:
                angles = [_angle(item.name, given) for given in item.params]
                gate = verbatim.statement(self._family, item.name, angles, item.params)
                box.append(f"{gate} {', '.join(f'${each}' for each in own)};")
            used.update(dict.fromkeys(own))
        if not bits:
            raise InvalidCircuit(f"the circuit measures nothing: add a measurement, or observables, for {self._device}")
        lines = [
            *_head(circuit),
            f"bit[{len(used)}] b;",
            *(["#pragma braket verbatim", "box {", *box, "}"] if box else []),
            *(f"b[{index}] = measure ${each};" for index, each in enumerate(sorted(used))),
        ]
        return _submission(lines, shots, {"bits": [[bit, qubit] for bit, qubit in bits.items()]})

    def encode_exact(self, circuit: QuantumCircuit, observables: Sequence[Observable]) -> Submission:
        """Return the program for exact values; see ``ExactTranslator.encode_exact``."""
        labels = sorted({label for observable in observables for label, _ in observable})
        factors = [_factors(label) for label in labels]
        body, place, _ = self._body(circuit, {qubit for each in factors for _, qubit in each})
        asked = [["".join(letter for letter, _ in each), [place[qubit] for _, qubit in each]] for each in factors]
        results = (" @ ".join(f"{letter}(q[{q}])" for letter, q in zip(*each, strict=True)) for each in asked)
        lines = [*_head(circuit), *body, *(f"#pragma braket result expectation {each}" for each in results)]
        terms = [[[labels.index(label), weight] for label, weight in each] for each in observables]
        return _submission(lines, 0, {"asked": asked, "terms": terms})

    def decode_exact(self, submission: Submission, answer: str) -> Estimates:
        """Return the values in a ``results.json``; see ``ExactTranslator.decode_exact``.

        Each has its observable beside it, which must be the one that was asked for at that place.
        """
        document, asked = json.loads(answer), submission.reading["asked"]
        found = document.get("resultTypes") or []
        said = [[each["type"]["type"], list(each["type"]["observable"]), each["type"]["targets"]] for each in found]
        if said != [["expectation", list(letters), targets] for letters, targets in asked]:
            raise ValueError(f"its resultTypes are {said} and {asked} were asked for")
        own = [float(each["value"]) for each in found]
        if wrong := [value for value in own if not abs(value) <= 1 + _ROUNDING]:
            raise ValueError(f"it has the value {wrong[0]} for a Pauli string, which is none from -1 to 1")
        values = [sum(weight * own[index] for index, weight in each) for each in submission.reading["terms"]]
        return Estimates(values, [0.0] * len(values))

    def encode_state(self, circuit: QuantumCircuit) -> Submission:
        """Return the program for the final state; see ``StateTranslator.encode_state``."""
        body, _, _ = self._body(circuit, range(circuit.num_qubits))
        phase = _angle("gphase", circuit.global_phase)
        return _submission([*_head(circuit), *body, f"gphase({phase});", "#pragma braket result state_vector"], 0, {})

    def decode_state(self, submission: Submission, answer: str) -> NDArray[np.complex128]:
        """Return the amplitudes in a ``results.json``; see ``StateTranslator.decode_state``.

        Braket's first qubit has the most significant bit of an index.
        """
        (found,) = json.loads(answer)["resultTypes"]
        if found["type"]["type"] != "statevector":
            raise ValueError(f"its resultTypes is {found['type']} and the state was asked for")
        parts = np.asarray(found["value"], dtype=np.float64)
        qubits = len(parts).bit_length() - 1
        if parts.shape != (1 << qubits, 2):
            raise ValueError(f"it has amplitudes of shape {parts.shape}: a state has 2^n of two numbers each")
        amplitudes = parts[:, 0] + 1j * parts[:, 1]
        return amplitudes.reshape((2,) * qubits).transpose().ravel()

    def _body(self, circuit: QuantumCircuit, also: Iterable[int]) -> tuple[list[str], dict[int, int], dict[int, int]]:
        """Return a program without its head and measurements.

        Args:
            circuit: which.
            also: qubits that it has to have beside those that are used.

        Returns:
            The lines, the place of each qubit in the register, and the place that is measured into each bit.
        """
        circuit = self._circuits.bound(circuit)
        used = {circuit.find_bit(q).index for item in circuit.data if item.name != "barrier" for q in item.qubits}
        place = {qubit: index for index, qubit in enumerate(sorted(used.union(also)))}
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
        idle = "i" if "id" in self._gates else "rz(0.0)"
        # Simulators count the qubits of gates only.
        lines = [f"qubit[{len(place)}] q;", *gates, *(f"{idle} q[{each}];" for each in untouched)]
        return lines, place, bits

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
            table = _table(measurements, len(columns))
            return Outcomes(outcomes_of([(bit, table[:, column]) for bit, column in found]))
        if probabilities := document.get("measurementProbabilities"):
            times = counts_of(probabilities, submission.shots)
            table = _table([list(map(int, outcome)) for outcome in times], len(columns))
            return Outcomes(outcomes_of([(bit, table[:, column]) for bit, column in found]), list(times.values()))
        raise ValueError("the result has neither measurements nor measurementProbabilities")


def _factors(label: str) -> list[tuple[str, int]]:
    """Return the letters of a Pauli string by their qubits; that of I alone has one, since it takes a qubit to ask."""
    own = [(letter.lower(), qubit) for qubit, letter in enumerate(reversed(label)) if letter != "I"]
    return own or [("i", 0)]


def _head(circuit: QuantumCircuit) -> list[str]:
    return ["OPENQASM 3.0;", *(f"input float {parameter.name};" for parameter in circuit.parameters)]


def _submission(lines: Sequence[str], shots: int, reading: Mapping[str, Any]) -> Submission:
    return Submission("\n".join(lines) + "\n", shots, reading)


def _angle(name: str, given: Any) -> str:
    if isinstance(given, Parameter):
        return str(given.name)
    angle = float(given)
    if not math.isfinite(angle):
        raise InvalidTask(f"the angle of a gate {name} is {angle}: give finite parameters")
    return repr(angle)


def _statement(name: str, params: Sequence[Any], places: Sequence[int]) -> str:
    angles = [_angle(name, given) for given in params]
    given = f"({', '.join(angles)})" if angles else ""
    return f"{name}{given} {', '.join(f'q[{place}]' for place in places)};"


def _table(rows: Any, width: int) -> NDArray[np.uint8]:
    """Return the measured values, shape (rows, width)."""
    table = np.asarray(rows, dtype=np.uint8)
    if table.ndim != 2 or table.shape[1] != width or table.max() > 1:
        raise ValueError(f"the measurements are no table of 0 and 1 with {width} columns, one for each measured qubit")
    return table
