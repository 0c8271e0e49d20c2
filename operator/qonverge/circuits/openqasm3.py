"""OpenQASM 3, read by the OpenQASM reference parser and qiskit-qasm3-import.

Both leave out what a person needs to know of many mistakes, so the importer here checks before it hands on.
"""

from __future__ import annotations

import re
from typing import Any

import openqasm3
from openqasm3 import ast
from openqasm3.parser import QASM3ParsingError
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit.exceptions import CircuitError
from qiskit_qasm3_import import ConversionError
from qiskit_qasm3_import.converter import ConvertVisitor, _escape_qasm2
from qiskit_qasm3_import.expression import ValueResolver
from qiskit_qasm3_import.types import BitArray, Gate, QubitArray

from qonverge.circuits import advice
from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.limits import MAX_REGISTER, check_register_size
from qonverge.circuits.source import Source

_HEADER = "stdgates.inc"
_PHYSICAL = re.compile(r"\$(\d+)")
_LEXER = re.compile(r"L(\d+):C(\d+): token recognition error at: '(.*)'", re.DOTALL)
_PARSER = re.compile(r"L(\d+):C(\d+): (.*)", re.DOTALL)
_CONVERTER = re.compile(r"(\d+),(\d+): (.*)", re.DOTALL)


def parse(source: Source) -> QuantumCircuit:
    """Return the circuit.

    Raises:
        InvalidProgram: when the text is no valid OpenQASM 3, has what no circuit can hold, includes anything but the
            standard header or declares registers that are too large.
        RecursionError: when it is nested too deeply.
    """
    if (unclosed := source.code.find("/*")) >= 0:
        raise source.invalid(unclosed, "the comment is not closed", "*/ after it")
    for qubit in _PHYSICAL.finditer(source.code):
        if int(qubit[1][:12]) >= MAX_REGISTER:
            raise source.invalid(qubit.start(), f"no device has a qubit {qubit[0]}", f"less than ${MAX_REGISTER}")
    try:
        program = openqasm3.parse(source.text)
    except QASM3ParsingError as error:
        raise _syntax_error(source, error) from None
    importer = _Importer(source)
    try:
        return importer.convert(program).circuit
    except ConversionError as error:
        raise importer.explained(error) from None
    except (InvalidProgram, MemoryError, RecursionError, SystemError):
        raise
    except CircuitError as error:
        raise importer.invalid(importer.node, *advice.of_circuit(error.message)) from None
    except Exception as error:  # the importer lets errors of every kind out for programs that it did not foresee
        raise importer.invalid(importer.node, *advice.of_circuit(str(error) or type(error).__name__)) from None


