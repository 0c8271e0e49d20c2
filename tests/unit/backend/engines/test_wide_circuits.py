"""Circuits far wider than any state in memory, of little entanglement: Automatic runs them, and rightly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from qiskit import QuantumCircuit

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.auto import Automatic
from qonverge.backend.engines.protocol import Provider
from qonverge.wire.errors import CircuitTooLarge
from tests.unit.backend.engines.engines import engine, run
from tests.unit.circuits.analysis.wide import adder, cat, chain, fourier, multiplier, parity, scrambled, swap_test

MIB = 1024**2
ENGINES: dict[str, Provider] = {
    "Aer": engine("Aer", memory_bytes=512 * MIB),
    "Automatic": Automatic(EngineConfig(provider="Automatic", memory_bytes=512 * MIB)),
}


def measured(circuit: QuantumCircuit) -> QuantumCircuit:
    whole: QuantumCircuit = circuit.measure_all(inplace=False)
    return whole


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    ("circuit", "low", "width", "number"),
    [
        (chain(64), 0, 64, 2**64 - 1),
        (adder(64, 0b1011, 0b0110), 32, 31, 0b1011 + 0b0110),
        (adder(64, 2**31 - 1, 1), 32, 32, 2**31),
        (adder(64, 0b1011, 0b0110, decomposed=True), 32, 31, 0b1011 + 0b0110),
        (adder(300, 12345, 54321), 150, 149, 66666),
        (multiplier(9, 45, 55), 18, 18, 45 * 55),
    ],
    ids=["chain", "adder", "adder that carries", "adder of cx", "wide adder", "multiplier"],
)
def test_arithmetic_on_basis_states(name: str, circuit: QuantumCircuit, low: int, width: int, number: int) -> None:
    answer = run(ENGINES[name], measured(circuit), shots=20)
    ((outcome, count),) = answer.counts[0].items()
    assert count == 20
    assert int(outcome, 2) >> low & (2**width - 1) == number
    assert answer.method == "matrix_product_state"


@pytest.mark.parametrize("decomposed", [False, True])
def test_a_swap_test_tells_the_overlap(decomposed: bool) -> None:
    width = 20
    angles = np.linspace(0.2, 1.5, width)
    turns = np.concatenate([angles, angles + np.linspace(-0.2, 0.3, width)])
    overlap = math.prod(math.cos((turns[k] - turns[width + k]) / 2) ** 2 for k in range(width))
    circuit = swap_test(2 * width + 1, decomposed=decomposed, angles=turns)
    label = "I" * (2 * width) + "Z"
    exact = run(ENGINES["Automatic"], circuit, observables=(((label, 1.0),),))
    assert exact.expectation_values == pytest.approx(np.array([[overlap]]), abs=1e-8)
    assert exact.method == "matrix_product_state"
    sampled = run(ENGINES["Automatic"], circuit, observables=(((label, 1.0),),), shots=400)
    assert sampled.expectation_values is not None
    assert sampled.standard_errors is not None
    assert abs(sampled.expectation_values[0, 0] - overlap) <= 6 * sampled.standard_errors[0, 0]


def test_a_hidden_parity_a_transform_and_a_cat() -> None:
    ((outcome, _),) = run(ENGINES["Automatic"], measured(parity(70)), shots=1).counts[0].items()
    assert outcome[1:] == "".join("1" if k % 2 == 0 else "0" for k in reversed(range(69)))
    n = 40
    transform = fourier(n)
    # Of the basis state 2^3, qubit k ends on the equator at the angle 2 pi 2^3 / 2^(k + 1).
    labels = tuple(("I" * (n - 1 - k) + letter + "I" * k, 1.0) for k in (0, 5, n - 1) for letter in "XY")
    found = run(ENGINES["Automatic"], transform, observables=tuple((label,) for label in labels))
    angles = [2 * math.pi * 2**3 / 2 ** (k + 1) for k in (0, 5, n - 1)]
    true = [turn(angle) for angle in angles for turn in (math.cos, math.sin)]
    assert found.expectation_values == pytest.approx(np.array([true]), abs=1e-8)
    counts = run(ENGINES["Automatic"], measured(cat(130)), shots=300).counts[0]
    assert set(counts) == {"0" * 130, "1" * 130}


@pytest.mark.parametrize("name", ENGINES)
def test_what_entangles_is_refused_and_the_method_named(name: str) -> None:
    with pytest.raises(CircuitTooLarge, match=r"40 qubits needs 16 TiB .* or the method MatrixProductState"):
        run(ENGINES[name], measured(scrambled(40, 30)), shots=10)
