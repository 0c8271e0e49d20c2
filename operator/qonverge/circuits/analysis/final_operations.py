"""What ends a circuit: measurements and resets after which nobody learns what they did.

A measurement is final if nothing acts on its qubit afterwards and nothing reads its bit before it is written again.
Conditions read bits, and so do the expressions that a program stores; in a loop "afterwards" includes its next turns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Clbit, Operation, Qubit


_BLOCKS = frozenset(("if_else", "for_loop", "while_loop", "switch_case", "box"))


def without_final_measurements(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit up to the measurements that end it; all bits and registers stay."""
    if not has_operation(circuit, "measure"):
        return circuit
    return _Backwards(frozenset(("measure",))).block(circuit, _identity(circuit), _Later(set(), set()), None)


def without_final_resets(circuit: QuantumCircuit, seen: Collection[Qubit] = ()) -> QuantumCircuit:
    """Return the circuit without the resets of qubits on which nothing acts afterwards.

    Args:
        circuit: any.
        seen: qubits whose final state matters; none where only classical bits are asked for.
    """
    if not has_operation(circuit, "reset"):
        return circuit
    return _Backwards(frozenset(("reset",))).block(circuit, _identity(circuit), _Later(set(seen), set()), None)


@dataclass(slots=True)
class _Later:
    """What happens after some place of a circuit."""

    acted: set[Qubit]
    """Qubits on which something acts."""
    read: set[Clbit]
    """Bits that something reads as they are."""

    def copy(self) -> _Later:
        return _Later(set(self.acted), set(self.read))

    def include(self, other: _Later) -> None:
        self.acted |= other.acted
        self.read |= other.read

    def become(self, other: _Later) -> None:
        self.acted, self.read = set(other.acted), set(other.read)


class _Backwards:
    """Goes through circuits from their ends."""

    def __init__(self, dropped: Collection[str]) -> None:
        """Args: names of the operations on one qubit that are left out at the end."""
        self._dropped = dropped

    def block(
        self, circuit: QuantumCircuit, outer: Mapping[Any, Any], later: _Later, loop: _Later | None
    ) -> QuantumCircuit:
        """Return a block without what is final.

        Args:
            circuit: the block.
            outer: the whole circuit's bits by the block's.
            later: what happens after the block; afterwards, what happens from its start.
            loop: what may happen after a break or continue in it.
        """
        kept = []
        for item in reversed(circuit.data):
            operation, name = item.operation, item.operation.name
            qubits, bits = [outer[qubit] for qubit in item.qubits], [outer[bit] for bit in item.clbits]
            if name == "barrier":
                pass
            elif name in ("break_loop", "continue_loop"):
                assert loop is not None, "Qiskit has these inside of loops only"
                later.become(loop)
            elif getattr(operation, "blocks", ()):
                operation = self._control_flow(operation, outer, dict(enumerate((*qubits, *bits))), later, loop)
                if operation is None:
                    continue
            else:
                final = later.acted.isdisjoint(qubits) and later.read.isdisjoint(bits)
                if final and name in self._dropped:
                    continue
                later.acted.update(qubits)
                if name == "measure":
                    later.read.difference_update(bits)
                else:
                    later.read.update(bits, (outer.get(bit, bit) for bit in _read_by_store(operation)))
            kept.append(item.replace(operation=operation))
        shorter: QuantumCircuit = circuit.copy_empty_like()
        for item in reversed(kept):
            shorter.append(item)
        return shorter

    def _control_flow(
        self,
        operation: Operation,
        outer: Mapping[Any, Any],
        places: Mapping[int, Any],
        later: _Later,
        loop: _Later | None,
    ) -> Operation | None:
        """Return the operation without what is final inside; None where nothing is left that could matter."""
        condition = [outer.get(bit, bit) for bit in _read_by_condition(operation)]

        def inside(after: _Later, around: _Later | None) -> tuple[list[QuantumCircuit], _Later]:
            blocks, before = [], after.copy()
            for block in operation.blocks:
                own, start = {bit: places[k] for k, bit in enumerate((*block.qubits, *block.clbits))}, after.copy()
                blocks.append(self.block(block, own, start, around))
                before.include(start)
            return blocks, before

        if operation.name in ("for_loop", "while_loop"):
            around = later.copy()
            around.read.update(condition)
            blocks, before = inside(around, around)
            while before != around:
                around = before
                blocks, before = inside(around, around)
        else:
            blocks, before = inside(later, loop)
        # A while loop may never end, and so matters without any operation inside.
        if operation.name != "while_loop" and not any(_is_more_than_barriers(block) for block in blocks):
            return None
        later.become(before)
        later.read.update(condition)
        return operation.replace_blocks(blocks)


def _identity(circuit: QuantumCircuit) -> Mapping[Any, Any]:
    return {bit: bit for bit in (*circuit.qubits, *circuit.clbits)}


def has_operation(circuit: QuantumCircuit, name: str) -> bool:
    """Return whether an operation is anywhere in the circuit, inside control flow too."""
    there = circuit.count_ops()  # which is much faster than to look at each
    if name in there:
        return True
    return not _BLOCKS.isdisjoint(there) and any(
        has_operation(block, name) for item in circuit.data for block in getattr(item.operation, "blocks", ())
    )


def _is_more_than_barriers(block: QuantumCircuit) -> bool:
    return any(item.operation.name != "barrier" for item in block.data)


def _read_by_condition(operation: Operation) -> Sequence[Clbit]:
    from qiskit.circuit import Clbit
    from qiskit.circuit.classical import expr
    from qiskit.circuit.controlflow import condition_resources, node_resources

    if operation.name in ("if_else", "while_loop"):
        return tuple(condition_resources(operation.condition).clbits)
    if operation.name != "switch_case":
        return ()
    target = operation.target
    if isinstance(target, expr.Expr):
        return tuple(node_resources(target).clbits)
    return (target,) if isinstance(target, Clbit) else tuple(target)


def _read_by_store(operation: Operation) -> Iterable[Clbit]:
    from qiskit.circuit.classical import expr
    from qiskit.circuit.controlflow import node_resources

    if operation.name != "store":
        return ()
    target, value = operation.params
    nodes = [value, target.index] if isinstance(target, expr.Index) else [value]
    return (bit for node in nodes for bit in node_resources(node).clbits)
