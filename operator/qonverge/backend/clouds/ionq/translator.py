"""Qiskit's circuits in IonQ's JSON, and IonQ's results as outcomes of their classical bits.

IonQ measures all qubits, and its results are relative frequencies: keys are decimal numbers whose bit k is qubit k.
Bits that the circuit does not ask for are passed over.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from qonverge.backend.clouds.frequencies import counts_of
from qonverge.backend.clouds.gate_circuits import GateCircuits
from qonverge.backend.clouds.ionq.native import PAIR_GATES, SINGLE_GATES, native_gates
from qonverge.backend.clouds.ionq.options import LEAST_DEBIASED_SHOTS, QIS_GATES, IonqOptions
from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.clouds.translators import Outcomes
from qonverge.backend.config import EngineConfig
from qonverge.devices import Layout
from qonverge.wire.errors import InvalidCircuit, InvalidTask


class IonqTranslator:
    """Writes programs for one of IonQ's devices, and reads its results."""

    def __init__(self, config: EngineConfig) -> None:
        """Take the device from the options."""
        self._options = options = IonqOptions.read(config.options)
        native = (*SINGLE_GATES, PAIR_GATES[options.pair_gate])
        gates = QIS_GATES if options.gateset == "QIS" else native
        self._circuits = GateCircuits(options.backend, "IonQ", gates)
        self.version = f"IonQ {options.backend}, Qiskit {version('qiskit')}"
        self.basis_gates = tuple(sorted(gates))

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> QuantumCircuit:
        """Return the circuit in gates that the device takes; see ``Translator.prepare``."""
        return self._circuits.prepare(circuit, layout)

    def encode(self, circuit: QuantumCircuit, shots: int) -> Submission:
        """Return the input of a job for a prepared circuit; see ``Translator.encode``."""
        options = self._options
        if options.debiasing and shots < LEAST_DEBIASED_SHOTS:
            raise InvalidTask(
                f"debiasing takes {LEAST_DEBIASED_SHOTS} shots or more, and this is {shots}: give more, or use a "
                "backend without debiasing"
            )
        if shots > options.most_shots:
            raise InvalidTask(
                f"{self._name} takes {options.most_shots} shots at a time, and this is {shots}: give fewer, since with "
                "costLimit a task is not split"
            )
        circuit = self._circuits.bound(circuit)
        used = {circuit.find_bit(q).index for item in circuit.data if item.name != "barrier" for q in item.qubits}
        place = {qubit: index for index, qubit in enumerate(sorted(used))}
        gates: list[tuple[str, list[float], list[int]]] = []
        bits: dict[int, int] = {}
        for item in circuit.data:
            if item.name == "barrier":
                continue
            places = [place[circuit.find_bit(qubit).index] for qubit in item.qubits]
            if item.name == "measure":
                bits[circuit.find_bit(item.clbits[0]).index] = places[0]
            else:
                gates.append((item.name, _finite(item.name, item.params), places))
        if not bits:
            raise InvalidCircuit(f"the circuit measures nothing: add a measurement, or observables, for {self._name}")
        if options.gateset == "QIS":
            written = [_qis(*gate) for gate in gates] or [{"gate": "z", "target": 0}]
        else:
            flip = {"gate": "gpi", "target": 0, "phase": 0.0}
            written = native_gates(gates, len(place)) or [flip, flip]
        program = {"qubits": len(place), "gateset": options.gateset.lower(), "circuit": written}
        reading = {"qubits": len(place), "bits": [[bit, qubit] for bit, qubit in bits.items()]}
        return Submission(json.dumps(program, separators=(",", ":")), shots, reading)

    def decode(self, submission: Submission, answer: str) -> Outcomes:
        """Return the outcomes in what ``IonqCloud.result`` returned; see ``Translator.decode``.

        Of shots, the frequencies are multiples of one shot and become those counts. The simulator without errors
        returns exact probabilities: shots are drawn from them, from each job's id alone, so that the same job always
        gives the same. Mitigated results are no counts of shots; they are rounded to as many as were asked for.
        """
        document = json.loads(answer)
        width, bits = submission.reading["qubits"], submission.reading["bits"]
        frequencies = {int(key): float(value) for key, value in document["probabilities"].items()}
        if wrong := [key for key in frequencies if not 0 <= key < 1 << width]:
            raise ValueError(f"the outcome {wrong[0]} is none of {width} qubits")
        counts = counts_of(frequencies, submission.shots)
        if self._options.exact:
            counts = _drawn(frequencies, submission.shots, str(document["id"]))
        values = [sum((key >> qubit & 1) << bit for bit, qubit in bits) for key in counts]
        return Outcomes(values, list(counts.values()))

    @property
    def _name(self) -> str:
        return self._options.backend


def _qis(name: str, angles: list[float], places: list[int]) -> dict[str, Any]:
    gate: dict[str, Any] = {"gate": QIS_GATES[name]}
    if name == "cx":
        gate |= {"control": places[0], "target": places[1]}
    else:
        gate |= {"target": places[0]} if len(places) == 1 else {"targets": places}
    return gate | ({"rotation": angles[0]} if angles else {})


def _finite(name: str, params: list[Any]) -> list[float]:
    angles = list(map(float, params))
    if not all(map(math.isfinite, angles)):
        raise InvalidTask(f"the angle of a gate {name} is {angles}: give finite parameters")
    return angles


def _drawn(frequencies: Mapping[int, float], shots: int, seed: str) -> dict[int, int]:
    """Return how often each outcome came of shots that are drawn."""
    outcomes = sorted(frequencies)
    chances = np.array([frequencies[each] for each in outcomes])
    drawing = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()))
    times = drawing.multinomial(shots, chances / chances.sum())
    return {outcome: int(count) for outcome, count in zip(outcomes, times, strict=True) if count}
