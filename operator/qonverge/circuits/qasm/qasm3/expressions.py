"""Values of expressions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from openqasm3 import ast
from qiskit.circuit import Clbit

from qonverge.circuits.qasm import diagnostics
from qonverge.circuits.qasm.qasm3 import functions
from qonverge.circuits.qasm.qasm3.conversions import convert
from qonverge.circuits.qasm.qasm3.indices import positions
from qonverge.circuits.qasm.qasm3.operators import binary, unary
from qonverge.circuits.qasm.qasm3.program import GateName, Name, Program, Subroutine, Variable
from qonverge.circuits.qasm.qasm3.values import (
    BIT,
    BOOL,
    COMPLEX,
    DURATION,
    FLOAT,
    INT,
    UINT,
    Array,
    Cell,
    Duration,
    Fault,
    Type,
    Value,
    cells_of,
)

_TYPES: Mapping[type[ast.ClassicalType], str] = {
    ast.BitType: "bit",
    ast.BoolType: "bool",
    ast.IntType: "int",
    ast.UintType: "uint",
    ast.FloatType: "float",
    ast.AngleType: "angle",
    ast.ComplexType: "complex",
    ast.DurationType: "duration",
}
# Operators of which a circuit can hold the result where parameters are open.
_OPEN = ("+", "-", "*", "/", "**")
_MAX_WIDTH = 4096
_RANGE_BITS = 53
_MAX_ARRAY = 1_000_000
Call: TypeAlias = Callable[[ast.FunctionCall, Subroutine, Sequence[Clbit]], Value | None]


class Expressions:
    """Evaluates expressions where the program stands."""

    def __init__(self, program: Program) -> None:
        """``call`` is set by who carries statements out."""
        self._program = program
        self.call: Call | None = None
        self._ways: Mapping[type[ast.QASMNode], Callable[[Any], Value]] = {
            ast.IntegerLiteral: lambda node: Value(INT, node.value),
            ast.FloatLiteral: lambda node: Value(FLOAT, node.value),
            ast.ImaginaryLiteral: lambda node: Value(COMPLEX, complex(0, node.value)),
            ast.BooleanLiteral: lambda node: Value(BOOL, node.value),
            ast.BitstringLiteral: _bitstring,
            ast.DurationLiteral: lambda node: Value(DURATION, Duration.of(node.value, node.unit.name)),
            ast.Identifier: self._identifier,
            ast.IndexedIdentifier: self._indexed,
            ast.IndexExpression: self._index,
            ast.UnaryExpression: self._unary,
            ast.BinaryExpression: self._binary,
            ast.Cast: lambda node: convert(self.bound_for(self(node.argument), kind := self.type_of(node.type)), kind),
            ast.Concatenation: self._concatenated,
            ast.FunctionCall: self._function,
            ast.SizeOf: self._size_of,
            ast.QuantumMeasurement: self.measure,
            ast.DurationOf: self._duration_of,
        }

    def __call__(self, node: ast.QASMNode) -> Value:
        """Return the value of an expression, or the qubits that it names."""
        way = self._ways.get(type(node))
        if way is None:
            raise self._program.invalid(node, *diagnostics.of_unsupported(type(node).__name__))
        try:
            return way(node)
        except Fault as fault:
            raise self._program.invalid(node, fault.problem, fault.expected) from None

    # Values of a kind

    def bound(self, value: Value) -> Value:
        """Put the given values in place of parameters."""
        if not value.is_parametric:
            return value
        names = sorted(parameter.name for parameter in value.data.parameters)
        given = self._program.given
        if missing := [name for name in names if name not in given]:
            raise Fault(f"no value is given for the parameter {missing[0]}", "one number for each in parameters")
        self._program.fixed.update(names)
        try:
            number = float(value.data.bind({parameter: given[parameter.name] for parameter in value.data.parameters}))
        except (TypeError, ValueError, ZeroDivisionError, OverflowError):
            raise Fault("the expression has no finite value for the given parameters", "other values") from None
        return Value(value.type, number)

    def bound_for(self, value: Value, target: Type) -> Value:
        """Put the given values in place of parameters where a value of the target type cannot leave them open."""
        opens = target.kind in ("float", "angle") and target.width is None
        return value if opens else self.bound(value)

    def integer(self, node: ast.Expression) -> int:
        """Return an integer that is known before the run."""
        value = self.bound(self(node))
        if value.type.kind not in ("int", "uint", "bool", "bit") or value.type.dimensions:
            whole = value.type.kind == "float" and not value.type.dimensions and float(value.data).is_integer()
            if not whole or isinstance(node, ast.FloatLiteral):
                raise self._program.invalid(node, "this is no constant integer", "an integer such as 2")
        if not value.is_known:
            raise self._program.invalid(
                node, "only the run decides this integer, since measurements do", "an integer known before the run"
            )
        return int(convert(value, INT).data) if value.type.kind != "uint" else int(value.data)

    def number(self, node: ast.Expression) -> float:
        """Return a number that is known before the run."""
        value = self.bound(self(node))
        if value.type.kind == "complex" or value.type.dimensions or value.type.kind in ("duration", "qubit"):
            raise self._program.invalid(node, "this is no constant number", "a number such as 0.5")
        try:
            return float(convert(value, FLOAT).data)
        except Fault as fault:
            raise self._program.invalid(node, fault.problem, fault.expected) from None

    def condition(self, node: ast.Expression) -> Cell:
        """Return a truth value."""
        value = self.bound(self(node))
        if value.type.kind == "qubit" or value.type.dimensions:
            raise self._program.invalid(
                node,
                "this is no condition that a circuit can hold",
                'a bit, as in "if (c[0])", a bit compared with true or false, or a register compared with an integer',
            )
        try:
            cell: Cell = convert(value, BOOL).data
        except Fault as fault:
            raise self._program.invalid(node, fault.problem, fault.expected) from None
        return cell

    def qubits(self, node: ast.QASMNode) -> Value:
        """Return a qubit or several."""
        value = self(node)
        if value.type.kind != "qubit":
            word = self._program.source.word(self._program.offset(node))
            raise self._program.invalid(node, f"{word!r} is no qubit", "a qubit or a register of qubits")
        return value

    def type_of(self, node: ast.ClassicalType) -> Type:
        """Return a classical type."""
        if isinstance(node, ast.ArrayType):
            sizes = tuple(self.integer(size) for size in node.dimensions)
            if any(size < 0 for size in sizes) or math.prod(sizes) > _MAX_ARRAY:
                raise self._program.invalid(node, f"an array of {sizes} elements", f"at most {_MAX_ARRAY}")
            element = self.type_of(node.base_type)
            return Type(element.kind, element.width, sizes)
        kind = _TYPES.get(type(node))
        if kind is None:
            name = type(node).__name__.removesuffix("Type").lower()
            raise self._program.invalid(node, *diagnostics.of_type(name))
        size = getattr(node, "size", None)
        if size is None:
            return Type(kind)
        width = self.integer(size)
        if kind != "bit" and not 0 < width <= _MAX_WIDTH:
            raise self._program.invalid(size, f"{kind} of {width} bits", f"1 to {_MAX_WIDTH} bits")
        return Type(kind, width)

    def range_of(self, node: ast.RangeDefinition) -> range:
        """Return the integers of a range with both ends, the last one included."""
        if node.start is None or node.end is None:
            raise self._program.invalid(node, "the range has no end", 'a range such as "[0:3]"')
        start, end = self.integer(node.start), self.integer(node.end)
        step = 1 if node.step is None else self.integer(node.step)
        if step == 0:
            raise self._program.invalid(node.step, "a range in steps of 0", "another step")
        if max(abs(start), abs(end)) >= 1 << _RANGE_BITS:
            raise self._program.invalid(node, "the range is too long", f"ends below 2**{_RANGE_BITS}")
        return range(start, end + (1 if step > 0 else -1), step)

    # Kinds of nodes

    def _identifier(self, node: ast.Identifier) -> Value:
        name = node.name
        symbol = self._program.scope.find(name)
        if isinstance(symbol, Variable):
            return symbol.value
        if isinstance(symbol, Name):
            return _of_name(symbol)
        if symbol is None and name in functions.CONSTANTS:
            return Value(FLOAT, functions.CONSTANTS[name])
        if name.startswith("$"):
            if self._in_gate():
                raise Fault("a qubit of the device inside a gate definition", "the gate's own qubits")
            return self._program.device_qubit(name)
        if symbol is None:
            raise Fault(f"{name!r} is not declared", diagnostics.of_unknown_name(name, self._values()))
        raise Fault(f"{name!r} is a {'gate' if isinstance(symbol, GateName) else 'subroutine'}", "a value")

    def _in_gate(self) -> bool:
        return any(scope.kind == "gate" for scope in self._program.scope.chain())

    def _values(self) -> list[str]:
        return [
            *functions.CONSTANTS,
            *(
                name
                for scope in self._program.scope.chain()
                for name, symbol in scope.names.items()
                if isinstance(symbol, Variable | Name)
            ),
        ]

    def _indexed(self, node: ast.IndexedIdentifier) -> Value:
        value = self._identifier(node.name)
        for index in node.indices:
            value = self._at(value, index, node.name.name)
        return self._not_empty(node, value)

    def _index(self, node: ast.IndexExpression) -> Value:
        word = node.collection.name if isinstance(node.collection, ast.Identifier) else "expression"
        return self._not_empty(node, self._at(self(node.collection), node.index, word))

    def _not_empty(self, node: ast.QASMNode, value: Value) -> Value:
        if value.type.width == 0 or 0 in value.type.dimensions:
            self._program.warn(node, "the range is empty: its step leads away from its end")
        return value

    def _at(self, value: Value, index: ast.IndexElement, name: str) -> Value:
        if value.type.dimensions:
            return self._in_array(value, index, name)
        if value.type.kind == "qubit":
            if value.type.width is None:
                raise Fault("an index to what is no register", "a register")
            bits: Sequence[Any] = value.data
        elif value.type.kind in ("bit", "int", "uint", "angle") and value.type != BIT:
            bits = cells_of(value)
        else:
            raise Fault("an index to what is no register", "a register")
        places, single = positions(self, index, len(bits), name)
        kind = value.type.kind if value.type.kind == "qubit" else "bit"
        if single:
            return Value(Type(kind), bits[places[0]])
        return Value(Type(kind, len(places)), tuple(bits[place] for place in places))

    def _in_array(self, value: Value, index: ast.IndexElement, name: str) -> Value:
        items: Any = [index] if isinstance(index, ast.DiscreteSet) else index
        if len(items) > len(value.type.dimensions):
            raise Fault(f"{len(items)} indices to an array of {len(value.type.dimensions)} dimensions", "fewer")
        array, kind = selected(self, value.data, value.type, items, name)
        return array if isinstance(array, Value) else Value(kind, array)

    def _unary(self, node: ast.UnaryExpression) -> Value:
        value = self(node.expression)
        if node.op.name != "-" or value.type.kind in ("bit", "bool", "int", "uint"):
            value = self.bound(value)
        if value.type.kind == "qubit" or value.type.dimensions:
            raise Fault(f"{node.op.name} before a value of type {value.type}", "a number or bits")
        return unary(node.op.name, value)

    def _binary(self, node: ast.BinaryExpression) -> Value:
        name = node.op.name
        left = self(node.lhs)
        if name in ("&&", "||"):
            # The right side counts only where the left one does not decide.
            decided = convert(self.bound(left), BOOL).data
            if decided is (name == "||"):
                return Value(BOOL, decided)
        right = self(node.rhs)
        if left.is_parametric or right.is_parametric:
            opens = name in _OPEN and all(
                side.is_parametric or (side.is_known and side.type.kind in ("int", "uint", "float", "angle", "bool"))
                for side in (left, right)
            )
            if not opens:
                left, right = self.bound(left), self.bound(right)
        self._warn_of(node, left, right)
        return binary(name, left, right, self._program.registers)

    def _warn_of(self, node: ast.BinaryExpression, left: Value, right: Value) -> None:
        name, integers = node.op.name, ("int", "uint")
        if left.is_known and right.is_known:
            whole = left.type.kind in integers and right.type.kind in integers
            if name == "/" and whole and right.data and left.data % right.data:
                result = binary(name, left, right, {}).data
                self._program.warn(
                    node,
                    f"{left.data}/{right.data} is {result} here: OpenQASM 3 divides integers without a fraction; "
                    f"write {left.data}.0/{right.data} for {left.data / right.data:.6g}",
                )
        elif name in ("==", "!="):
            held, known = (right, left) if left.is_known else (left, right)
            if known.is_known and known.type.kind in integers and held.type.kind in ("bit", "bool", *integers):
                most = (1 << len(cells_of(held))) - 1
                if known.data > most:
                    truth = "never" if name == "==" else "always"
                    self._program.warn(
                        node, f"the condition is {truth} true: {held.type} holds 0 to {most}, not {known.data}"
                    )

    def _concatenated(self, node: ast.Concatenation) -> Value:
        left, right = self(node.lhs), self(node.rhs)
        kinds = {left.type.kind, right.type.kind}
        if left.type.dimensions or right.type.dimensions:
            if left.type.element != right.type.element or len(left.type.dimensions) != len(right.type.dimensions):
                raise Fault(f"{left.type} ++ {right.type}", "arrays of one type")
            sizes = (left.type.dimensions[0] + right.type.dimensions[0], *left.type.dimensions[1:])
            return Value(Type(left.type.kind, left.type.width, sizes), Array([*left.data.items, *right.data.items]))
        if kinds not in ({"qubit"}, {"bit"}):
            raise Fault(f"{left.type} ++ {right.type}", "registers of bits or of qubits")
        items = [item for side in (left, right) for item in (side.data if side.type.is_register else (side.data,))]
        return Value(Type(kinds.pop(), len(items)), tuple(items))

    def _function(self, node: ast.FunctionCall) -> Value:
        value = self.result_of(node, ())
        if value is None:
            raise Fault(f"the subroutine {node.name.name!r} returns nothing", 'a subroutine with "-> type"')
        return value

    def result_of(self, node: ast.FunctionCall, destination: Sequence[Clbit]) -> Value | None:
        """Return what a function or subroutine returns; bits that it measures may go to the destination at once."""
        name = node.name.name
        symbol = self._program.scope.find(name)
        if isinstance(symbol, Subroutine):
            assert self.call is not None
            return self.call(node, symbol, destination)
        if name in functions.NAMES:
            return functions.call(name, [self(argument) for argument in node.arguments], self.bound)
        raise self._program.invalid(node, f"{name!r} is no function", functions.of_unknown(name))

    def _size_of(self, node: ast.SizeOf) -> Value:
        value = self(node.target)
        sizes = value.type.dimensions or ((value.type.width,) if value.type.is_register else ())
        index = 0 if node.index is None else self.integer(node.index)
        if not 0 <= index < len(sizes):
            raise Fault(f"{value.type} has no dimension {index}", "an array or a register")
        return Value(UINT, sizes[index])

    def measure(self, node: ast.QuantumMeasurement, destination: Sequence[Clbit] = ()) -> Value:
        """Measure into the destination, or into bits that are no result, and return them."""
        measured = self.qubits(node.qubit)
        qubits = measured.data if measured.type.is_register else (measured.data,)
        if len(destination) != len(qubits):
            destination = self._program.hidden_bits(len(qubits))
        self._program.step(len(qubits))
        self._program.circuit.measure(list(qubits), list(destination))
        return (
            Value(Type("bit", len(qubits)), tuple(destination))
            if measured.type.is_register
            else Value(BIT, destination[0])
        )

    def _duration_of(self, node: ast.DurationOf) -> Value:
        """Return how long delays take, of which alone the length is known here."""
        total: dict[Any, Duration] = {}
        for statement in node.target:
            if isinstance(statement, ast.QuantumBarrier):
                continue
            if not isinstance(statement, ast.DelayInstruction):
                raise Fault(
                    "how long gates take is the device's and not known here", "durationof of delays, or a number"
                )
            time = self(statement.duration)
            for operand in statement.qubits:
                named = self.qubits(operand)
                for qubit in named.data if named.type.is_register else (named.data,):
                    total[qubit] = total.get(qubit, Duration()).plus(convert(time, DURATION).data)
        longest = Duration()
        for own in total.values():
            if binary(">", Value(DURATION, own), Value(DURATION, longest), {}).data:
                longest = own
        return Value(DURATION, longest)


def selected(values: Expressions, array: Array, kind: Type, indices: Sequence[Any], name: str) -> tuple[Any, Type]:
    """Return an element or a part of an array, which shares its elements' arrays, and its type."""
    index, *more = indices
    size, *inner = kind.dimensions
    places, single = positions(values, index if isinstance(index, ast.DiscreteSet) else [index], size, name)
    below = Type(kind.kind, kind.width, tuple(inner))
    parts = [(array.items[place], below) for place in places]
    if more:
        parts = [selected(values, item, below, more, name) for item, _ in parts]
    if single:
        return parts[0]
    part_kind = parts[0][1] if parts else below
    return Array([item for item, _ in parts]), Type(kind.kind, kind.width, (len(places), *part_kind.dimensions))


def _bitstring(node: ast.BitstringLiteral) -> Value:
    return Value(Type("bit", node.width), tuple(bool(node.value >> place & 1) for place in range(node.width)))


def _of_name(name: Name) -> Value:
    if name.value is not None:
        return name.value
    found = [cells_of_variable(variable)[place] for variable, place in name.bits]
    return Value(BIT, found[0]) if name.single else Value(Type("bit", len(found)), tuple(found))


def cells_of_variable(variable: Variable) -> Sequence[Cell]:
    """Return the bits of a variable's value."""
    return cells_of(variable.value)
