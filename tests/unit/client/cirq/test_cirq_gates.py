"""Cirq's gates as Qiskit's: the matrices are the same, phases included where a control shows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cirq
import pytest
from qiskit.quantum_info import Operator

from qonverge.client.cirq.circuits import convert

A, B, C = cirq.LineQubit.range(3)


def powers() -> Iterator[cirq.Gate]:
    kinds: list[Any] = [
        *(cirq.XPowGate, cirq.YPowGate, cirq.ZPowGate, cirq.HPowGate, cirq.CZPowGate, cirq.CXPowGate),
        *(cirq.SwapPowGate, cirq.ISwapPowGate, cirq.XXPowGate, cirq.YYPowGate, cirq.ZZPowGate),
        *(cirq.CCZPowGate, cirq.CCXPowGate),
    ]
    for kind in kinds:
        for exponent in (0, 0.25, 0.5, 1, 1.5, -0.5, 2, 3, -1, 0.3, 1.75):
            yield kind(exponent=exponent)
        yield kind(exponent=0.7, global_shift=-0.5)
        yield kind(exponent=1, global_shift=0.3)


def others() -> Iterator[cirq.Gate]:
    for t in (0, 0.5, 1, -0.3):
        yield cirq.PhasedXPowGate(phase_exponent=0.3, exponent=t, global_shift=0.2)
        yield cirq.PhasedXZGate(x_exponent=t, z_exponent=0.2, axis_phase_exponent=0.7)
        yield cirq.FSimGate(t, 0.4)
        yield cirq.PhasedFSimGate(t, 0.1, 0.2, 0.3, 0.4)
        yield cirq.PhasedISwapPowGate(phase_exponent=0.3, exponent=t)
    for qubits in (1, 2, 3):
        yield cirq.MatrixGate(cirq.testing.random_unitary(2**qubits, random_state=qubits))
    yield from (cirq.rx(0.3), cirq.ry(0.3), cirq.rz(0.3), cirq.ms(0.4), cirq.givens(0.3), cirq.CSWAP, cirq.T**-1)
    yield cirq.QuantumFourierTransformGate(3)
    yield cirq.QubitPermutationGate([2, 0, 1])
    yield cirq.ThreeQubitDiagonalGate([0.1 * i for i in range(8)])
    yield cirq.SingleQubitCliffordGate.Y_nsqrt
    yield cirq.DensePauliString("XYZ", coefficient=-1)
    yield cirq.PauliStringPhasorGate(cirq.DensePauliString("XZ"), exponent_neg=0.3)
    yield cirq.IdentityGate(2)


def assert_same_unitary(operation: cirq.Operation) -> None:
    circuit = cirq.Circuit(operation)
    order = sorted(circuit.all_qubits())
    ours = Operator(convert(circuit, order).circuit.reverse_bits()).data
    cirq.testing.assert_allclose_up_to_global_phase(ours, circuit.unitary(), atol=1e-7)


@pytest.mark.parametrize("gate", [*powers(), *others()], ids=str)
def test_gates_have_cirqs_matrices(gate: cirq.Gate) -> None:
    operation = gate.on(*cirq.LineQubit.range(cirq.num_qubits(gate)))
    assert_same_unitary(operation)
    # A control makes the phase visible.
    assert_same_unitary(operation.controlled_by(cirq.q(8), control_values=[0]))


@pytest.mark.parametrize(
    "values",
    [[1, 1], [0, 1], [(0, 1), 1], [0, (0, 1)], cirq.SumOfProducts([(0, 1), (1, 0)])],
    ids=str,
)
@pytest.mark.parametrize("gate", [cirq.X, cirq.Y**0.3, cirq.ISWAP**0.5, cirq.rz(0.4), cirq.S], ids=str)
def test_controls_of_every_kind(gate: cirq.Gate, values: Any) -> None:
    operation = gate.on(*cirq.LineQubit.range(cirq.num_qubits(gate)))
    assert_same_unitary(operation.controlled_by(cirq.q(8), cirq.q(9), control_values=values))


def test_controlled_subcircuits_keep_their_phase() -> None:
    inner = cirq.FrozenCircuit(cirq.X(A) ** 0.3, cirq.global_phase_operation(1j), cirq.CZ(A, B) ** 0.2)
    assert_same_unitary(cirq.CircuitOperation(inner, repetitions=2).controlled_by(C))


def test_powers_with_names_in_qiskit_stay_clifford() -> None:
    circuit = cirq.Circuit(cirq.X(A) ** 0.5, cirq.Y(A) ** -0.5, cirq.Z(A) ** 1.5, cirq.ISWAP(A, B) ** -1, cirq.XX(A, B))
    assert set(convert(circuit, (A, B)).circuit.count_ops()) <= {"sx", "h", "z", "sdg", "swap", "cz", "x"}
