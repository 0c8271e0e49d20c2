"""Blocks that set classical bits, as Aer takes them.

Aer 0.18 maps the bits of conditions from a block to the circuit around it, and not those of assignments.
"""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, ControlFlowOp


def on_outer_bits(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with blocks on the circuit's own bits."""
    own = circuit.copy_empty_like()
    for item in circuit.data:
        own.append(_outer(item, circuit), copy=False)
    return own


def _outer(item: CircuitInstruction, circuit: QuantumCircuit) -> CircuitInstruction:
    operation = item.operation
    if not isinstance(operation, ControlFlowOp):
        return item
    blocks = []
    for block in operation.blocks:
        registers = [register for register in circuit.cregs if set(register) <= set(item.clbits)]
        moved = QuantumCircuit(list(item.qubits), list(item.clbits), *registers)
        moved.compose(block, item.qubits, item.clbits, inplace=True, copy=False)
        outer = moved.copy_empty_like()
        for inner in moved.data:
            outer.append(_outer(inner, circuit), copy=False)
        blocks.append(outer)
    return item.replace(operation=operation.replace_blocks(blocks))
