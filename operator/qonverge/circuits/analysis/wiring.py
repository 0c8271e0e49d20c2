"""Which qubits a circuit uses and couples, and the same circuit on others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Operation, Qubit

NOT_GATES = frozenset(("measure", "reset", "barrier", "delay", "store", "break_loop", "continue_loop"))
"""Operations that have no place in a device's list of gates."""


def operations(circuit: QuantumCircuit, qubits: Sequence[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield (name, qubits) of gates and measurements, those inside control flow included."""
    index = dict(zip(circuit.qubits, qubits, strict=True))
    for item in circuit.data:
        places = tuple(index[qubit] for qubit in item.qubits)
        blocks = getattr(item.operation, "blocks", ())
        for block in blocks:
            yield from operations(block, places)
        if not blocks and (item.operation.name == "measure" or item.operation.name not in NOT_GATES):
            yield item.operation.name, places


def used_qubits(circuit: QuantumCircuit) -> tuple[int, ...]:
    """Return the numbers of the qubits that anything but a barrier acts on; the first one where there is none."""
    used = {qubit for item in circuit.data if item.operation.name != "barrier" for qubit in item.qubits}
    return tuple(place for place, qubit in enumerate(circuit.qubits) if qubit in used) or (0,)


def pairs_of(circuit: QuantumCircuit) -> set[tuple[int, int]]:
    """Return the pairs of qubits, the lower first, that gates act on; gates on more stand for their definitions."""
    return set(_pairs(circuit, range(circuit.num_qubits)))


def _pairs(circuit: QuantumCircuit, places: Sequence[int]) -> Iterator[tuple[int, int]]:
    index = dict(zip(circuit.qubits, places, strict=True))
    for item in circuit.data:
        there = [index[qubit] for qubit in item.qubits]
        inside: Sequence[Any] = getattr(item.operation, "blocks", ())
        if not inside and item.operation.name not in NOT_GATES and len(there) > 1:
            if len(there) == 2:
                yield min(there), max(there)
            else:
                inside = [_definition(item.operation)]
        for block in inside:
            yield from _pairs(block, there)


def _definition(gate: Operation) -> QuantumCircuit:
    found = getattr(gate, "definition", None)
    if found is not None:
        return found
    every = QuantumCircuit(gate.num_qubits)
    for first in range(gate.num_qubits):
        for second in range(first):
            every.cx(first, second)
    return every


def rewired(circuit: QuantumCircuit, places: Sequence[int | None], size: int) -> QuantumCircuit:
    """Return the circuit on so many fresh qubits, its own at these places; classical bits stay.

    Args:
        circuit: any.
        places: for each of its qubits; None for one that only barriers act on.
        size: qubits of the new circuit.
    """
    fresh = [Qubit() for _ in range(size)]
    # The phase bears parameters that nothing else uses.
    moved = QuantumCircuit(fresh, circuit.clbits, name=circuit.name, global_phase=circuit.global_phase)
    for register in circuit.cregs:
        moved.add_register(register)
    for variable in circuit.iter_declared_vars():
        moved.add_uninitialized_var(variable)
    there = {qubit: fresh[place] for qubit, place in zip(circuit.qubits, places, strict=True) if place is not None}
    for item in circuit.data:
        qubits = [there[qubit] for qubit in item.qubits if qubit in there]
        if item.operation.name == "barrier":
            moved.barrier(qubits)
        else:
            moved.append(item.operation, qubits, item.clbits, copy=False)
    return moved


def compact(circuit: QuantumCircuit) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """Return the circuit on the qubits that it uses, and which they were."""
    used = used_qubits(circuit)
    place = {qubit: number for number, qubit in enumerate(used)}
    return rewired(circuit, [place.get(qubit) for qubit in range(circuit.num_qubits)], len(used)), used
