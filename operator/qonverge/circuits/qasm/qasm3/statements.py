"""Statements: each is carried out where the program stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openqasm3 import ast
from qiskit.circuit import Parameter
from qiskit.circuit.exceptions import CircuitError

from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.qasm import diagnostics
from qonverge.circuits.qasm.limits import check_register_size
from qonverge.circuits.qasm.qasm3 import pragmas
from qonverge.circuits.qasm.qasm3.assignments import Assignments
from qonverge.circuits.qasm.qasm3.control import ControlFlow, Leave
from qonverge.circuits.qasm.qasm3.conversions import convert
from qonverge.circuits.qasm.qasm3.expressions import Expressions
from qonverge.circuits.qasm.qasm3.gates import Gates
from qonverge.circuits.qasm.qasm3.program import Name, Program, Subroutine, Variable
from qonverge.circuits.qasm.qasm3.subroutines import Subroutines
from qonverge.circuits.qasm.qasm3.values import INT, Fault, Type, Value, cells_of

_HEADER = "stdgates.inc"


class Statements:
    """Carries out a program."""

    def __init__(self, program: Program) -> None:
        """Nothing is read yet."""
        self._program = program
        self._included = False
        self._verbatim = False
        self._values = Expressions(program)
        self._assignments = Assignments(program, self._values)
        self._gates = Gates(program, self._values)
        self._control = ControlFlow(program, self._values, self.carry_out)
        self._subroutines = Subroutines(program, self._values, self.carry_out)
        self._values.call = self._subroutines.call
        control = self._control
        self._ways: Mapping[type[ast.QASMNode], Callable[[Any], None]] = {
            ast.Include: self._include,
            ast.Pragma: self._pragma,
            ast.QubitDeclaration: self._declare_qubits,
            ast.ClassicalDeclaration: self._declare,
            ast.ConstantDeclaration: self._declare_constant,
            ast.IODeclaration: self._declare_interface,
            ast.AliasStatement: self._assignments.alias,
            ast.ClassicalAssignment: self._assignments.assign,
            ast.QuantumGateDefinition: lambda node: self._gates.define(node, self.carry_out),
            ast.QuantumGate: self._gate,
            ast.QuantumPhase: self._gates.phase,
            ast.QuantumMeasurementStatement: self._assignments.measure,
            ast.QuantumReset: self._reset,
            ast.QuantumBarrier: self._barrier,
            ast.DelayInstruction: self._delay,
            ast.Box: self._box,
            ast.CompoundStatement: self._compound,
            ast.BranchingStatement: control.branch,
            ast.SwitchStatement: control.switch,
            ast.ForInLoop: control.loop,
            ast.WhileLoop: control.repeat,
            ast.BreakStatement: lambda node: control.leave("break"),
            ast.ContinueStatement: lambda node: control.leave("continue"),
            ast.SubroutineDefinition: self._define_subroutine,
            ast.ReturnStatement: self._subroutines.leave,
            ast.ExpressionStatement: self._expression,
            ast.EndStatement: self._end,
        }

    def whole(self, program: ast.Program) -> None:
        """Carry out the program."""
        try:
            self.carry_out(program.statements)
        except Leave as leave:
            assert leave.how == "end"

    def carry_out(self, statements: Sequence[ast.QASMNode]) -> None:
        """Carry out statements one after the other."""
        for node in statements:
            way = self._ways.get(type(node))
            try:
                if way is None:
                    raise Fault(*diagnostics.of_unsupported(type(node).__name__))
                self._program.step(self._counts)
                way(node)
            except Fault as fault:
                raise self._program.invalid(node, fault.problem, fault.expected) from None
            except CircuitError as error:
                raise self._program.invalid(node, *diagnostics.of_circuit(error.message)) from None
            except (InvalidProgram, Leave, MemoryError, RecursionError, SystemError):
                raise
            except Exception as error:  # Qiskit lets errors of every kind out for gates that it did not foresee
                raise self._program.invalid(node, *diagnostics.of_circuit(str(error) or type(error).__name__)) from None

    @property
    def _counts(self) -> int:
        # What is written out is bounded by the text; what unfolds is not.
        return int(self._program.scope.outer is not None)

    def _include(self, node: ast.Include) -> None:
        if node.filename != _HEADER:
            raise Fault(f'"{node.filename}" cannot be included', f'"{_HEADER}" only')
        if self._included:
            raise Fault(f'"{_HEADER}" is included twice', "it once")
        self._included = True
        self._gates.include_standard(node)

    def _pragma(self, node: ast.Pragma) -> None:
        command = " ".join(node.command.split())
        if command == "braket verbatim":
            self._verbatim = True
            self._gates.name_native(node)
            return
        pragmas.refuse(command)
        self._program.warn(node, f"the pragma {command!r} is ignored")

    def _declare_qubits(self, node: ast.QubitDeclaration) -> None:
        size = None
        if node.size is not None:
            size = self._values.integer(node.size)
            check_register_size(self._program.source, self._program.offset(node), size)
        name = node.qubit.name
        if name in self._program.scope.names:
            self._program.define(name, Name(node))
        self._program.define(name, Name(node, self._program.qubits(name, size)))

    def _type(self, node: ast.QASMNode, kind: ast.ClassicalType) -> Type:
        if isinstance(kind, ast.BitType) and kind.size is not None:
            check_register_size(self._program.source, self._program.offset(node), self._values.integer(kind.size))
        try:
            return self._values.type_of(kind)
        except InvalidProgram as error:
            if isinstance(kind, ast.StretchType):
                raise Fault(error.problem, error.expected) from None
            raise

    def _declare(self, node: ast.ClassicalDeclaration) -> None:
        kind = self._type(node, node.type)
        home = self._subroutines.home_of(node.identifier.name, kind)
        self._assignments.declare(node, kind, node.init_expression, home)

    def _declare_constant(self, node: ast.ConstantDeclaration) -> None:
        self._assignments.declare_constant(node, self._type(node, node.type))

    def _declare_interface(self, node: ast.IODeclaration) -> None:
        kind, name = self._type(node, node.type), node.identifier.name
        if node.io_identifier is ast.IOKeyword.output:
            self._assignments.declare(node, kind, None)
            return
        parameter = self._program.inputs[name] = Parameter(name)
        if kind.kind in ("float", "angle") and not kind.dimensions:
            value = Value(Type(kind.kind), parameter)
        else:
            value = self._given(name, kind)
        self._program.define(name, Variable(name, value.type, value, node, constant=True))

    def _given(self, name: str, kind: Type) -> Value:
        """Return the given value of an input that the circuit cannot leave open."""
        if kind.dimensions or kind.kind not in ("int", "uint", "bool", "bit"):
            raise Fault(f"an input of type {kind} is not supported", "float, angle, int, uint, bool or bit")
        number = self._program.given.get(name)
        if number is None:
            raise Fault(f"no value is given for the parameter {name}", "one number for each in parameters")
        self._program.fixed.add(name)
        if isinstance(number, bool) or not isinstance(number, int | float) or number != int(number):
            raise Fault(f"the parameter {name} is {number}", f"an integer, as {kind} is")
        value = convert(Value(INT, int(number)), kind)
        width = len(cells_of(value))
        least = -(1 << width - 1) if kind.kind == "int" else 0
        if not least <= number < 1 << width - (kind.kind == "int"):
            raise Fault(
                f"the parameter {name} is {int(number)}, which {kind} does not hold",
                f"{least} or more, in {width} bits",
            )
        return value

    def _gate(self, node: ast.QuantumGate) -> None:
        symbol = self._program.scope.find(node.name.name)
        if isinstance(symbol, Subroutine) and not node.modifiers:
            self._subroutines.enter(node, symbol, [*node.arguments, *node.qubits], ())
        else:
            self._gates.apply(node)

    def _expression(self, node: ast.ExpressionStatement) -> None:
        if isinstance(node.expression, ast.FunctionCall):
            with self._program.inside():
                self._values.result_of(node.expression, ())
        else:
            self._values(node.expression)

    def _qubits(self, operands: Sequence[ast.QASMNode]) -> list[Any]:
        named = [self._values.qubits(operand) for operand in operands]
        return [qubit for value in named for qubit in (value.data if value.type.is_register else (value.data,))]

    def _reset(self, node: ast.QuantumReset) -> None:
        for qubit in self._qubits([node.qubits]):
            self._program.circuit.reset(qubit)

    def _barrier(self, node: ast.QuantumBarrier) -> None:
        qubits = list(dict.fromkeys(self._qubits(node.qubits)))
        if qubits or not node.qubits:
            self._program.circuit.barrier(*qubits)

    def _delay(self, node: ast.DelayInstruction) -> None:
        value = self._values(node.duration)
        if value.type.kind != "duration" or value.type.dimensions:
            raise Fault(f"a delay of type {value.type}", "a duration such as 100ns")
        number, unit = value.data.written()
        qubits = self._qubits(node.qubits) if node.qubits else self._program.circuit.qubits
        for qubit in qubits:
            self._program.circuit.delay(number, qubit, unit=unit)

    def _box(self, node: ast.Box) -> None:
        if node.duration is not None:
            raise Fault("a box of a given duration is not supported", "a box without it")
        if self._verbatim and self._program.virtual:
            raise Fault("a verbatim box with declared qubits", "qubits of the device, such as $0")
        self._verbatim = False
        with self._program.inside():
            self.carry_out(node.body)

    def _compound(self, node: ast.CompoundStatement) -> None:
        with self._program.inside():
            self.carry_out(node.statements)

    def _define_subroutine(self, node: ast.SubroutineDefinition) -> None:
        if self._program.scope.kind != "program":
            raise Fault("a subroutine is defined inside a block", "the definition outside of it")
        self._program.define(node.name.name, Subroutine(node))

    def _end(self, node: ast.EndStatement) -> None:
        if self._program.depth:
            raise Fault(
                "only the run decides whether the program ends here", '"end" outside of such branches and loops'
            )
        raise Leave("end")
