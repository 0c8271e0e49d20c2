"""Programs as Qiskit's circuits, with the builders that its users call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit, Parameter
from qiskit.circuit import Gate as QiskitGate
from qiskit.circuit.classical import expr
from qiskit.circuit.library import (
    C3SXGate,
    C4XGate,
    CU1Gate,
    CU3Gate,
    RC3XGate,
    U1Gate,
    U2Gate,
    U3Gate,
    UGate,
    get_standard_gate_name_mapping,
)

from tests.differential.answers import Inexpressible
from tests.differential.program import (
    Angle,
    Barrier,
    BitIs,
    Both,
    Break,
    Compare,
    Condition,
    Continue,
    Either,
    For,
    Gate,
    If,
    Measure,
    Not,
    Program,
    Reset,
    Statement,
    Switch,
    While,
)

_OTHERS = {
    "U": UGate,
    "u": UGate,
    "u1": U1Gate,
    "u2": U2Gate,
    "u3": U3Gate,
    "cu1": CU1Gate,
    "cu3": CU3Gate,
    "rc3x": RC3XGate,
    "c3sqrtx": C3SXGate,
    "c4x": C4XGate,
    "phase": get_standard_gate_name_mapping()["p"].base_class,
    "cphase": get_standard_gate_name_mapping()["cp"].base_class,
    "CX": get_standard_gate_name_mapping()["cx"].base_class,
}


def qiskit_circuit(program: Program) -> QuantumCircuit:
    """Return the program as a circuit.

    Raises:
        Inexpressible: a gate's phase under a control is not that of Qiskit's gate.
    """
    return _Builder(program).circuit


class _Builder:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._parameters: dict[str, Any] = {name: Parameter(name) for name in program.parameters}
        qubits = [QuantumRegister(register.width, register.name) for register in program.qubits]
        bits: list[Any] = [ClassicalRegister(register.width, register.name) for register in program.bits]
        self._registers = bits
        self.circuit = QuantumCircuit(*qubits, *bits)
        self._block(program.body)

    def _block(self, body: Sequence[Statement]) -> None:
        for item in body:
            self._statement(item)

    def _statement(self, item: Statement) -> None:
        circuit = self.circuit
        match item:
            case Gate():
                circuit.append(self._gate(item), list(item.qubits))
            case Measure(qubit, bit):
                circuit.measure(qubit, bit)
            case Reset(qubit):
                circuit.reset(qubit)
            case Barrier(qubits):
                circuit.barrier(list(qubits))
            case If(condition, then, otherwise):
                with circuit.if_test(self._condition(condition)) as other:
                    self._block(then)
                if otherwise:
                    with other:
                        self._block(otherwise)
            case For(turns, body, variable):
                if variable is None:
                    with circuit.for_loop(range(turns)):
                        self._block(body)
                else:
                    outer = self._parameters.get(variable)
                    with circuit.for_loop(range(turns)) as turn:
                        self._parameters[variable] = turn
                        self._block(body)
                    if outer is not None:
                        self._parameters[variable] = outer
            case While(qubit, bit, body):
                self._toss(qubit, bit)
                with circuit.while_loop((circuit.clbits[bit], 1)):
                    self._toss(qubit, bit)
                    self._block(body)
            case Switch(register, cases, default):
                with circuit.switch(self._registers[register]) as case:
                    for values, block in cases:
                        with case(*values):
                            self._block(block)
                    if default is not None:
                        with case(case.DEFAULT):
                            self._block(default)
            case Break():
                circuit.break_loop()
            case Continue():
                circuit.continue_loop()

    def _toss(self, qubit: int, bit: int) -> None:
        self.circuit.reset(qubit)
        self.circuit.h(qubit)
        self.circuit.measure(qubit, bit)

    def _gate(self, item: Gate) -> QiskitGate:
        angles = [self._angle(angle) for angle in item.angles]
        known = get_standard_gate_name_mapping()
        if item.name == "u0":
            return known["id"]
        if item.modifiers and item.name in ("U", "u2", "u3") and self._program.version == 3:
            raise Inexpressible(f"{item.name} of OpenQASM 3 has another phase than Qiskit's gate")
        if item.name == "c3x":
            gate = known["x"].control(3)
        else:
            kind = _OTHERS.get(item.name) or known[item.name].base_class
            gate = kind(*angles)
        for modifier in reversed(item.modifiers):
            if modifier.name == "inv":
                gate = gate.inverse()
            elif modifier.name == "pow":
                if any(angle.parameter for angle in item.angles):
                    raise Inexpressible("a power of a gate with parameters")
                gate = gate.power(modifier.power)
            else:
                gate = gate.control(1, ctrl_state=int(modifier.name == "ctrl"))
        return gate

    def _angle(self, angle: Angle) -> Any:
        if angle.parameter is None:
            return angle.offset
        return angle.factor * self._parameters[angle.parameter] + angle.offset

    def _condition(self, condition: Condition) -> Any:
        if isinstance(condition, BitIs):
            return self.circuit.clbits[condition.bit], condition.value
        if isinstance(condition, Compare) and condition.operator == "==":
            return self._registers[condition.register], condition.value
        return self._expression(condition)

    def _expression(self, condition: Condition) -> expr.Expr:
        match condition:
            case BitIs(bit, value):
                lifted: Clbit = self.circuit.clbits[bit]
                return expr.lift(lifted) if value else expr.logic_not(lifted)
            case Compare(register, operator, value):
                compare = {
                    "==": expr.equal,
                    "!=": expr.not_equal,
                    "<": expr.less,
                    "<=": expr.less_equal,
                    ">": expr.greater,
                    ">=": expr.greater_equal,
                }[operator]
                return compare(self._registers[register], value)
            case Both(one, other):
                return expr.logic_and(self._expression(one), self._expression(other))
            case Either(one, other):
                return expr.logic_or(self._expression(one), self._expression(other))
            case Not(inner):
                return expr.logic_not(self._expression(inner))
