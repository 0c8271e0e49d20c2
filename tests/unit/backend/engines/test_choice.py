"""Which method runs a circuit, and why."""

from __future__ import annotations

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2

from qonverge.backend.engines.choice import choose
from qonverge.circuits.analysis.analysis import analyse
from qonverge.wire.errors import CircuitTooLarge

GIB = 1024**3


def chain(qubits: int, layers: int, *, clifford: bool = False) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    for _ in range(layers):
        if clifford:
            circuit.h(range(qubits))
        else:
            circuit.ry(0.3, range(qubits))
        for qubit in range(qubits - 1):
            circuit.cx(qubit, qubit + 1)
    return circuit


@pytest.mark.parametrize(
    ("circuit", "method", "reason"),
    [
        (chain(2, 1, clifford=True), "Statevector", "2 qubits need 64 B"),
        (chain(12, 1, clifford=True), "Stabilizer", "all gates are Clifford, on 12 qubits"),
        (chain(16, 2), "Statevector", "16 qubits need 1 MiB"),
        (chain(20, 4), "MatrixProductState", "20 qubits with a bond dimension of at most 16"),
        (chain(20, 5), "Statevector", "20 qubits need 16 MiB"),
        (chain(60, 5), "MatrixProductState", "60 qubits with a bond dimension of at most 32"),
    ],
)
def test_automatic_chooses_by_gates_width_and_entanglement(circuit: QuantumCircuit, method: str, reason: str) -> None:
    choice = choose("Automatic", analyse(circuit), GIB)
    assert (choice.method, choice.reason) == (method, reason)


def test_a_wide_circuit_that_entangles_is_refused_with_both_bounds() -> None:
    with pytest.raises(CircuitTooLarge, match=r"40 qubits needs 16 TiB .* 1 GiB here.*26 qubits.* 2\^12\)"):
        choose("Automatic", analyse(chain(40, 12)), GIB)


def test_little_memory_refuses_a_matrix_product_state_too() -> None:
    assert choose("Automatic", analyse(chain(60, 8)), GIB).method == "MatrixProductState"
    with pytest.raises(CircuitTooLarge):
        choose("Automatic", analyse(chain(60, 8)), 64 * 1024**2)


def test_a_method_that_is_set_is_used_where_it_fits() -> None:
    analysis = analyse(chain(15, 1, clifford=True))
    assert choose("Statevector", analysis, GIB).method == "Statevector"
    assert choose("Stabilizer", analysis, 1).reason == "the backend is set to it"
    with pytest.raises(CircuitTooLarge, match="density matrix of 15 qubits needs 16 GiB"):
        choose("DensityMatrix", analysis, GIB)


def bond(circuit: QuantumCircuit) -> int:
    return analyse(circuit).bond_bits


def test_the_bound_counts_what_crosses_each_cut() -> None:
    assert bond(QuantumCircuit(5)) == 0
    ghz = QuantumCircuit(6)
    for qubit in range(5):
        ghz.cx(qubit, qubit + 1)
    assert bond(ghz) == 1
    ghz.cx(0, 5)
    assert bond(ghz) == 2
    ghz.swap(2, 3)
    assert bond(ghz) == 3, "no more than half of the qubits"
    assert bond(efficient_su2(10, reps=3, entanglement="linear").decompose()) == 3
    barriers = QuantumCircuit(4)
    barriers.barrier()
    barriers.measure_all()
    assert bond(barriers) == 0


def test_the_bound_of_a_loop_is_that_of_any_state() -> None:
    circuit = QuantumCircuit(6, 1)
    with circuit.for_loop(range(3)):
        circuit.cx(0, 1)
    assert bond(circuit) == 3
