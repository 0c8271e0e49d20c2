"""Circuits of all kinds of gates, and what they give by Qiskit's own state."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Statevector

GATES = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if gate.name not in ("measure", "reset", "delay")
}


def random_circuit(rng: np.random.Generator, qubits: int, gates: int) -> QuantumCircuit:
    """Return a circuit of all kinds of gates, with several registers, of which some bits are measured, in any order."""
    circuit = QuantumCircuit(QuantumRegister(qubits - 1, "a"), QuantumRegister(1, "z"))
    names = sorted(name for name, gate in GATES.items() if gate.num_qubits <= qubits)
    for name in rng.choice(names, gates):
        gate = GATES[name].base_class(*rng.uniform(-7, 7, len(GATES[name].params)))
        circuit.append(gate, rng.permutation(qubits)[: gate.num_qubits].tolist())
    sizes = rng.integers(1, 4, 3).tolist()
    for index, size in enumerate(sizes):
        circuit.add_register(ClassicalRegister(size, f"r{index}"))
    for bit in rng.permutation(sum(sizes))[: rng.integers(1, qubits + 1)]:
        circuit.measure(int(rng.integers(qubits)), int(bit))
    if rng.random() < 0.5:  # a bit that is measured again has the second value
        item = circuit.data[-1]
        circuit.measure(int(rng.integers(qubits)), item.clbits[0])
    return circuit


def true_probabilities(circuit: QuantumCircuit) -> dict[int, float]:
    """Return the probability of each value of all classical bits, by Qiskit's own state."""
    source = {}
    bare = circuit.copy_empty_like()
    for item in circuit.data:
        if item.name == "measure":
            source[circuit.find_bit(item.clbits[0]).index] = circuit.find_bit(item.qubits[0]).index
        else:
            bare.append(item)
    found: dict[int, float] = defaultdict(float)
    for index, probability in enumerate(Statevector(bare).probabilities()):
        found[sum((index >> qubit & 1) << bit for bit, qubit in source.items())] += float(probability)
    return found
