"""Operations that are no gates of a table: controlled, composite, or known by their matrix only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import cirq
import numpy as np
from cirq.ops.control_values import AbstractControlValues
from qiskit.circuit.library import CPhaseGate, GlobalPhaseGate, MCPhaseGate, PhaseGate, XGate

from qonverge.client.cirq.gates import Step, phase, translate, unitary, z_power
from qonverge.client.cirq.symbols import NeedsValues, Symbols

# A matrix of so many qubits is some ten thousand gates already.
_MOST_MATRIX_QUBITS = 8


class Operations:
    """Steps of operations, in terms of a circuit's symbols."""

    def __init__(self, symbols: Symbols) -> None:
        """Share the qubits that decompositions borrow: none of them is used twice at a time."""
        self._symbols = symbols
        self._context = cirq.DecompositionContext(cirq.SimpleQubitManager(prefix="_qonverge"))

    def steps(self, operation: cirq.Operation, *, exact: bool = False) -> Iterator[Step] | None:
        """Return the steps of a gate without tags, maybe under controls; None of any other operation."""
        if isinstance(operation, cirq.ControlledOperation):
            inner = list(self._exactly(operation.sub_operation))
            return _under(inner, operation.controls, operation.control_values)
        return translate(operation.gate, operation.qubits, self._symbols.number, exact)

    def parts(self, operation: cirq.Operation) -> Sequence[cirq.Operation] | None:
        """Return what the operation is composed of, by its own account; None if it says nothing.

        Raises:
            NeedsValues: that depends on the values of symbols.
        """
        if isinstance(operation, cirq.CircuitOperation):
            if operation.repeat_until is not None:
                raise ValueError(
                    f"the subcircuit {operation} repeats until a condition holds, which cannot be sent: give it a "
                    "number of repetitions"
                )
            if cirq.is_parameterized(operation.repetitions):
                raise NeedsValues
            return list(operation.mapped_circuit().all_operations())
        parts: list[cirq.Operation] | None = cirq.decompose_once(operation, default=None, context=self._context)
        if parts is None and cirq.is_parameterized(operation):
            raise NeedsValues
        return parts

    def _exactly(self, operation: cirq.Operation) -> Iterator[Step]:
        operation = operation.untagged
        steps = self.steps(operation, exact=True)
        if steps is not None:
            yield from steps
            return
        parts = self.parts(operation)
        if parts is None:
            yield matrix(operation)
            return
        for part in parts:
            yield from self._exactly(part)
        if not isinstance(operation, cirq.CircuitOperation):
            # Cirq asks decompositions to be right but for a phase.
            yield phase(_lost_phase(operation, parts))


def matrix(operation: cirq.Operation) -> Step:
    """Return the step of an operation that has a matrix.

    Raises:
        ValueError: it has none, or one of too many qubits.
    """
    if not cirq.has_unitary(operation):
        raise ValueError(_refusal(operation))
    if len(operation.qubits) > _MOST_MATRIX_QUBITS:
        raise ValueError(
            f"the operation {operation} acts on {len(operation.qubits)} qubits and does not say what it is composed "
            f"of: beyond {_MOST_MATRIX_QUBITS} qubits a gate needs a _decompose_ method"
        )
    return unitary(operation, operation.qubits)


def _refusal(operation: cirq.Operation) -> str:
    if cirq.has_kraus(operation):
        return (
            f"the operation {operation} is a noise channel, and circuits are sent without noise: leave it out, and run "
            "the circuit on a backend that has a noise model"
        )
    return f"the operation {operation} has neither a unitary nor a decomposition: give its gate one of them"


def _under(steps: Sequence[Step], controls: Sequence[cirq.Qid], values: AbstractControlValues) -> Iterator[Step]:
    """Control the steps; each combination of values that is allowed takes its turn, since they exclude each other."""
    controls = tuple(controls)
    for combination in values.expand():
        opened = [
            Step(XGate(), (qubit,), frame=True) for qubit, value in zip(controls, combination, strict=True) if not value
        ]
        yield from opened
        for gate, qubits, frame in steps:
            if frame:
                yield Step(gate, qubits, frame)
            elif isinstance(gate, GlobalPhaseGate | PhaseGate | CPhaseGate | MCPhaseGate):
                yield from z_power(gate.params[0] / math.pi, controls + qubits)
            else:
                yield Step(gate.control(len(controls), annotated=False), controls + qubits)
        yield from opened


def _lost_phase(operation: cirq.Operation, parts: Sequence[cirq.Operation]) -> float:
    """Return the phase of the operation over that of its parts, as they act on some state."""
    if cirq.is_parameterized(operation):
        raise NeedsValues
    qubits = tuple(dict.fromkeys(qubit for each in (operation, *parts) for qubit in each.qubits))
    shape = (2,) * len(qubits)
    whole, composed = (
        cirq.apply_unitaries(
            operations,
            qubits,
            cirq.ApplyUnitaryArgs(
                cirq.one_hot(shape=shape, dtype=np.complex128), np.empty(shape, dtype=np.complex128), range(len(qubits))
            ),
        )
        for operations in ([operation], parts)
    )
    assert whole is not None
    assert composed is not None
    return float(np.angle(np.vdot(composed, whole)))
