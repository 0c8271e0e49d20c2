"""The circuit that is being built, and the names that are known where its text is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from openqasm3 import ast
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit, Gate, Parameter, Qubit
from qiskit.circuit.classical import expr
from qiskit.transpiler import Layout, TranspileLayout

from qonverge.circuits.analysis import hidden
from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.qasm.limits import MAX_STEPS
from qonverge.circuits.qasm.qasm3 import cells
from qonverge.circuits.qasm.qasm3.conversions import convert
from qonverge.circuits.qasm.qasm3.values import Cell, Fault, Type, Value, cells_of, from_cells
from qonverge.circuits.qasm.source import Source


@dataclass(slots=True, eq=False)
class Variable:
    """A classical variable. What it holds is known, or is in bits of the circuit that belong to it."""

    name: str
    type: Type
    value: Value
    node: ast.QASMNode
    depth: int = 0
    """Blocks around it of which only the run decides whether, or how often, they run."""
    constant: bool = False
    home: tuple[Clbit, ...] | None = None
    """Its bits in the circuit; None while everything about it is known."""
    pending: set[int] = field(default_factory=set)
    """Bits whose known value is not in the circuit yet."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name for qubits or for bits of variables."""

    node: ast.QASMNode
    value: Value | None = None
    """Qubits."""
    bits: tuple[tuple[Variable, int], ...] = ()
    """Bits of variables."""
    single: bool = False


@dataclass(frozen=True, slots=True)
class GateName:
    """A gate: numbers of angles and qubits, and what builds it from its angles."""

    node: ast.QASMNode | None
    angles: int
    qubits: int
    build: Callable[..., Gate]
    phase: Callable[..., Any] | None = None
    """By its angles, the global phase that OpenQASM gives it beyond what is built; None: nothing."""


@dataclass(frozen=True, slots=True)
class Subroutine:
    """A ``def``."""

    node: ast.SubroutineDefinition


Symbol: TypeAlias = Variable | Name | GateName | Subroutine


