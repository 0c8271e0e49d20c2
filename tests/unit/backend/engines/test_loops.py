"""Loops that are left, or go on with their next turn, from inside of branches and of each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.circuit.classical import expr

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.auto import Automatic
from qonverge.devices import snapshots
from qonverge.devices.rates import Rates
from qonverge.wire.errors import InvalidCircuit
from tests.unit.backend.engines.engines import engine, run

FLOW = {
    "Aer": engine("Aer"),
    "DensityMatrix": engine("Aer", method="DensityMatrix"),
    "MatrixProductState": engine("Aer", method="MatrixProductState"),
    "Stabilizer": engine("Aer", method="Stabilizer"),
    "BraketLocal": engine("BraketLocal"),
    "Automatic": Automatic(EngineConfig()),
    "noisy": engine("Aer", noise=Rates(one_qubit=1e-9)),
}


def counter() -> QuantumCircuit:
    """Return a circuit with a qubit in 1, and a number of four bits that ``count`` raises by one."""
    circuit = QuantumCircuit(QuantumRegister(2, "q"), ClassicalRegister(4, "n"), ClassicalRegister(2, "c"))
    circuit.x(0)
    return circuit


def count(circuit: QuantumCircuit) -> None:
    """Add one to the number, by measurements: the bits below the lowest 0 become 0, and this becomes 1."""
    n = circuit.cregs[0]
    with circuit.if_test((n[0], 0)) as below:
        circuit.measure(0, n[0])
    with below:
        circuit.measure(1, n[0])
        with circuit.if_test((n[1], 0)) as below:
            circuit.measure(0, n[1])
        with below:
            circuit.measure(1, n[1])
            with circuit.if_test((n[2], 0)) as below:
                circuit.measure(0, n[2])
            with below:
                circuit.measure(1, n[2])
                circuit.measure(0, n[3])


def number(name: str, circuit: QuantumCircuit) -> int:
    (outcome,) = run(FLOW[name], circuit, shots=5).counts[0]
    return int(outcome.split()[-1], 2)


def leave_at_once() -> tuple[QuantumCircuit, int]:
    circuit = counter()
    with circuit.for_loop(range(5)):
        circuit.measure(0, 4)
        with circuit.if_test((circuit.clbits[4], 1)):
            circuit.break_loop()
        count(circuit)
    return circuit, 0


def leave_at_three() -> tuple[QuantumCircuit, int]:
    circuit = counter()
    with circuit.for_loop(range(9)):
        with circuit.if_test((circuit.cregs[0], 3)):
            circuit.break_loop()
        count(circuit)
    count(circuit)
    return circuit, 4


def pass_over() -> tuple[QuantumCircuit, int]:
    circuit = counter()
    with circuit.for_loop(range(9)):
        with circuit.if_test(expr.greater_equal(circuit.cregs[0], 6)):
            circuit.continue_loop()
        count(circuit)
    return circuit, 6


def inner_loop_only() -> tuple[QuantumCircuit, int]:
    circuit = counter()
    with circuit.for_loop(range(3)):
        with circuit.for_loop(range(4)):
            count(circuit)
            with circuit.if_test(expr.index(expr.lift(circuit.cregs[0]), 0)):
                circuit.continue_loop()
            circuit.break_loop()
        count(circuit)
    # Turns of the inner loop stop at even numbers: 2, 3; 4, 5; 6, 7.
    return circuit, 7


def in_a_while() -> tuple[QuantumCircuit, int]:
    circuit = counter()
    with circuit.while_loop(expr.less(circuit.cregs[0], 9)):
        count(circuit)
        with circuit.if_test((circuit.cregs[0], 2)):
            circuit.continue_loop()
        with circuit.if_test(expr.equal(circuit.cregs[0], 5)):
            circuit.break_loop()
    return circuit, 5


def in_a_switch() -> tuple[QuantumCircuit, int]:
    circuit = counter()
    with circuit.for_loop(range(12)):
        with circuit.switch(circuit.cregs[0]) as case:
            with case(0, 1):
                count(circuit)
                count(circuit)
                circuit.continue_loop()
            with case(7):
                circuit.break_loop()
            with case(case.DEFAULT):
                count(circuit)
        count(circuit)
    # 0, 2, then by two: 4, 6, 8, ... 22, of which four bits hold 2 + 22 - 2 - 16.
    return circuit, (2 + 2 * 11) % 16


PROGRAMS: dict[str, Callable[[], tuple[QuantumCircuit, int]]] = {
    made.__name__: made for made in (leave_at_once, leave_at_three, pass_over, inner_loop_only, in_a_while, in_a_switch)
}


@pytest.mark.parametrize("name", FLOW)
@pytest.mark.parametrize("program", PROGRAMS)
def test_break_and_continue(name: str, program: str) -> None:
    circuit, expected = PROGRAMS[program]()
    assert number(name, circuit) == expected


@pytest.mark.parametrize("name", ["Aer", "DensityMatrix", "MatrixProductState", "BraketLocal", "noisy"])
@pytest.mark.parametrize("values", [(1, 2, 3), (2, 2, 2, 1), (-3, 0, 3)])
def test_values_of_a_loop_may_come_again(name: str, values: tuple[int, ...]) -> None:
    step = Parameter("k")
    circuit = QuantumCircuit(2, 2)
    circuit.x(1)
    with circuit.for_loop(values, step):
        circuit.ry(step * np.pi / 8, 0)
        with circuit.if_test((circuit.clbits[1], 1)):
            circuit.continue_loop()
        circuit.ry(step * np.pi / 8, 0)
        with circuit.if_test((circuit.clbits[0], 1)):
            circuit.break_loop()
        circuit.measure(1, 1)
    circuit.measure(0, 0)
    # The first turn runs whole, and the others up to continue.
    angle = (values[0] + sum(values)) * np.pi / 8
    counts = run(FLOW[name], circuit, shots=4000).counts[0]
    ones = sum(times for outcome, times in counts.items() if outcome[-1] == "1") / 4000
    assert ones == pytest.approx(np.sin(angle / 2) ** 2, abs=0.05)


def test_stim_says_what_it_cannot_run() -> None:
    circuit, _ = leave_at_once()
    with pytest.raises(InvalidCircuit, match="Stim runs Pauli gates only under a condition, and break_loop is none"):
        run(engine("Stim"), circuit)


def test_a_loop_is_left_on_a_real_device() -> None:
    circuit, _ = leave_at_once()
    counts = run(engine("Aer", noise=snapshots.load("lima")), circuit, shots=200).counts[0]
    # But for a misread bit, the first turn leaves the loop.
    assert sum(times for outcome, times in counts.items() if outcome.split()[-1] == "0000") > 150


@pytest.mark.parametrize("turns", [1, 2])
@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "at once"])
@pytest.mark.parametrize("name", FLOW)
def test_a_loop_without_qubits_keeps_what_was_measured_before_it(name: str, guarded: bool, turns: int) -> None:
    """Aer alone loses it, without an error."""
    circuit = QuantumCircuit(QuantumRegister(2, "q"), ClassicalRegister(3, "c"))
    circuit.x(1)
    circuit.measure(1, 2)
    with circuit.if_test((circuit.clbits[0], 1)) as otherwise, circuit.for_loop(range(turns)):
        if guarded:
            with circuit.if_test((circuit.clbits[1], 0)):
                circuit.break_loop()
        else:
            circuit.break_loop()
    with otherwise:
        circuit.z(0)
    circuit.measure(0, 0)
    assert run(FLOW[name], circuit, shots=20).counts == ({"100": 20},)


@pytest.mark.parametrize("name", [name for name in FLOW if name != "Stabilizer"])
def test_parameters_of_a_loop_without_a_turn_have_their_sets(name: str) -> None:
    circuit, angle = QuantumCircuit(1, 1), Parameter("angle")
    circuit.x(0)
    with circuit.for_loop(range(0)):
        circuit.rx(angle, 0)
    sets = {"angle": np.array([0.0, 1.0, np.pi])}
    values = run(FLOW[name], circuit, parameters=sets, observables=((("Z", 1.0),),), shots=50)
    assert values.expectation_values is not None
    assert values.expectation_values.tolist() == [[-1.0]] * 3
    circuit.measure(0, 0)
    assert run(FLOW[name], circuit, parameters=sets, shots=50).counts == ({"1": 50},) * 3
    _, bits = run(FLOW[name], circuit, parameters=sets, shots=50, memory=True).registers["c"]
    assert bits.shape == (3, 50, 1)
