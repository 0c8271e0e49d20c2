"""Circuits in the vendor's language: a list of u, cx and measure, and nothing of classical bits."""

from __future__ import annotations

import json
from pathlib import Path

from qiskit import QuantumCircuit, transpile

from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.clouds.translators import Outcomes
from qonverge.backend.config import EngineConfig
from qonverge.devices import Layout
from qonverge.wire.errors import InvalidCircuit


class VendorTranslator:
    """The vendor names measured qubits in an order of its own, so that bits have to be put back."""

    version = "Vendor 1"
    basis_gates = ("u", "cx")

    def __init__(self, config: EngineConfig) -> None:
        assert not config.credentials, "the process that opens circuits has no credentials"
        self._busy = str((config.options or {}).get("busy", ""))

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> QuantumCircuit:
        if circuit.name == "circuit" and "delay" in circuit.count_ops():
            raise InvalidCircuit("the vendor's device has no delay")
        while self._busy and "id" in circuit.count_ops() and Path(self._busy).exists():
            pass
        return transpile(circuit, basis_gates=["u", "cx"], optimization_level=0)

    def encode(self, circuit: QuantumCircuit, shots: int) -> Submission:
        program, bits = [], {}
        for item in circuit.data:
            qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
            if item.operation.name == "measure":
                bits[str(qubits[0])] = circuit.find_bit(item.clbits[0]).index
            if item.operation.name != "barrier":
                program.append([item.operation.name, [float(value) for value in item.operation.params], qubits])
        return Submission(json.dumps(program), shots, {"bits": bits})

    def decode(self, submission: Submission, answer: str) -> Outcomes:
        told = json.loads(answer)
        places = [submission.reading["bits"][str(qubit)] for qubit in told["qubits"]]
        if "counts" in told:
            texts = list(told["counts"])
            return Outcomes([_value(text, places) for text in texts], list(told["counts"].values()))
        return Outcomes([_value(text, places) for text in told["shots"]])


def _value(text: str, places: list[int]) -> int:
    return sum(1 << place for letter, place in zip(text, places, strict=True) if letter == "1")
