"""Braket's gates as Qiskit's: the matrices are the same, phases included."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from braket.circuits import Circuit, FreeParameter, Gate, Instruction
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit.quantum_info import Operator
from scipy.linalg import fractional_matrix_power
from scipy.stats import unitary_group

from qonverge.client.braket.circuits import Converted, convert
from qonverge.client.braket.gates import NAMES
from qonverge.client.braket.symbols import NeedsValues

ANGLES = (0.3, -1.7, 2.6)
CONTROLS: list[tuple[int, ...]] = [(), (1,), (0,), (0, 1), (0, 0, 0)]


def angles_of(kind: type[Gate]) -> int:
    return sum(name.startswith("angle") for name in inspect.signature(kind.__init__).parameters)


def gates() -> Iterator[Gate]:
    for name in sorted(set(NAMES) - {"Unitary"}):
        kind = getattr(Gate, name)
        yield kind(*ANGLES[: angles_of(kind)])
    for qubits in (1, 2, 3):
        yield Gate.Unitary(unitary_group(2**qubits, seed=qubits).rvs())


def matrix_of(gate: Gate, power: float, state: Sequence[int]) -> NDArray[np.complex128]:
    """The big-endian matrix with a power and controls, which are the most significant bits."""
    matrix = gate.to_matrix()
    powered = (
        np.linalg.matrix_power(matrix, int(power)) if power == int(power) else fractional_matrix_power(matrix, power)
    )
    for bit in reversed(state):
        kept = np.diag([float(not bit), float(bit)])
        matrix = powered = np.kron(kept, powered) + np.kron(np.eye(2) - kept, np.eye(len(powered)))
    return np.asarray(powered, dtype=np.complex128)


def unitary_of(converted: Converted, **values: float) -> NDArray[np.complex128]:
    """The big-endian matrix of a converted circuit."""
    found = {name: column[0] for name, column in converted.symbols.values([values]).items()}
    bound = converted.circuit.assign_parameters(found)
    return np.asarray(Operator(bound.reverse_bits()).data)


def test_the_table_is_all_of_brakets_gates() -> None:
    known = {name for name, kind in vars(Gate).items() if inspect.isclass(kind) and issubclass(kind, Gate)}
    assert known - set(NAMES) == {"PulseGate"}


@pytest.mark.parametrize("state", CONTROLS, ids=str)
@pytest.mark.parametrize("gate", list(gates()), ids=lambda gate: f"{gate.name}{gate.qubit_count}")
def test_gates_have_brakets_matrices(gate: Gate, state: tuple[int, ...]) -> None:
    controls = list(range(len(state)))
    targets = list(range(len(state), len(state) + gate.qubit_count))
    for power in (1, -1, 2, -3, 0.5, -0.3):
        circuit = Circuit().add_instruction(
            Instruction(gate, targets, control=controls, control_state=list(state), power=power)
        )
        np.testing.assert_allclose(
            unitary_of(convert(circuit, sampled=False)), matrix_of(gate, power, state), atol=1e-7, err_msg=str(power)
        )


@pytest.mark.parametrize("state", CONTROLS, ids=str)
@pytest.mark.parametrize("name", sorted(name for name in NAMES if name != "Unitary" and angles_of(getattr(Gate, name))))
def test_free_parameters_mean_what_numbers_mean(name: str, state: tuple[int, ...]) -> None:
    kind = getattr(Gate, name)
    symbols = [FreeParameter(f"s{place}") for place in range(angles_of(kind))]
    values = {f"s{place}": value for place, value in enumerate(ANGLES)}
    gate, bound = kind(*symbols), kind(*ANGLES[: len(symbols)])
    where = {
        "target": list(range(len(state), len(state) + gate.qubit_count)),
        "control": list(range(len(state))),
        "control_state": list(state),
    }
    for power in (1, -1):
        free = convert(Circuit().add_instruction(Instruction(gate, **where, power=power)), sampled=False)
        np.testing.assert_allclose(unitary_of(free, **values), matrix_of(bound, power, state), atol=1e-7)


def test_whole_powers_of_rotations_stay_free_and_others_need_values() -> None:
    a = FreeParameter("a")
    whole = convert(Circuit().rx(0, a, power=4), sampled=False)
    np.testing.assert_allclose(unitary_of(whole, a=0.3), Gate.Rx(1.2).to_matrix(), atol=1e-12)
    part = Circuit().rx(0, a, power=0.5)
    with pytest.raises(NeedsValues):
        convert(part, sampled=False)
    bound = convert(part, sampled=False, values={"a": 0.3})
    np.testing.assert_allclose(unitary_of(bound), Gate.Rx(0.15).to_matrix(), atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["h", "t", "v", "cnot", "iswap", "ecr"]), st.permutations(range(3))), max_size=12
    )
)
def test_circuits_have_brakets_unitary(chosen: list[tuple[str, list[int]]]) -> None:
    circuit = Circuit().i([2, 5, 11])
    places = (5, 2, 11)
    for name, order in chosen:
        width = 1 if name in "htv" else 2
        getattr(circuit, name)(*(places[place] for place in order[:width]))
    np.testing.assert_allclose(unitary_of(convert(circuit, sampled=False)), circuit.to_unitary(), atol=1e-9)


def test_clifford_gates_keep_their_names() -> None:
    circuit = Circuit().h(0).s(0).si(0).v(0).vi(0).cnot(0, 1).cy(0, 1).cz(0, 1).swap(0, 1).iswap(0, 1).ecr(0, 1)
    assert set(convert(circuit, sampled=False).circuit.count_ops()) == {
        *("h", "s", "sdg", "sx", "sxdg", "cx", "cy", "cz", "swap", "iswap", "ecr")
    }


@settings(deadline=None)
@given(st.floats(-5, 5), st.floats(0.1, 5))
def test_expressions_are_computed_from_inputs(a: float, b: float) -> None:
    first, second = FreeParameter("a"), FreeParameter("c")
    circuit = Circuit().rx(0, 2 * first + second**2).rz(0, first / second).ry(0, 2 * first + second**2)
    symbols = convert(circuit, sampled=False).symbols
    found = symbols.values([{"a": a, "c": b}, {"a": 0, "c": 1, "unused": 9}])
    assert len(symbols) == 2
    np.testing.assert_allclose(found["p0"], [2 * a + b**2, 1.0], rtol=1e-12)
    np.testing.assert_allclose(found["p1"], [a / b, 0.0], rtol=1e-12)


def test_the_same_circuit_has_the_same_digest() -> None:
    def built() -> Any:
        return convert(Circuit().rx(0, 2 * FreeParameter("a")).cnot(0, 3), sampled=True).travelling

    assert built() == built()
