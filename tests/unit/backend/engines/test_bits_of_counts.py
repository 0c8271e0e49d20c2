"""Counts name what a program declares: a space between registers, and between bits that were declared alone."""

from __future__ import annotations

import pytest
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Clbit, Qubit

from qonverge.backend.engines.bits import register_sizes
from qonverge.circuits.qasm.parse import parse_openqasm
from qonverge.client import QonvergeBackend
from qonverge.client.transport.embedded import Embedded
from tests.unit.backend.engines.engines import KINDS, engine, run

H = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
DECLARED = H + "qubit[4] q; bit c; bit[2] e; bit d; x q[0]; x q[2]; c = measure q[0]; e = measure q[1:2]; "


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ("d = measure q[3];", "0 10 1"),
        ("if (c) { x q[3]; } d = measure q[3];", "1 10 1"),
        ("if (!c) { x q[3]; } d = measure q[3];", "0 10 1"),
        ("if (c == true) { x q[3]; } d = measure q[3];", "1 10 1"),
    ],
)
def test_a_space_stands_between_bits_and_registers(name: str, more: str, outcome: str) -> None:
    answer = run(engine(name), parse_openqasm(DECLARED + more).circuit, shots=5)
    assert answer.counts == ({outcome: 5},)
    one = run(engine(name), parse_openqasm(DECLARED + more).circuit, shots=5, memory=True)
    assert {key: bits for key, (bits, _) in one.registers.items()} == {"c": 1, "e": 2, "d": 1}


def test_bits_alone_are_told_apart() -> None:
    circuit = parse_openqasm(H + "qubit[2] q; bit a; bit b; x q[0]; a = measure q[0]; b = measure q[1];").circuit
    assert run(engine("Aer"), circuit, shots=3).counts == ({"0 1": 3},)


def test_registers_that_share_bits_and_bits_of_no_register() -> None:
    circuit = QuantumCircuit([Qubit()], [Clbit(), Clbit()], ClassicalRegister(2, "e"))
    assert register_sizes(circuit) == [1, 1, 2]
    circuit.add_register(ClassicalRegister(name="again", bits=circuit.clbits[2:]))
    assert register_sizes(circuit) == [1, 1, 2]
    circuit.add_register(ClassicalRegister(name="across", bits=circuit.clbits[1:3]))
    assert register_sizes(circuit) == [4]
    assert register_sizes(QuantumCircuit([Qubit()], [Clbit(), Clbit()])) == [2]
    backwards = QuantumCircuit([Clbit(), Clbit()])
    backwards.add_register(ClassicalRegister(name="a", bits=backwards.clbits[::-1]))
    assert register_sizes(backwards) == [2]


@pytest.mark.parametrize("memory", [False, True])
def test_qiskits_backend_leaves_out_no_bit(memory: bool) -> None:
    circuit = QuantumCircuit([Qubit() for _ in range(4)], [Clbit(), Clbit()], ClassicalRegister(2, "e"))
    circuit.x([0, 3])
    circuit.measure(range(4), range(4))
    alone = QuantumCircuit([Qubit(), Qubit()], [Clbit(), Clbit()])
    alone.x(0)
    alone.measure([0, 1], [0, 1])
    result = QonvergeBackend(Embedded()).run([circuit, alone], shots=4, memory=memory).result()
    assert result.get_counts() == [{"10 0 1": 4}, {"01": 4}]
    if memory:
        assert result.get_memory(0) == ["10 0 1"] * 4