class _Importer(ConvertVisitor):
    """Builds the circuit, and tells where and why it can't. The base class sets the names of the methods."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._state: Any = None
        self._included = False
        self.node: ast.QASMNode | None = None
        """What is being read."""

    def visit(self, node: ast.QASMNode, context: Any = None) -> Any:
        outer, self.node = self.node, node
        if context is not None and self._state is None:
            self._state = context
        result = super().visit(node, context)
        self.node = outer
        return result

    def generic_visit(self, node: ast.QASMNode, context: Any = None) -> Any:
        raise self.invalid(node, *advice.of_unsupported(type(node).__name__))

    def visit_Include(self, node: ast.Include, context: Any) -> Any:  # noqa: N802
        if node.filename != _HEADER:
            raise self.invalid(node, f'"{node.filename}" cannot be included', f'"{_HEADER}" only')
        if self._included:
            raise self.invalid(node, f'"{_HEADER}" is included twice', "it once")
        self._included = True
        return super().visit_Include(node, context)

    def visit_QubitDeclaration(self, node: ast.QubitDeclaration, context: Any) -> Any:  # noqa: N802
        self._check_size(node, node.size, context)
        return super().visit_QubitDeclaration(node, context)

    def visit_ClassicalDeclaration(self, node: ast.ClassicalDeclaration, context: Any) -> Any:  # noqa: N802
        if isinstance(node.type, ast.BitType):
            self._check_size(node, node.type.size, context)
        context = super().visit_ClassicalDeclaration(node, context)
        if isinstance(node.type, ast.BitType) and node.type.size is None:
            # Counts name what was declared: a bit in no register would have no place of its own in them.
            bit = context.symbol_table.get(node.identifier.name, node).data
            context.circuit.add_register(ClassicalRegister(name=_escape_qasm2(node.identifier.name), bits=[bit]))
        return context

    def visit_Box(self, node: ast.Box, context: Any) -> Any:  # noqa: N802
        if node.duration is not None:
            raise self.invalid(node, "a box of a given duration is not supported", "a box without it")
        return super().visit_Box(node, context)

    def visit_QuantumGate(self, node: ast.QuantumGate, context: Any) -> Any:  # noqa: N802
        name = node.name.name
        symbol = context.symbol_table.get(name, node)
        if symbol is None:
            known = [symbol.name for symbol in context.symbol_table.globals() if isinstance(symbol.type, Gate)]
            raise self.invalid(node, f"gate {name!r} is not defined", advice.of_unknown_gate(name, known))
        if isinstance(symbol.type, Gate):
            takes = _count(symbol.type.n_classical)
            if (given := len(node.arguments)) != takes:
                raise self.invalid(node, f"wrong number of angles for gate {name!r}: {given}", str(takes))
            takes = _count(symbol.type.n_quantum) + sum(
                1 if modifier.argument is None else self._resolve_constant_int(modifier.argument, context)
                for modifier in node.modifiers
                if modifier.modifier in (ast.GateModifierName.ctrl, ast.GateModifierName.negctrl)
            )
            if (given := len(node.qubits)) != takes:
                raise self.invalid(node, f"wrong number of qubits for gate {name!r}: {given}", str(takes))
        return super().visit_QuantumGate(node, context)

    def visit_QuantumGateDefinition(self, node: ast.QuantumGateDefinition, context: Any) -> Any:  # noqa: N802
        name = node.name.name
        context = super().visit_QuantumGateDefinition(node, context)
        symbol = context.symbol_table.get(name, node)
        build = symbol.data

        def build_apart(*angles: Any) -> Any:
            # Modifiers go by a gate's name, which must not be that of a gate they know.
            gate = build(*angles)
            gate.name = f"{name}()"
            return gate

        symbol.data = build_apart
        return context

    def _resolve_qarg(self, node: ast.Expression, context: Any) -> Any:
        self._check_index(node, context)
        return super()._resolve_qarg(node, context)

    def _resolve_carg(self, node: ast.Expression, context: Any) -> Any:
        self._check_index(node, context)
        return super()._resolve_carg(node, context)

    def _check_size(self, node: ast.QASMNode, size: ast.Expression | None, context: Any) -> None:
        if size is not None:
            check_register_size(self._source, self._offset(node), self._resolve_constant_int(size, context))

    def _check_index(self, node: ast.Expression, context: Any) -> None:
        """Refuse indices out of range, which Python would cut off in silence where they bound a range."""
        if not isinstance(node, ast.IndexedIdentifier) or len(node.indices) != 1:
            return
        name = node.name.name
        symbol = context.symbol_table.get(name, node)
        if symbol is None or not isinstance(symbol.type, QubitArray | BitArray):
            return
        resolver, size = ValueResolver(context), symbol.type.size
        items = node.indices[0].values if isinstance(node.indices[0], ast.DiscreteSet) else node.indices[0]
        for item in items:
            ends = (item.start, item.end) if isinstance(item, ast.RangeDefinition) else (item,)
            for index in (resolver.resolve(end)[0] for end in ends if end is not None):
                if isinstance(index, int) and not -size <= index < size:
                    raise self.invalid(
                        node,
                        f"index {index} is out of range: register {name!r} has the size {size}",
                        f"an index below {size}",
                    )

    def invalid(self, node: ast.QASMNode | None, problem: str, expected: str | None) -> InvalidProgram:
        """Return the error for a node."""
        return self._source.invalid(self._offset(node), problem, expected)

    def explained(self, error: ConversionError) -> InvalidProgram:
        """Return the importer's error in plain words."""
        placed = _CONVERTER.fullmatch(error.message)
        if placed is None:
            return self.invalid(self.node, *advice.of_circuit(error.message))
        line, column = int(placed[1]), int(placed[2])
        # The error does not tell its node, and the columns of some nodes need mending.
        at = next((node for node in _nodes(self.node) if _start(node) == (line, column)), None)
        offset = self._source.offset(line, column + 1) if at is None else self._offset(at)
        names = {symbol.name: symbol for symbol in self._state.symbol_table.globals()}
        return self._source.invalid(offset, *advice.of_conversion(placed[3], self._source.word(offset), names))

    def _offset(self, node: ast.QASMNode | None) -> int:
        if node is None or node.span is None:
            return 0
        column = node.span.start_column
        offset = self._source.offset(node.span.start_line, column + 1)
        # The reference parser gives names the column that counts from the beginning of the text.
        if isinstance(node, ast.Identifier) and not self._source.text.startswith(node.name, offset):
            return int(column)
        return offset


