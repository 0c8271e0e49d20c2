"""Programs: what is understood, and what a person is told of the others."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qonverge.circuits import InvalidProgram
from qonverge.circuits.analysis.analysis import Analysis, analyse
from qonverge.circuits.checker.checked_circuit import check
from qonverge.circuits.checker.checker import Checker
from qonverge.circuits.checker.lanes import Limits

HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
BELL = HEADER + "qubit[2] q; bit[2] c;\nh q[0]; cx q[0], q[1];\nc = measure q;\n"


PARAMETRIC = HEADER + "input float theta; qubit[2] q; bit[2] c; rx(theta) q[0]; c = measure q;"


@pytest.mark.parametrize(
    ("parameters", "observables", "sentence"),
    [
        ({}, [], "no value is given for the parameter theta; expected one number for each in parameters"),
        ({"theta": 1, "phi": 2}, [], "the program has no parameter phi; it has theta"),
        ({"theta": math.nan}, [], "the parameter theta is nan; expected a finite number"),
        ({"theta": 1}, ["ZA"], "observables[0] has the label 'ZA'; expected letters I, X, Y and Z only"),
        (
            {"theta": 1},
            ["ZZ", "Z"],
            "observables[1] has the label 'Z' of 1 letters and the circuit has 2 qubits; expected one letter for each "
            "qubit, qubit 0 last",
        ),
        (
            {"theta": 1},
            [{}],
            'observables[0] is {}; expected a label such as "ZZ" or a sum such as {"XX": 0.5, "YY": 0.5}',
        ),
    ],
)
def test_bad_values(parameters: dict[str, float], observables: list[object], sentence: str) -> None:
    with pytest.raises(InvalidProgram) as error:
        check(PARAMETRIC, parameters, observables)
    assert str(error.value) == sentence


def test_analysis_of_a_bell_pair() -> None:
    analysis = check(BELL, {}, []).analysis
    assert (analysis.num_qubits, analysis.depth, analysis.two_qubit_gates, analysis.measured_bits) == (2, 3, 1, 2)
    assert analysis.clifford
    assert not analysis.mid_circuit
    assert analysis.statevector_bytes == 64
    assert Analysis.from_dict(analysis.to_dict()) == analysis


def test_equal_programs_have_equal_digests() -> None:
    assert check(BELL, {}, []).digest == check(BELL + "// a remark", {}, []).digest


def test_final_measurements_are_taken_off_for_observables() -> None:
    checked = check(PARAMETRIC, {"theta": 0.1}, ["ZZ"])
    assert checked.analysis.measured_bits == 0
    assert checked.observables == ((("ZZ", 1.0),),)


def test_mid_circuit_measurement_and_control_flow() -> None:
    text = HEADER + "qubit[2] q; bit[2] c; h q[0]; c[0] = measure q[0]; if (c[0]) { x q[1]; } c[1] = measure q[1];"
    analysis = check(text, {}, []).analysis
    assert analysis.control_flow
    assert analysis.measured_bits == 2
    assert analysis.clifford


GATES = {"h": (1, True), "s": (1, True), "t": (1, False), "cx": (2, True), "ccx": (3, False), "x": (1, True)}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(GATES)), st.permutations(range(4))), min_size=1, max_size=20))
def test_analysis_agrees_with_a_direct_count(gates: list[tuple[str, list[int]]]) -> None:
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(4)
    for name, qubits in gates:
        getattr(circuit, name)(*qubits[: GATES[name][0]])
    analysis = analyse(circuit)
    assert analysis.size == len(gates)
    assert analysis.two_qubit_gates == sum(GATES[name][0] == 2 for name, _ in gates)
    assert analysis.clifford == all(GATES[name][1] for name, _ in gates)
    assert dict(analysis.operations) == {n: sum(g == n for g, _ in gates) for n in {g for g, _ in gates}}


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["", HEADER, 'OPENQASM 2.0;\ninclude "qelib1.inc";\n', BELL]))
def test_random_text_is_refused_in_one_way_only(text: str, before: str) -> None:
    try:
        check(before + text, {}, [])
    except InvalidProgram as error:
        assert str(error)


def test_the_checker_brings_no_quantum_library_into_its_process() -> None:
    code = "import sys, qonverge.circuits.checker.checker; sys.exit(any(m.startswith('qiskit') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_the_checker_agrees_and_remembers() -> None:
    checker = Checker()
    try:
        checked = await checker.check(BELL, {}, [])
        assert checked == check(BELL, {}, [])
        assert await checker.check(BELL, {}, []) is checked
        for _ in range(2):
            with pytest.raises(InvalidProgram, match="line 4, column 1: unexpected 'h'"):
                await checker.check(HEADER + "qubit[2] q\nh q[0];", {}, [])
    finally:
        await checker.close()


async def test_a_program_that_takes_too_long_or_too_much_harms_nobody() -> None:
    slow = Checker(Limits(cpu_seconds=0.01))
    small = Checker(Limits(memory_bytes=160 * 1024**2))
    try:
        with pytest.raises(InvalidProgram, match=r"took more than the 0\.01 s of CPU time allowed"):
            await slow.check(BELL, {}, [])
        many = HEADER + "qubit[9] q; bit c;\n" + "h q;\n" * 20_000 + "c = measure q[0];"
        with pytest.raises(InvalidProgram, match="memory"):
            await small.check(many, {}, [])
        with pytest.raises(InvalidProgram, match="has 5000000 characters"):
            await small.check("x" * 5_000_000, {}, [])
    finally:
        await slow.close()
        await small.close()