@dataclass(slots=True)
class Scope:
    """Names of a block."""

    outer: Scope | None = None
    names: dict[str, Symbol] = field(default_factory=dict)
    kind: str = "block"
    """``program``, ``block``, ``gate`` or ``def``."""
    hidden: list[Clbit] = field(default_factory=list)
    """Hidden bits of its variables."""

    def find(self, name: str) -> Symbol | None:
        """Return what the name stands for."""
        for scope in self.chain():
            if (symbol := scope.names.get(name)) is not None:
                return symbol
        return None

    def chain(self) -> Iterator[Scope]:
        """Yield it and the scopes around it."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer


@dataclass(slots=True)
class Loop:
    """A loop around what is read."""

    depth: int
    kept: bool
    """Whether the circuit has it as a loop; one that is unfolded has not."""
    leaves: str = ""
    """Of one that is unfolded: what leaves it at run time, ``break`` or ``continue``, by a loop that runs once."""


class Program:
    """The circuit under construction. It knows the text, for errors."""

    def __init__(self, source: Source, parameters: Mapping[str, float]) -> None:
        """``parameters`` are the values of inputs, which are needed only where no circuit can leave them open."""
        self.source = source
        self.given = parameters
        self.circuit = QuantumCircuit()
        self.scope = Scope(kind="program")
        self.registers: dict[tuple[Clbit, ...], ClassicalRegister] = {}
        self.inputs: dict[str, Parameter] = {}
        self.physical: list[Qubit] = []
        self.virtual = False
        self.warnings: dict[str, None] = {}
        self.fixed: set[str] = set()
        """Inputs whose given value the circuit depends on."""
        self.depth = 0
        self.loops: list[Loop] = []
        self._steps = 0
        self._visible: list[ClassicalRegister] = []
        self._free: list[Clbit] = []
        self._hidden: list[Clbit] = []

    def offset(self, node: ast.QASMNode | None) -> int:
        """Return where a node begins."""
        if node is None or node.span is None:
            return 0
        column = node.span.start_column
        offset = self.source.offset(node.span.start_line, column + 1)
        # The reference parser gives names the column that counts from the beginning of the text.
        if isinstance(node, ast.Identifier) and not self.source.text.startswith(node.name, offset):
            return int(column)
        return offset

    def invalid(self, node: ast.QASMNode | None, problem: str, expected: str | None) -> InvalidProgram:
        """Return the error for a node."""
        return self.source.invalid(self.offset(node), problem, expected)

    def warn(self, node: ast.QASMNode, text: str) -> None:
        """Say something of what is valid and may mislead."""
        line, column = self.source.place(self.offset(node))
        self.warnings[f"line {line}, column {column}: {text}"] = None

    def step(self, count: int = 1) -> None:
        """Count what is carried out, which loops and subroutines can make far more than what is written.

        Raises:
            Fault: it is too much.
        """
        self._steps += count
        if self._steps > MAX_STEPS:
            raise Fault(
                f"loops and subroutines unfold to more than {MAX_STEPS} statements",
                "fewer; a loop whose body does not use its variable stays a loop",
            )

    # Names

    @contextmanager
    def inside(self, kind: str = "block", outer: Scope | None = None) -> Iterator[Scope]:
        """Open a scope; its hidden bits are free again at its end."""
        before = self.scope
        self.scope = Scope(outer or before, kind=kind)
        try:
            yield self.scope
        finally:
            self._free.extend(self.scope.hidden)
            self.scope = before

    @property
    def in_gate(self) -> bool:
        """Whether a gate is being defined."""
        return any(scope.kind == "gate" for scope in self.scope.chain())

    @property
    def top(self) -> Scope:
        """The scope of the whole program."""
        return list(self.scope.chain())[-1]

    def define(self, name: str, symbol: Symbol) -> None:
        """Give a name.

        Raises:
            Fault: it is taken.
        """
        taken = self.scope.names.get(name)
        if taken is not None:
            raise Fault(f"the name {name!r} is taken {self._by_whom(taken)}", "another name")
        self.scope.names[name] = symbol

    def _by_whom(self, symbol: Symbol) -> str:
        if symbol.node is None:
            return "by OpenQASM itself"
        by = 'by "stdgates.inc", included in' if isinstance(symbol.node, ast.Include) else "in"
        assert symbol.node.span is not None
        return f"{by} line {symbol.node.span.start_line}"

    # Qubits

    def qubits(self, name: str, size: int | None) -> Value:
        """Add qubits."""
        if self.physical:
            raise Fault("declared qubits beside $0, $1, ...", "one of the two kinds only")
        self.virtual = True
        if size is None:
            bit = Qubit()
            self.circuit.add_bits([bit])
            return Value(Type("qubit"), bit)
        register = QuantumRegister(size, _register_name(name))
        self.circuit.add_register(register)
        return Value(Type("qubit", size), tuple(register))

    def device_qubit(self, name: str) -> Value:
        """Return a qubit of the device, such as ``$0``; those below it are added with it."""
        if self.virtual:
            raise Fault(f"{name!r} beside declared qubits", "one of the two kinds only")
        index = int(name[1:])
        new = [Qubit() for _ in range(index + 1 - len(self.physical))]
        self.physical.extend(new)
        self.circuit.add_bits(new)
        return Value(Type("qubit"), self.physical[index])

    # Classical bits

    def is_result(self, variable: Variable) -> bool:
        """Whether the bits of a variable are a result: those declared outside of all blocks, with a known size."""
        sized = variable.type.width is not None or variable.type.kind in ("bit", "bool")
        return sized and self.top.names.get(variable.name) is variable

    def give_bits(self, variable: Variable) -> None:
        """Give a variable bits of the circuit."""
        width = variable.type.cells
        assert width is not None
        known = cells_of(convert(variable.value, Type(variable.type.kind, width)) if width > 1 else variable.value)
        if self.is_result(variable):
            home = self._add(variable.name, width)
            variable.pending = {place for place in range(width) if self.depth or known[place] is True}
        else:
            home = self.hidden_bits(width, self._owner(variable))
            # What such a bit held before is not known.
            variable.pending = set(range(width))
        variable.home = home

    def _add(self, name: str, width: int) -> tuple[Clbit, ...]:
        # A single bit has a register of its own too, which gives it a place and a name in counts.
        register = ClassicalRegister(width, _register_name(name))
        self.circuit.add_register(register)
        self._visible.append(register)
        home = tuple(register)
        self.registers[home] = register
        return home

    def _new_hidden(self) -> Clbit:
        bit = Clbit()
        self.circuit.add_bits([bit])
        self._hidden.append(bit)
        return bit

    def hidden_bits(self, count: int, scope: Scope | None = None) -> tuple[Clbit, ...]:
        """Return bits that are no result, free again at the end of the scope, which is the innermost by default."""
        bits = tuple(self._free.pop() if self._free else self._new_hidden() for _ in range(count))
        (scope or self.scope).hidden.extend(bits)
        return bits

    def _owner(self, variable: Variable) -> Scope:
        return next((scope for scope in self.scope.chain() if scope.names.get(variable.name) is variable), self.scope)

    def store(self, variable: Variable, places: Sequence[int], new: Sequence[Cell]) -> None:
        """Set bits of a variable; what is known is kept in mind and written when something needs it."""
        own = list(_held(variable))
        variable_home = variable.home
        stored: dict[int, Clbit | expr.Expr] = {}
        for place, cell in zip(places, new, strict=True):
            if isinstance(cell, bool):
                variable.pending.add(place)
                own[place] = cell
                continue
            assert variable_home is not None
            if cell is not variable_home[place]:
                stored[place] = cell
            variable.pending.discard(place)
            own[place] = variable_home[place]
        self._store_in_order(variable, stored)
        variable.value = from_cells(_held_type(variable.type), own)

    def measured(self, variable: Variable, places: Sequence[int]) -> None:
        """Record that measurements wrote bits of a variable."""
        assert variable.home is not None
        self.store(variable, places, [variable.home[place] for place in places])

    def flush(self, variable: Variable) -> None:
        """Write what is known of a variable into its bits."""
        if variable.home is None or not variable.pending:
            return
        own = _held(variable)
        for place in sorted(variable.pending):
            self.circuit.store(variable.home[place], expr.lift(own[place]))
        variable.pending.clear()

    def forget(self, variable: Variable) -> None:
        """Record that only the run decides what a variable holds."""
        assert variable.home is not None
        self.flush(variable)
        variable.value = from_cells(_held_type(variable.type), variable.home)

    def _store_in_order(self, variable: Variable, stored: dict[int, Clbit | expr.Expr]) -> None:
        """Write bits so that none is overwritten before it was read."""
        assert variable.home is not None or not stored
        home = variable.home or ()
        while stored:
            for place in stored:
                if not any(home[place] in cells.bits_in(cell) for other, cell in stored.items() if other != place):
                    break
            else:
                # They read each other in a circle.
                temporary = self.hidden_bits(len(stored))
                for bit, cell in zip(temporary, stored.values(), strict=True):
                    self.circuit.store(bit, expr.lift(cell))
                stored = dict(zip(stored, temporary, strict=True))
                continue
            self.circuit.store(home[place], expr.lift(stored.pop(place)))

    # The end

    def finish(self) -> QuantumCircuit:
        """Return the circuit: the results in the order of their declarations, then the bits that are none."""
        for symbol in self.top.names.values():
            if isinstance(symbol, Variable):
                self.flush(symbol)
        circuit = self.circuit
        if self._hidden:
            circuit = QuantumCircuit(self.circuit.qubits, *self.circuit.qregs)
            for item in (*self._visible, ClassicalRegister(name=hidden.REGISTER, bits=self._hidden)):
                circuit.add_register(item)
            for instruction in self.circuit.data:
                circuit._append(instruction)
            circuit.global_phase = self.circuit.global_phase
        for parameter in self.inputs.values():
            # One that nothing uses is still an input.
            circuit.global_phase += parameter - parameter
        if self.physical:
            # As the transpiler says of a circuit that it has laid out.
            places = dict(enumerate(circuit.qubits))
            circuit._layout = TranspileLayout(Layout(places), {qubit: place for place, qubit in places.items()})
        return circuit


def _held_type(kind: Type) -> Type:
    """Return the type with the size that its bits have."""
    return Type(kind.kind, kind.cells) if kind.width is None and kind.kind in ("int", "uint") else kind


def _held(variable: Variable) -> tuple[Cell, ...]:
    value = variable.value
    held = _held_type(variable.type)
    return cells_of(value if value.type == held else convert(value, held))


def _register_name(name: str) -> str:
    return name if name.isascii() else "".join(character if character.isascii() else "_" for character in name)