def _count(arguments: int | list[object]) -> int:
    """Return how many there are; the built-in gate lists them where the others count them."""
    return arguments if isinstance(arguments, int) else len(arguments)


def _start(node: ast.QASMNode) -> tuple[int, int] | None:
    return None if node.span is None else (node.span.start_line, node.span.start_column)


def _nodes(node: object) -> Any:
    """Yield a node and all below it."""
    if isinstance(node, ast.QASMNode):
        yield node
        for value in vars(node).values():
            yield from _nodes(value)
    elif isinstance(node, list):
        for item in node:
            yield from _nodes(item)


def _syntax_error(source: Source, error: QASM3ParsingError) -> InvalidProgram:
    if lexed := _LEXER.fullmatch(str(error)):
        offset = source.offset(int(lexed[1]), int(lexed[2]) + 1)
        return source.invalid(offset, *advice.of_character(source, offset))
    recognition = error.__cause__.args[0] if error.__cause__ is not None and error.__cause__.args else None
    token = getattr(recognition, "offendingToken", None)
    if recognition is None or token is None:
        if said := _PARSER.fullmatch(str(error)):
            return source.invalid(source.offset(int(said[1]), int(said[2]) + 1), *advice.of_circuit(said[3]))
        return source.invalid(0, "this is no OpenQASM 3 program", "statements that end with ';'")
    ended = token.type == -1
    offset = len(source.text.rstrip()) if ended else token.start
    return source.invalid(
        offset,
        "unexpected end of the program" if ended else f"unexpected {token.text!r}",
        _expected(recognition) or advice.of_unexpected(source, offset, token.text),
    )


def _expected(recognition: Any) -> str | None:
    """Return the tokens that the parser would have taken, where they are few."""
    parser = recognition.recognizer
    try:
        tokens = recognition.getExpectedTokens()
    except Exception:  # the state that the parser was in is gone for some errors
        return None
    names = []
    for interval in tokens.intervals if tokens is not None else ():
        for index in interval:
            literal = parser.literalNames[index] if 0 <= index < len(parser.literalNames) else "<INVALID>"
            names.append(parser.symbolicNames[index] if literal == "<INVALID>" else literal)
    plain = [advice.TOKENS.get(name, name) for name in names]
    # More than a handful of tokens helps nobody, nor does the parser's own name for one.
    return " or ".join(plain) if 0 < len(plain) <= 4 and not any(name.isalpha() for name in plain) else None
