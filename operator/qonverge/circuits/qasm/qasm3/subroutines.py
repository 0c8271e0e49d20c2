"""Calls of subroutines, which are carried out where they are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openqasm3 import ast
from qiskit.circuit import Clbit

from qonverge.circuits.qasm.qasm3 import cells, syntax
from qonverge.circuits.qasm.qasm3.control import Leave
from qonverge.circuits.qasm.qasm3.conversions import convert
from qonverge.circuits.qasm.qasm3.expressions import Expressions
from qonverge.circuits.qasm.qasm3.program import Name, Program, Scope, Subroutine, Symbol, Variable
from qonverge.circuits.qasm.qasm3.values import Fault, Type, Value, cells_of

_MAX_CALLS = 64


@dataclass(slots=True)
class Call:
    """A call under way."""

    depth: int
    scope: Scope
    returns: Type | None
    destination: tuple[Clbit, ...]
    """Where the caller wants the bits that come back; nothing else reads them meanwhile."""
    returned_name: str | None
    result: Value | None = None


class Subroutines:
    """Carries out calls; ``carry_out`` carries out statements."""

    def __init__(
        self, program: Program, values: Expressions, carry_out: Callable[[Sequence[ast.Statement]], None]
    ) -> None:
        """No call is under way."""
        self._program = program
        self._values = values
        self._carry_out = carry_out
        self._calls: list[Call] = []

    def call(self, node: ast.FunctionCall, subroutine: Subroutine, destination: Sequence[Clbit]) -> Value | None:
        """Carry out a call and return what it returns."""
        return self.enter(node, subroutine, node.arguments, destination)

    def enter(
        self,
        node: ast.QASMNode,
        subroutine: Subroutine,
        arguments: Sequence[ast.QASMNode],
        destination: Sequence[Clbit],
    ) -> Value | None:
        """Carry out a call with these arguments and return what it returns.

        Raises:
            Fault: the arguments are not what the subroutine takes, or calls are nested too deeply.
        """
        definition, program = subroutine.node, self._program
        name = definition.name.name
        if len(arguments) != len(definition.arguments):
            raise Fault(f"wrong number of arguments for {name!r}: {len(arguments)}", str(len(definition.arguments)))
        if len(self._calls) >= _MAX_CALLS:
            raise Fault(f"more than {_MAX_CALLS} subroutines call each other", "fewer, or a loop")
        bound = [self._bound(taken, given) for taken, given in zip(definition.arguments, arguments, strict=True)]
        if any(isinstance(item, Variable) and _reads(item, destination) for item in bound):
            destination = ()
        returns = None if definition.return_type is None else self._values.type_of(definition.return_type)
        outer, loops = program.scope, program.loops
        program.loops = []
        try:
            with program.inside("def", program.top) as scope:
                call = Call(program.depth, scope, returns, tuple(destination), syntax.returned_name(definition))
                for taken, item in zip(definition.arguments, bound, strict=True):
                    program.define(taken.name.name, item)
                self._calls.append(call)
                try:
                    self._carry_out(definition.body)
                except Leave as leave:
                    if leave.how != "return":
                        raise
                finally:
                    self._calls.pop()
                if returns is not None and call.result is None:
                    raise Fault(f"the subroutine {name!r} returns nothing", f'"return" with a value of type {returns}')
                if call.result is not None:
                    _keep(call.result, scope, outer)
            return call.result
        finally:
            program.loops = loops

    def leave(self, node: ast.ReturnStatement) -> None:
        """Carry out ``return``."""
        if not self._calls:
            raise Fault("return outside a subroutine", "it inside a subroutine only")
        call = self._calls[-1]
        if self._program.depth != call.depth:
            raise Fault(
                "only the run decides whether the subroutine returns here", 'one "return", outside of such branches'
            )
        if node.expression is not None:
            if call.returns is None:
                raise Fault("a subroutine without a type returns a value", '"-> type" in its definition')
            if isinstance(node.expression, ast.QuantumMeasurement):
                value = self._values.measure(node.expression, call.destination)
            else:
                value = self._values(node.expression)
            call.result = convert(self._values.bound_for(value, call.returns), call.returns)
        raise Leave("return")

    def home_of(self, name: str, kind: Type) -> tuple[Clbit, ...]:
        """Return the bits for a variable that is declared now and returned at the end, where the caller has some."""
        if not self._calls:
            return ()
        call = self._calls[-1]
        fits = kind.kind in ("bit", "bool") and kind.cells == len(call.destination)
        return call.destination if fits and name == call.returned_name and self._program.scope is call.scope else ()

    def _bound(self, taken: ast.ClassicalArgument | ast.QuantumArgument, given: ast.QASMNode) -> Symbol:
        name, program = taken.name.name, self._program
        if isinstance(taken, ast.QuantumArgument):
            value = self._values.qubits(given)
            size = None if taken.size is None else self._values.integer(taken.size)
            if value.type.width != size and not (size == 1 and value.type.width is None):
                raise program.invalid(given, f"the argument {name!r} gets {value.type}", str(Type("qubit", size)))
            if size == 1 and value.type.width is None:
                value = Value(Type("qubit", 1), (value.data,))
            return Name(taken, value)
        if isinstance(taken.type, ast.ArrayReferenceType):
            return self._array(taken, taken.type, given)
        kind = self._values.type_of(taken.type)
        value = self._values(given)
        try:
            value = convert(self._values.bound_for(value, kind), kind)
        except Fault as fault:
            raise program.invalid(given, fault.problem, fault.expected) from None
        return Variable(name, kind, value, taken, program.depth)

    def _array(self, taken: ast.ClassicalArgument, kind: ast.ArrayReferenceType, given: ast.QASMNode) -> Variable:
        name, program = taken.name.name, self._program
        value = self._values(given)
        element = self._values.type_of(kind.base_type)
        sizes = kind.dimensions
        if isinstance(sizes, list):
            fits = value.type.dimensions == tuple(self._values.integer(size) for size in sizes)
        else:
            fits = len(value.type.dimensions) == self._values.integer(sizes)
        if not fits or value.type.element != element:
            raise program.invalid(given, f"the argument {name!r} gets {value.type}", f"an array of {element}")
        readonly = taken.access is ast.AccessControl.readonly
        return Variable(name, value.type, value, taken, program.depth, constant=readonly)


def _reads(variable: Variable, destination: Sequence[Clbit]) -> bool:
    if variable.value.is_known:
        return False
    return any(cells.bits_in(cell) & set(destination) for cell in cells_of(variable.value))


def _keep(value: Value, scope: Scope, outer: Scope) -> None:
    """Leave the hidden bits of a result to the caller, so that nothing else gets them meanwhile."""
    if value.is_known or value.type.cells is None:
        return
    for bit in {bit for cell in cells_of(value) for bit in cells.bits_in(cell)}:
        if bit in scope.hidden:
            scope.hidden.remove(bit)
            outer.hidden.append(bit)
