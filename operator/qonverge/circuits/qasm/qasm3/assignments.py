"""Writing classical variables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from openqasm3 import ast
from qiskit.circuit import Clbit

from qonverge.circuits.qasm.qasm3.conversions import convert, default
from qonverge.circuits.qasm.qasm3.expressions import Expressions, selected
from qonverge.circuits.qasm.qasm3.indices import positions
from qonverge.circuits.qasm.qasm3.operators import binary
from qonverge.circuits.qasm.qasm3.program import Name, Program, Variable
from qonverge.circuits.qasm.qasm3.values import BIT, Array, Cell, Fault, Type, Value, cells_of, from_cells


class Assignments:
    """Writes values and measurements into variables."""

    def __init__(self, program: Program, values: Expressions) -> None:
        """The program knows where it stands."""
        self._program = program
        self._values = values

    def declare(self, node: Any, kind: Type, initial: ast.QASMNode | None, home: Sequence[Clbit] = ()) -> None:
        """Declare a variable, with a value or without; its bits may be at home somewhere already."""
        program, name = self._program, node.identifier.name
        variable = Variable(name, kind, default(kind), node, program.depth)
        program.define(name, variable)
        if home:
            variable.home, variable.pending = tuple(home), set(range(len(home)))
        elif kind.kind == "bit" and not kind.dimensions and self._program.is_result(variable):
            program.give_bits(variable)
            if initial is None:
                # They are 0, but a condition on them is left as it is written.
                program.forget(variable)
        if initial is not None:
            try:
                self._set(variable, initial)
            except Fault:
                del program.scope.names[name]
                raise

    def declare_constant(self, node: ast.ConstantDeclaration, kind: Type) -> None:
        """Declare a constant."""
        value = convert(self._values.bound(self._initial(node.init_expression, kind)), kind)
        if not value.is_known:
            raise Fault("a constant that measurements decide", "a variable")
        name = node.identifier.name
        self._program.define(name, Variable(name, kind, value, node, self._program.depth, constant=True))

    def measure(self, node: ast.QuantumMeasurementStatement) -> None:
        """Measure, into bits or for the measurement itself."""
        if node.target is None:
            with self._program.inside():
                self._values.measure(node.measure)
            return
        measured = self._values.qubits(node.measure.qubit)
        self._measure_into(measured, self.target(node.target), node.target)

    def assign(self, node: ast.ClassicalAssignment) -> None:
        """Carry out an assignment."""
        operator = node.op.name
        name = node.lvalue if isinstance(node.lvalue, ast.Identifier) else node.lvalue.name
        symbol = self._program.scope.find(name.name)
        if isinstance(symbol, Variable) and symbol.type.dimensions:
            self._assign_array(symbol, node)
            return
        if isinstance(symbol, Variable) and isinstance(node.lvalue, ast.Identifier):
            self._check_writable(symbol, node.lvalue)
            if operator == "=":
                self._set(symbol, node.rvalue)
            else:
                value = self._combined(operator, symbol.value, node.rvalue)
                self.write(symbol, value)
            return
        targets = self.target(node.lvalue)
        kind = BIT if _is_single(self._program, node.lvalue, targets) else Type("bit", len(targets))
        if operator == "=":
            value = self._initial(node.rvalue, kind)
        else:
            value = self._combined(operator, self._values(node.lvalue), node.rvalue)
        self._write_bits(targets, cells_of(convert(value, kind)))

    def _combined(self, operator: str, old: Value, node: ast.Expression) -> Value:
        bound = self._values.bound
        return binary(operator.removesuffix("="), bound(old), bound(self._values(node)), self._program.registers)

    def write(self, variable: Variable, value: Value) -> None:
        """Give a variable a value."""
        program = self._program
        value = convert(self._values.bound_for(value, variable.type), variable.type)
        self._check_depth(variable)
        if value.is_known and variable.home is None:
            variable.value = value
            return
        if variable.type.cells is None:
            raise Fault(f"a {variable.type} cannot hold what measurements decide", "bit, int, uint, bool or angle[n]")
        if variable.home is None:
            program.give_bits(variable)
        width = variable.type.cells
        new = cells_of(
            convert(value, Type(value.type.kind, width)) if value.type.width is None and width > 1 else value
        )
        program.store(variable, range(width), new)

    def target(self, node: ast.QASMNode) -> list[tuple[Variable, int]]:
        """Return the bits of variables that something is written into."""
        name = node if isinstance(node, ast.Identifier) else node.name  # type: ignore[attr-defined]  # there are two kinds
        symbol = self._program.scope.find(name.name)
        if symbol is None:
            raise self._program.invalid(node, f"{name.name!r} is not declared", "a declaration above it")
        if isinstance(symbol, Variable) and symbol.type.cells is not None:
            self._check_writable(symbol, node)
            bits = [(symbol, place) for place in range(symbol.type.cells)]
        elif isinstance(symbol, Name) and symbol.value is None:
            bits = list(symbol.bits)
        else:
            raise self._program.invalid(node, f"{name.name!r} is no bit", "a bit or a register of bits")
        for index in node.indices if isinstance(node, ast.IndexedIdentifier) else ():
            try:
                places, _ = positions(self._values, index, len(bits), name.name)
            except Fault as fault:
                raise self._program.invalid(node, fault.problem, fault.expected) from None
            bits = [bits[place] for place in places]
        return bits

    def alias(self, node: ast.AliasStatement) -> None:
        """Give another name to qubits or bits."""
        program, name = self._program, node.target.name
        outer = program.scope.outer.find(name) if program.scope.outer else None
        if isinstance(outer, Name) and name not in program.scope.names:
            program.warn(node, f"this {name!r} is another one than that outside of the block, and ends with the block")
        bits = self._bits_named(node.value)
        if bits is not None:
            single = _is_single(program, node.value, bits)
            program.define(name, Name(node, bits=tuple(bits), single=single))
            return
        value = self._values(node.value)
        if value.type.kind != "qubit":
            raise program.invalid(node.value, "let names what is no register", "registers of bits or of qubits")
        program.define(name, Name(node, value))

    def _bits_named(self, node: ast.QASMNode) -> list[tuple[Variable, int]] | None:
        """Return the bits of variables that an alias is to name; None where it is about something else."""
        if isinstance(node, ast.Concatenation):
            left, right = self._bits_named(node.lhs), self._bits_named(node.rhs)
            return None if left is None or right is None else [*left, *right]
        name, indices = node, []
        while isinstance(name, ast.IndexExpression):
            indices.append(name.index)
            name = name.collection
        if not isinstance(name, ast.Identifier):
            return None
        symbol = self._program.scope.find(name.name)
        is_bits = isinstance(symbol, Variable) and symbol.type.kind == "bit" and not symbol.type.dimensions
        if not is_bits and not (isinstance(symbol, Name) and symbol.value is None):
            return None
        plain = ast.IndexedIdentifier(name, list(reversed(indices)))
        plain.span = node.span
        return self.target(plain)

    # What is written

    def _set(self, variable: Variable, node: ast.QASMNode) -> None:
        """Write what an expression gives; measurements go to the variable's bits at once."""
        program = self._program
        if isinstance(node, ast.QuantumMeasurement):
            measured = self._values.qubits(node.qubit)
            if variable.type.cells is None or variable.type.kind not in ("bit", "bool"):
                kind = measured.type
                raise Fault(f"a measurement gives bits, not {variable.type}", f"{Type('bit', kind.width)}")
            self._measure_into(measured, [(variable, place) for place in range(variable.type.cells)], node)
            return
        if (
            isinstance(node, ast.FunctionCall)
            and variable.type.kind in ("bit", "bool")
            and not variable.type.dimensions
        ):
            if variable.home is None and self._program.is_result(variable):
                program.give_bits(variable)
            # Only whole variables: a part may be read in the subroutine by another name.
            value = self._values.result_of(node, variable.home or ())
            if value is None:
                raise Fault(f"the subroutine {node.name.name!r} returns nothing", 'a subroutine with "-> type"')
            self.write(variable, value)
            return
        self.write(variable, self._initial(node, variable.type))

    def _initial(self, node: ast.QASMNode, kind: Type) -> Value:
        if isinstance(node, ast.ArrayLiteral):
            return self._array(node, kind)
        return self._values(node)

    def _array(self, node: ast.ArrayLiteral, kind: Type) -> Value:
        if not kind.dimensions:
            raise Fault(f"an array becomes {kind}", "a value of that type")
        size, *rest = kind.dimensions
        if len(node.values) != size:
            raise self._program.invalid(node, f"{len(node.values)} elements for {kind}", str(size))
        below = Type(kind.kind, kind.width, tuple(rest))
        items = []
        for item in node.values:
            value = convert(self._values.bound(self._initial(item, below)), below)
            if not value.is_known:
                raise self._program.invalid(item, "an array cannot hold what measurements decide", "known values")
            items.append(value.data if rest else value)
        return Value(kind, Array(items))

    def _assign_array(self, variable: Variable, node: ast.ClassicalAssignment) -> None:
        self._check_writable(variable, node.lvalue)
        self._check_depth(variable)
        lists = node.lvalue.indices if isinstance(node.lvalue, ast.IndexedIdentifier) else []
        indices = [item for part in lists for item in (part if isinstance(part, list) else [part])]
        dimensions = variable.type.dimensions
        if len(indices) > len(dimensions):
            raise Fault(f"{len(indices)} indices to an array of {len(dimensions)} dimensions", "fewer")
        array: Array = variable.value.data
        if not indices:
            new = convert(self._initial(node.rvalue, variable.type), variable.type)
            array.items[:] = new.data.items
            return
        for index in indices[:-1]:
            places, single = positions(
                self._values, index if isinstance(index, ast.DiscreteSet) else [index], len(array.items), variable.name
            )
            if not single:
                raise Fault(
                    "a range before the last index of an assignment is not supported", "the last index as a range"
                )
            array = array.items[places[0]]
            dimensions = dimensions[1:]
        last = indices[-1]
        places, single = positions(
            self._values, last if isinstance(last, ast.DiscreteSet) else [last], len(array.items), variable.name
        )
        below = Type(variable.type.kind, variable.type.width, dimensions[1:])
        kind = below if single else Type(below.kind, below.width, (len(places), *below.dimensions))
        if node.op.name == "=":
            value = self._values.bound(self._initial(node.rvalue, kind))
        else:
            old, old_kind = selected(self._values, variable.value.data, variable.type, indices, variable.name)
            value = self._combined(node.op.name, old if isinstance(old, Value) else Value(old_kind, old), node.rvalue)
        value = convert(value, kind)
        if not value.is_known:
            raise Fault("an array cannot hold what measurements decide", "known values")
        if single:
            array.items[places[0]] = value.data if below.dimensions else value
        else:
            for place, item in zip(places, value.data.items, strict=True):
                array.items[place] = item

    def _measure_into(self, measured: Value, targets: Sequence[tuple[Variable, int]], node: ast.QASMNode) -> None:
        program = self._program
        qubits = measured.data if measured.type.is_register else (measured.data,)
        if len(qubits) != len(targets):
            raise Fault("the registers have different sizes", "as many bits as qubits")
        for variable, _ in _by_variable(targets):
            if variable.type.kind not in ("bit", "bool", "angle", "uint", "int"):
                raise Fault(f"{variable.name!r} is no bit", "a bit or a register of bits")
            self._check_depth(variable)
            if variable.home is None:
                program.give_bits(variable)
        program.step(len(qubits) // 10)
        bits = [variable.home[place] for variable, place in targets if variable.home is not None]
        program.circuit.measure(list(qubits), bits)
        for variable, places in _by_variable(targets):
            program.measured(variable, places)

    def _write_bits(self, targets: Sequence[tuple[Variable, int]], new: Sequence[Cell]) -> None:
        by_target = dict(zip(targets, new, strict=True))
        for variable, places in _by_variable(targets):
            self._check_depth(variable)
            given = [by_target[variable, place] for place in places]
            if variable.home is None:
                if all(isinstance(cell, bool) for cell in given) and variable.value.is_known:
                    own = list(cells_of(variable.value))
                    for place, cell in zip(places, given, strict=True):
                        own[place] = cell
                    variable.value = from_cells(variable.type, own)
                    continue
                self._program.give_bits(variable)
            self._program.store(variable, places, given)

    def _check_writable(self, variable: Variable, node: ast.QASMNode) -> None:
        if variable.constant:
            raise self._program.invalid(node, f"{variable.name!r} is constant", "a variable")
        if self._in_subroutine() and self._program.top.names.get(variable.name) is variable:
            raise self._program.invalid(
                node,
                f"a subroutine writes {variable.name!r}, which is declared outside of it",
                "a value that it returns",
            )

    def _in_subroutine(self) -> bool:
        return any(scope.kind == "def" for scope in self._program.scope.chain())

    def _check_depth(self, variable: Variable) -> None:
        if variable.depth < self._program.depth and variable.home is None:
            raise Fault(
                f"only the run decides whether {variable.name!r} is written here, and a {variable.type} "
                "cannot be held during a run",
                "bit, int, uint, bool or angle[n]",
            )


def _by_variable(targets: Sequence[tuple[Variable, int]]) -> Iterator[tuple[Variable, list[int]]]:
    by: dict[int, tuple[Variable, list[int]]] = {}
    for variable, place in targets:
        by.setdefault(id(variable), (variable, []))[1].append(place)
    yield from by.values()


def _is_single(program: Program, node: Any, targets: Sequence[tuple[Variable, int]]) -> bool:
    """Whether a name or an index stands for one bit rather than for a register of one bit."""
    if len(targets) != 1:
        return False
    if isinstance(node, ast.Identifier):
        symbol = program.scope.find(node.name)
        return symbol.single if isinstance(symbol, Name) else isinstance(symbol, Variable) and symbol.type == BIT
    indices = (
        node.indices
        if isinstance(node, ast.IndexedIdentifier)
        else [node.index]
        if isinstance(node, ast.IndexExpression)
        else []
    )
    if not indices:
        return False
    return not any(
        isinstance(index, ast.DiscreteSet) or any(isinstance(item, ast.RangeDefinition) for item in index)
        for index in indices
    )
