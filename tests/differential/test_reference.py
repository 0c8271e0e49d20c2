"""The reference against definitions and results that are known without it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import qiskit

from tests.differential.gates import QELIB1, STDGATES
from tests.differential.headers import Header
from tests.differential.program import (
    Angle,
    BitIs,
    Break,
    Compare,
    Continue,
    For,
    Gate,
    If,
    Measure,
    Program,
    Register,
    Reset,
    Statement,
    Switch,
    While,
)
from tests.differential.reference import simulate, without_final_measurements

_LIBRARY = Path(qiskit.__file__).parent / "qasm" / "libs"


# The specification calls CX another name of cx; its text in the header has a phase of pi/2 on the control besides.
@pytest.mark.parametrize("name", sorted(STDGATES.keys() - {"CX"}))
def test_matrices_are_those_of_stdgates_with_their_phase(name: str) -> None:
    header = Header((_LIBRARY / "stdgates.inc").read_text(encoding="utf-8"), 3)
    angles = np.random.default_rng(1).uniform(-3, 3, STDGATES[name].angles).tolist()
    assert STDGATES[name].matrix(*angles) == pytest.approx(header.matrix(name, angles), abs=1e-12)


@pytest.mark.parametrize("name", sorted(QELIB1))
def test_matrices_are_those_of_qelib1_up_to_a_phase(name: str) -> None:
    header = Header((_LIBRARY / "qelib1.inc").read_text(encoding="utf-8"), 2)
    angles = np.random.default_rng(2).uniform(-3, 3, QELIB1[name].angles).tolist()
    own, given = QELIB1[name].matrix(*angles), header.matrix(name, angles)
    # The trace of a unitary is as large as its dimension only where it is a phase.
    assert abs(np.trace(own.conj().T @ given)) == pytest.approx(len(own), abs=1e-9)


def test_every_gate_of_both_headers_is_known() -> None:
    assert Header((_LIBRARY / "stdgates.inc").read_text(encoding="utf-8"), 3).names | {"U"} == set(STDGATES)
    assert Header((_LIBRARY / "qelib1.inc").read_text(encoding="utf-8"), 2).names | {"U", "CX"} == set(QELIB1)


def program(*body: Statement, qubits: int = 3, bits: int = 2) -> Program:
    return Program(3, (Register("q", qubits, 0),), (Register("c", bits, 0),), body)


def test_teleportation() -> None:
    sent = program(
        Gate("ry", (0,), (Angle(0.9),)),
        Gate("rz", (0,), (Angle(0.4),)),
        Gate("h", (1,)),
        Gate("cx", (1, 2)),
        Gate("cx", (0, 1)),
        Gate("h", (0,)),
        Measure(0, 0),
        Measure(1, 1),
        If(BitIs(1), (Gate("x", (2,)),)),
        If(BitIs(0), (Gate("z", (2,)),)),
    )
    found = simulate(sent, {})
    assert found.value([("ZII", 1.0)]) == pytest.approx(math.cos(0.9))
    assert found.value([("XII", 1.0)]) == pytest.approx(math.sin(0.9) * math.cos(0.4))
    assert found.value([("YII", 2.0), ("III", 1.0)]) == pytest.approx(1 + 2 * math.sin(0.9) * math.sin(0.4))
    assert found.probabilities == pytest.approx({(a, b): 0.25 for a in (0, 1) for b in (0, 1)})
    assert without_final_measurements(sent) == sent


def test_loops_that_are_left_and_gone_on_with() -> None:
    flips = For(3, (Gate("x", (0,)), Measure(0, 0), If(BitIs(0, 0), (Continue(),)), Gate("x", (1,))))
    # The turns measure 1, 0, 1: two of them reach the second flip.
    assert simulate(program(flips, Measure(1, 1)), {}).probabilities == {(1, 0): pytest.approx(1)}
    left = For(9, (Gate("x", (1,)), Measure(1, 1), If(BitIs(1), (Break(),))))
    assert simulate(program(left), {}).probabilities == {(0, 1): pytest.approx(1)}
    turning = For(4, (Gate("rx", (0,), (Angle(0.0, "turn0", math.pi / 6),)),), "turn0")
    assert simulate(program(turning, Measure(0, 0)), {}).probabilities == {(1, 0): pytest.approx(1)}


def test_a_loop_that_tosses_coins_ends() -> None:
    # Each turn flips q[1]: an even number of turns has the probability 1/2 + 1/8 + 1/32 + ... = 2/3.
    found = simulate(program(While(0, 0, (Gate("x", (1,)),)), Measure(1, 1)), {})
    assert found.probabilities == {(0, 0): pytest.approx(2 / 3), (0, 1): pytest.approx(1 / 3)}


def test_switch_and_comparison_take_registers_as_numbers() -> None:
    body = (
        Gate("x", (1,)),
        Measure(1, 1),
        Switch(0, (((0, 1), (Gate("x", (0,)),)), ((2,), (Gate("x", (2,)),))), (Gate("x", (0,)),)),
        If(Compare(0, ">", 1), (Reset(1),)),
    )
    found = simulate(program(*body), {})
    assert found.value([("ZII", 1.0)]) == pytest.approx(-1)
    assert found.value([("IZI", 1.0)]) == found.value([("IIZ", 1.0)]) == pytest.approx(1)


def test_final_measurements_are_those_that_nothing_follows() -> None:
    kept = (Measure(0, 0), If(BitIs(0), (Gate("x", (1,)),)), Measure(2, 0), Gate("h", (2,)))
    whole = program(*kept, Measure(1, 1), Measure(2, 0))
    assert without_final_measurements(whole).body == kept


def test_final_measurements_inside_of_blocks() -> None:
    # Nothing reads bit 1 after the branch; bit 0 is written again before it is read.
    branch = If(BitIs(0), (Gate("x", (2,)),), (Measure(1, 1),))
    whole = program(Measure(0, 0), branch, Measure(2, 0))
    assert without_final_measurements(whole).body == (Measure(0, 0), If(BitIs(0), (Gate("x", (2,)),), ()))
    # In a loop "later" includes the next turns.
    turns = For(2, (If(BitIs(1), (Gate("x", (0,)),)), Measure(1, 1)))
    assert without_final_measurements(program(turns)).body == (turns,)
    idle = For(2, (Gate("x", (0,)), Measure(1, 1)))
    assert without_final_measurements(program(idle)).body == (For(2, (Gate("x", (0,)),)),)
