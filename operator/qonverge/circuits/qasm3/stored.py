"""Blocks that set classical bits have those bits, as blocks that measure into them have.

Qiskit's builders leave them out, and engines that go through a block then do not find them.
"""

from __future__ import annotations

from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Clbit, ControlFlowOp, Store
from qiskit.circuit.classical import expr

from qonverge.circuits.qasm3 import cells


def with_stored_bits(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with the bits that its blocks set and read."""
    items = [_widened(item) for item in circuit.data]
    if all(new is old for new, old in zip(items, circuit.data, strict=True)):
        return circuit
    widened = circuit.copy_empty_like()
    for item in items:
        widened.append(item, copy=False)
    return widened


def _widened(item: CircuitInstruction) -> CircuitInstruction:
    operation: Any = item.operation
    if not isinstance(operation, ControlFlowOp):
        return item
    missing = [bit for bit in dict.fromkeys(_stored(operation)) if bit not in set(item.clbits)]
    if not missing:
        return item
    blocks = []
    for block in operation.blocks:
        outer = dict(zip((*block.qubits, *block.clbits), (*item.qubits, *item.clbits), strict=True))
        wide = QuantumCircuit(list(item.qubits), [*item.clbits, *missing], *block.cregs)
        for inner in block.data:
            own = inner.replace(
                qubits=[outer[bit] for bit in inner.qubits], clbits=[outer.get(bit, bit) for bit in inner.clbits]
            )
            wide.append(_widened(own), copy=False)
        blocks.append(wide)
    return CircuitInstruction(operation.replace_blocks(blocks), item.qubits, [*item.clbits, *missing])


def _stored(operation: ControlFlowOp) -> list[Clbit]:
    """Return the bits that assignments inside set and read."""
    found: list[Clbit] = []
    for block in operation.blocks:
        for item in block.data:
            if isinstance(item.operation, Store):
                target: expr.Expr = item.operation.lvalue
                found += [*cells.bits_in(target), *cells.bits_in(item.operation.rvalue)]
            elif isinstance(item.operation, ControlFlowOp):
                found += _stored(item.operation)
    return found
