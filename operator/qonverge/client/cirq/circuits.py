"""Cirq's circuits as Qiskit's, ready to travel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cirq
import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, ControlFlowOp, QuantumRegister, Reset
from qiskit.circuit.classical import expr
from qiskit.circuit.library import GlobalPhaseGate, StatePreparation

from qonverge.client.cirq.conditions import both, expression
from qonverge.client.cirq.gates import Step
from qonverge.client.cirq.operations import Operations, matrix
from qonverge.client.cirq.records import Measurement
from qonverge.client.cirq.symbols import Symbols
from qonverge.client.transport.circuits import CircuitCache


@dataclass(frozen=True, eq=False)
class Converted:
    """A circuit, and how its parameters and bits are Cirq's symbols and measurement keys."""

    circuit: QuantumCircuit
    """Each measurement has a register of its own."""
    symbols: Symbols
    measured: Mapping[str, Sequence[Measurement]]
    """The measurements of each key, in the order of the program."""
    qubits: Mapping[cirq.Qid, int]
    """Index of each qubit; those that a decomposition borrowed come last."""

    @cached_property
    def travelling(self) -> tuple[str, bytes]:
        """(digest, QPY)."""
        return CircuitCache().travel(self.circuit)


def convert(program: cirq.AbstractCircuit, order: Sequence[cirq.Qid]) -> Converted:
    """Return the circuit on its qubits in this order; global phases are left out.

    Raises:
        ValueError: an operation cannot be sent, saying which and what to do.
        NeedsValues: an operation can be sent only once its symbols have values.
    """
    for qubit in order:
        if qubit.dimension != 2:
            raise ValueError(
                f"{qubit!r} has {qubit.dimension} levels, and circuits are sent for qubits only: encode it in qubits"
            )
    conversion = _Conversion(order)
    for operation in program.all_operations():
        conversion.add(operation)
    return conversion.result()


class _Conversion:
    def __init__(self, order: Sequence[cirq.Qid]) -> None:
        self._circuit = QuantumCircuit(len(order))
        self._qubits = {qubit: index for index, qubit in enumerate(order)}
        self._symbols = Symbols()
        self._operations = Operations(self._symbols)
        self._measured: dict[str, list[Measurement]] = {}

    def result(self) -> Converted:
        return Converted(self._circuit, self._symbols, self._measured, self._qubits)

    def add(self, operation: cirq.Operation, when: expr.Expr | bool = True) -> None:
        """Append an operation that runs on a condition."""
        operation = operation.untagged
        gate = operation.gate
        if isinstance(operation, cirq.ClassicallyControlledOperation):
            for condition in sorted(operation.classical_controls, key=str):
                when = both(when, expression(condition, self._measured))
            if when is not False:
                self.add(operation.without_classical_controls(), when)
        elif isinstance(gate, cirq.MeasurementGate):
            self._measure(gate, operation.qubits)
        elif isinstance(gate, cirq.ResetChannel | cirq.StatePreparationChannel):
            steps = [Step(Reset(), (qubit,)) for qubit in operation.qubits]
            if isinstance(gate, cirq.StatePreparationChannel):
                steps.append(Step(StatePreparation(gate.state), operation.qubits[::-1]))
            self._append(steps, when)
        elif (found := self._operations.steps(operation)) is not None:
            self._append(found, when)
        elif (parts := self._operations.parts(operation)) is not None:
            for part in parts:
                self.add(part, when)
        else:
            self._append([matrix(operation)], when)

    def _append(self, steps: Iterable[Step], when: expr.Expr | bool) -> None:
        placed = [
            (gate, [self._index(qubit) for qubit in qubits])
            for gate, qubits, _ in steps
            if not isinstance(gate, GlobalPhaseGate)
        ]
        with nullcontext() if when is True or not placed else self._circuit.if_test(when):
            for gate, indices in placed:
                self._circuit.append(gate, indices, copy=False)

    def _index(self, qubit: cirq.Qid) -> int:
        if qubit not in self._qubits:
            self._qubits[qubit] = len(self._qubits)
            self._circuit.add_register(QuantumRegister(1, f"a{self._qubits[qubit]}"))
        return self._qubits[qubit]

    def _measure(self, gate: cirq.MeasurementGate, qubits: tuple[cirq.Qid, ...]) -> None:
        instances = self._measured.setdefault(gate.key, [])
        if instances and len(instances[0].register) != len(qubits):
            raise ValueError(
                f"the measurement key {gate.key} is repeated with {len(instances[0].register)} and with {len(qubits)} "
                "qubits: a key always measures the same number"
            )
        register = ClassicalRegister(len(qubits), f"m{len(self._circuit.cregs)}")
        self._circuit.add_register(register)
        self._circuit.measure([self._index(qubit) for qubit in qubits], register)
        instances.append(Measurement(register, gate.full_invert_mask(), gate.confusion_map))


def exact(converted: Converted, order: Sequence[cirq.Qid], initial_state: Any) -> tuple[Converted, frozenset[int]]:
    """Return the circuit without the measurements that end it, and the qubits that those measure.

    Args:
        converted: circuit.
        order: qubits of the program.
        initial_state: a state as ``cirq.to_valid_state_vector`` takes it; None: all qubits are 0.

    Raises:
        ValueError: a qubit is used, or a bit is read, after a measurement.
    """
    circuit = converted.circuit
    if initial_state is None and not circuit.cregs:
        return converted, frozenset()
    used, ended, kept = set[object](), set[int](), []
    for item in reversed(circuit.data):
        if item.operation.name == "measure" and not used.intersection((*item.qubits, *item.clbits)):
            ended.add(circuit.find_bit(item.qubits[0]).index)
            continue
        if item.operation.name == "measure" or isinstance(item.operation, ControlFlowOp):
            raise ValueError(
                "the circuit goes on after a measurement, so that it has no single final state: sample it, for example "
                "by sample_expectation_values"
            )
        used.update(item.qubits)
        kept.append(item)
    plain = QuantumCircuit(circuit.num_qubits)
    if initial_state is not None:
        # Cirq's first qubit is the most significant, Qiskit's the least.
        state = cirq.to_valid_state_vector(initial_state, qid_shape=(2,) * len(order), dtype=np.complex128)
        plain.append(StatePreparation(state), range(len(order))[::-1])
    for item in reversed(kept):
        plain.append(item.operation, [circuit.find_bit(qubit).index for qubit in item.qubits], copy=False)
    return Converted(plain, converted.symbols, {}, converted.qubits), frozenset(ended)
