"""Standard errors are what is known after so many shots: 0 for exact values only, and honest for few shots."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from qonverge.backend.engines.estimation import Sample
from qonverge.backend.engines.protocol import Provider
from tests.unit.backend.engines.engines import KINDS, engine, label, run

ALL: dict[str, Provider] = {name: engine(name) for name in KINDS}


def zero() -> QuantumCircuit:
    return QuantumCircuit(2)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("shots", "error"),
    # sqrt(4 / (n (n + 3))) where all outcomes are equal.
    [(1, 1.0), (2, math.sqrt(0.4)), (3, math.sqrt(4 / 18)), (1000, 2 / math.sqrt(1000 * 1003))],
)
def test_equal_outcomes_leave_an_error(name: str, shots: int, error: float) -> None:
    answer = run(ALL[name], zero(), observables=(label("ZI"), label("XI")), shots=shots)
    assert answer.expectation_values is not None
    assert answer.standard_errors is not None
    assert answer.expectation_values[0, 0] == 1
    assert answer.standard_errors[0, 0] == pytest.approx(error)
    assert answer.standard_errors[0, 1] > 0
    if shots == 1:
        assert answer.standard_errors[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_known_exactly_has_no_error(name: str) -> None:
    identity = (label("II"), (("II", 2.5), ("ZZ", 0.0)), (("ZZ", 1.0), ("ZZ", -1.0)))
    sampled = run(ALL[name], zero(), observables=identity, shots=3)
    exact = run(ALL[name], zero(), observables=(label("XX"), *identity))
    assert sampled.expectation_values == pytest.approx(np.array([[1, 2.5, 0]]))
    assert exact.expectation_values == pytest.approx(np.array([[0, 1, 2.5, 0]]))
    for answer in (sampled, exact):
        assert answer.standard_errors is not None
        assert not answer.standard_errors.any()


@pytest.mark.parametrize("name", KINDS)
def test_a_precision_of_1_is_kept_and_told(name: str) -> None:
    answer = run(ALL[name], zero(), observables=(label("XX"), label("ZZ")), precision=1.0)
    assert answer.standard_errors is not None
    assert ((answer.standard_errors > 0.5) & (answer.standard_errors <= 1)).all()


def signs(ones: int, shots: int) -> Sample:
    return Sample.of([0, 1], [shots - ones, ones])


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 400), st.data())
def test_errors_of_one_operator_follow_the_rule(shots: int, data: st.DataObject) -> None:
    ones, weight = data.draw(st.integers(0, shots)), data.draw(st.floats(0.1, 10))
    mean, variance = signs(ones, shots).estimate((("Z", weight),))
    outcomes = weight * np.array([1.0] * (shots - ones) + [-1.0] * ones)
    assert mean == pytest.approx(outcomes.mean())
    spread = ((outcomes - outcomes.mean()) ** 2).sum()
    assert variance == pytest.approx((spread + 4 * weight**2) / (shots * (shots + 3)))
    # So the shots that a precision asks for keep it, however the outcomes fall.
    assert shots == 1 or variance <= weight**2 / (shots - 1)
    assert variance > 0


@pytest.mark.parametrize(("one", "shots"), [(0.5, 1), (0.5, 5), (0.3, 20), (0.1, 50), (0.02, 100), (0.3, 4000)])
def test_errors_are_right_on_average(one: float, shots: int) -> None:
    ones = np.arange(shots + 1)
    logs = [math.lgamma(shots + 1) - math.lgamma(k + 1) - math.lgamma(shots - k + 1) for k in ones]
    chances = np.exp(np.array(logs) + ones * math.log(one) + (shots - ones) * math.log1p(-one))
    told = sum(
        chance * signs(int(k), shots).estimate((("Z", 1.0),))[1] for k, chance in zip(ones, chances, strict=True)
    )
    true = 4 * one * (1 - one) / shots
    # Never too small, too large by no more than the four shots of mixed qubits, and right for these and for many shots.
    assert true * (1 - 1e-9) <= told <= true + 4 * (1 - 4 * one * (1 - one)) / (shots * (shots + 3)) + 1e-12


@pytest.mark.parametrize("name", KINDS)
def test_most_values_lie_within_two_errors_for_few_shots(name: str) -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.s(0)
    observable = (("XX", 0.5), ("YX", 1.0), ("ZZ", -0.7), ("IZ", 0.3))
    true = 1.0 - 0.7
    hits = 0
    for seed in range(200):
        answer = run(ALL[name], circuit, observables=(observable,), shots=4, seed=seed)
        assert answer.expectation_values is not None
        assert answer.standard_errors is not None
        hits += abs(float(answer.expectation_values[0, 0]) - true) <= 2 * float(answer.standard_errors[0, 0])
    assert hits >= 180
