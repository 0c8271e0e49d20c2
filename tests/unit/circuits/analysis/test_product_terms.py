"""States as sums of few products: they are the circuit's states, and bound their entanglement."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter
from qiskit.quantum_info import Statevector

from qonverge.circuits.analysis.analysis import analyse
from qonverge.circuits.analysis.product_terms import MOST_TERMS, ProductTerms, Untracked
from tests.unit.circuits.analysis.wide import adder, cat, chain, fourier, multiplier, parity, scrambled, swap_test

GATES = {
    **dict.fromkeys(("h", "x", "t", "sx", "s"), (1, 0)),
    **dict.fromkeys(("cx", "cz", "cy", "ch", "csx", "swap", "iswap", "ecr", "dcx", "cs"), (2, 0)),
    **dict.fromkeys(("rx", "ry", "rz", "p"), (1, 1)),
    **dict.fromkeys(("cp", "crx", "cry", "crz", "rzz", "rxx"), (2, 1)),
    **dict.fromkeys(("ccx", "cswap", "ccz", "rccx"), (3, 0)),
    "cu": (2, 4),
}


@st.composite
def circuits(draw: st.DrawFn) -> QuantumCircuit:
    """Circuits in which few qubits are in superposition, so that structure shows."""
    n = draw(st.integers(3, 6))
    circuit = QuantumCircuit(n)
    for _ in range(draw(st.integers(1, 18))):
        name = draw(st.sampled_from(sorted(GATES)))
        width, angles = GATES[name]
        values = [draw(st.sampled_from((0.0, math.pi / 2, math.pi, 0.7, -1.3))) for _ in range(angles)]
        getattr(circuit, name)(*values, *draw(st.permutations(range(n)))[:width])
    return circuit


def state_of(terms: ProductTerms) -> NDArray[np.complex128]:
    """Return the amplitudes that the terms sum up to, qubit 0 lowest."""
    factors, weights = terms.products()
    products = [reduce(np.kron, factors[::-1, term]) for term in range(len(weights))]
    state: NDArray[np.complex128] = np.tensordot(weights, np.array(products), 1)
    return state


def rank(state: NDArray[np.complex128], qubits: list[int]) -> int:
    """Return the Schmidt rank of some qubits with the others."""
    n = int(math.log2(len(state)))
    axes = [n - 1 - qubit for qubit in qubits]
    rest = [axis for axis in range(n) if axis not in axes]
    matrix = state.reshape((2,) * n).transpose(axes + rest).reshape(2 ** len(axes), -1)
    return int((np.linalg.svd(matrix, compute_uv=False) > 1e-7).sum())


@settings(max_examples=200, deadline=None)
@given(circuits(), st.data())
def test_the_terms_are_the_state_and_bound_its_rank(circuit: QuantumCircuit, data: st.DataObject) -> None:
    terms, there = ProductTerms(circuit.num_qubits), Statevector.from_int(0, 2**circuit.num_qubits)
    qubits = data.draw(st.lists(st.integers(0, circuit.num_qubits - 1), min_size=1, max_size=3, unique=True))
    for item in circuit.data:
        places = [circuit.find_bit(qubit).index for qubit in item.qubits]
        terms.apply(item.operation, places)
        there = there.evolve(item.operation, places)
        state = state_of(terms)
        # Definitions leave out global phases.
        assert abs(np.vdot(state, there.data)) == pytest.approx(1, abs=1e-8)
        assert np.linalg.norm(state) == pytest.approx(1, abs=1e-8)
        assert rank(there.data, qubits) <= terms.count <= terms.peak


@pytest.mark.parametrize(
    ("circuit", "bits"),
    [
        (chain(64), 0),
        (adder(64), 0),
        (adder(64, decomposed=True), 0),
        (swap_test(41), 1),
        (swap_test(41, decomposed=True), 3),
        (parity(70), 0),
        (multiplier(9), 0),
        (fourier(63), 0),
        (cat(130), 1),
    ],
    ids=["chain", "adder", "adder of cx", "swap test", "swap test of cx", "parity", "multiplier", "fourier", "cat"],
)
def test_wide_circuits_of_little_entanglement_are_known_as_such(circuit: QuantumCircuit, bits: int) -> None:
    analysis = analyse(circuit)
    assert analysis.bond_bits == bits
    assert analysis.compact_bytes is not None
    assert analysis.compact_bytes < 1024**2


def test_what_entangles_without_structure_keeps_the_bound_of_its_gates() -> None:
    assert analyse(scrambled(40, 30)).bond_bits == 15
    assert analyse(scrambled(40, 30)).compact_bytes is None


def test_gates_count_from_where_the_state_is_no_longer_followed() -> None:
    circuit = adder(40)
    circuit.append(_unknown(), [0, 20])
    circuit.append(_unknown(), [0, 20])
    assert analyse(circuit).bond_bits == 4
    measured = chain(40)
    measured.h(5)
    measured.cx(5, 6)
    measured.measure_all(inplace=True)
    assert analyse(measured).bond_bits == 1
    measured.cx(5, 7)
    assert analyse(measured).bond_bits == 2


def test_a_parameter_stands_for_every_value() -> None:
    angle, circuit = Parameter("t"), chain(40)
    circuit.rx(angle, 0)
    circuit.cx(0, 39)
    assert analyse(circuit).bond_bits == 1


def test_too_many_terms_are_not_followed() -> None:
    terms = ProductTerms(20)
    circuit = scrambled(20, 2)
    with pytest.raises(Untracked):
        for item in circuit.data:
            terms.apply(item.operation, [circuit.find_bit(qubit).index for qubit in item.qubits])
    assert terms.count <= MOST_TERMS


def _unknown() -> Gate:
    definition = QuantumCircuit(2)
    definition.rxx(0.3, 0, 1)
    gate = Gate("swap", 2, [])
    gate.definition = definition
    return gate
