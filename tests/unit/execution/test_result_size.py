"""How large a circuit's result may be, against results as they come."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qonverge.api import HybridJob
from qonverge.api.job_status import Result
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.execution.result_size import Room, largest, refusal
from qonverge.execution.results import document
from tests.unit.controller.worlds import BELL

VALUE = (("ZZ", 1.0),)


def job(**spec: Any) -> HybridJob:
    given = {"program": {"circuit": {"openqasm": "x"}}, **spec}
    return HybridJob.model_validate({"metadata": {"name": "j"}, "spec": given})


def circuit(*registers: int) -> CheckedCircuit:
    bits, named = sum(registers), tuple((f"c{number}", size) for number, size in enumerate(registers))
    return replace(BELL, analysis=replace(BELL.analysis, num_clbits=bits, measured_bits=bits, registers=named))


@pytest.mark.parametrize(("registers", "shots"), [((16,), 1000), ((3,), 100_000), ((8, 8), 99_999), ((1, 1, 1), 1)])
def test_no_counts_are_larger_than_is_said_and_the_largest_nearly_as_large(
    registers: tuple[int, ...], shots: int
) -> None:
    bits = sum(registers)
    outcomes = min(shots, 2**bits)
    each, more = divmod(shots, outcomes)
    counts = {}
    for number in range(outcomes):
        text, parts = format(number, f"0{bits}b"), []
        for width in registers:
            parts.append(text[:width])
            text = text[width:]
        counts[" ".join(parts)] = each + (number < more)
    size = largest(job(shots=shots), circuit(*registers))
    true = len(document(Result(counts=counts, shots=shots)))
    assert true <= size.bytes <= 1.1 * true + 100


def test_no_values_are_larger_than_is_said() -> None:
    worst = [-1.2345678901234567e-300] * 500
    size = largest(job(), replace(BELL, observables=tuple(VALUE for _ in worst)))
    true = len(document(Result(expectation_values=worst, standard_errors=worst, shots=10**8)))
    assert true <= size.bytes <= 1.2 * true


def test_a_result_needs_one_place_that_certainly_has_room() -> None:
    size = largest(job(shots=1000), circuit(20))
    small, large, unknown = Room(100, "a has 100"), Room(10**6, "b has more"), Room(None, "c is not known")
    assert refusal(size, [small, large]) is None
    assert refusal(size, [small, unknown]) is None
    told = refusal(size, [small, Room(2600, "b has 2600")])
    assert told is not None
    assert told.startswith(
        "the result may take 25100 bytes, 1000 outcomes of 20 bits with their counts, and there is no "
    )
    assert "a has 100; b has 2600. Before it runs: ask for at most 100 shots, measure fewer qubits, or let" in told
    fits = largest(job(shots=100), circuit(20))
    assert refusal(fits, [small, Room(2600, "b has 2600")]) is None, "what it says to do is good"
    values = largest(job(), replace(BELL, observables=(VALUE,) * 100))
    assert "ask for fewer of them at a time" in (refusal(values, [small]) or "")
