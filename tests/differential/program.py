"""Random programs in a form of the tests' own, which every language and SDK is written from.

Qubits and bits are numbered through all registers in the order of declaration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Bits = tuple[int, ...]
"""A value of every bit, bit 0 first."""

Comparison = Literal["==", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True)
class Angle:
    """``factor * parameter + offset``; without a parameter the offset alone."""

    offset: float
    parameter: str | None = None
    factor: float = 1.0

    def value(self, values: Mapping[str, float]) -> float:
        """Return the number of radians that these values of the parameters give."""
        return self.offset + (self.factor * values[self.parameter] if self.parameter else 0.0)


@dataclass(frozen=True)
class Modifier:
    """A gate modifier of OpenQASM 3; ``power`` is that of ``pow``."""

    name: Literal["ctrl", "negctrl", "inv", "pow"]
    power: int = 1


@dataclass(frozen=True)
class Gate:
    """A gate; with modifiers, the outermost first, the controls come first among the qubits."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Angle, ...] = ()
    modifiers: tuple[Modifier, ...] = ()


@dataclass(frozen=True)
class Measure:
    """A measurement of a qubit into a bit."""

    qubit: int
    bit: int


@dataclass(frozen=True)
class Reset:
    """A reset to 0."""

    qubit: int


@dataclass(frozen=True)
class Barrier:
    """A barrier across qubits."""

    qubits: tuple[int, ...]


@dataclass(frozen=True)
class BitIs:
    """Whether a bit has a value."""

    bit: int
    value: int = 1


@dataclass(frozen=True)
class Compare:
    """A register, as an unsigned number whose lowest bit is its first, compared with a number."""

    register: int
    operator: Comparison
    value: int


@dataclass(frozen=True)
class Both:
    """Logical and."""

    one: Condition
    other: Condition


@dataclass(frozen=True)
class Either:
    """Logical or."""

    one: Condition
    other: Condition


@dataclass(frozen=True)
class Not:
    """Logical negation."""

    inner: Condition


Condition = BitIs | Compare | Both | Either | Not


@dataclass(frozen=True)
class If:
    """A branch."""

    condition: Condition
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] = ()


@dataclass(frozen=True)
class For:
    """A body that is repeated; angles in it may use the number of the turn, from 0, as they use parameters."""

    turns: int
    body: tuple[Statement, ...]
    variable: str | None = None


@dataclass(frozen=True)
class While:
    """A body that is repeated while a bit is 1; before it the qubit is put to an even superposition and measured.

    So each turn ends the loop with probability 1/2, whatever else the body holds; nothing in it writes the bit.
    """

    qubit: int
    bit: int
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Switch:
    """A choice by a register's value."""

    register: int
    cases: tuple[tuple[tuple[int, ...], tuple[Statement, ...]], ...]
    default: tuple[Statement, ...] | None = None


@dataclass(frozen=True)
class Break:
    """Leaves the innermost loop."""


@dataclass(frozen=True)
class Continue:
    """Goes on with the innermost loop's next turn."""


Statement = Gate | Measure | Reset | Barrier | If | For | While | Switch | Break | Continue


@dataclass(frozen=True)
class Register:
    """A register of qubits or bits; of size None a single one, declared without brackets."""

    name: str
    size: int | None
    first: int
    """Number of its first qubit or bit."""

    @property
    def width(self) -> int:
        """How many it holds."""
        return 1 if self.size is None else self.size

    def __contains__(self, index: int) -> bool:
        return self.first <= index < self.first + self.width


@dataclass(frozen=True)
class Program:
    """A program in the OpenQASM version whose gates it uses."""

    version: Literal[2, 3]
    qubits: tuple[Register, ...]
    bits: tuple[Register, ...]
    body: tuple[Statement, ...]

    @property
    def num_qubits(self) -> int:
        """All qubits."""
        return sum(register.width for register in self.qubits)

    @property
    def num_bits(self) -> int:
        """All bits."""
        return sum(register.width for register in self.bits)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that occur, sorted."""
        angles = (angle for item in walk(self.body) if isinstance(item, Gate) for angle in item.angles)
        turns = {item.variable for item in walk(self.body) if isinstance(item, For)}
        return tuple(sorted({angle.parameter for angle in angles if angle.parameter} - turns))


@dataclass(frozen=True)
class Counts:
    """Outcomes of so many runs are wanted."""

    shots: int


@dataclass(frozen=True)
class Values:
    """Expectation values are wanted: exact ones, or of so many runs, or with a standard error of at most so much."""

    observables: tuple[tuple[tuple[str, float], ...], ...]
    shots: int | None = None
    precision: float | None = None


@dataclass(frozen=True)
class Case:
    """A program, the values of its parameters, and what is wanted."""

    program: Program
    sets: tuple[Mapping[str, float], ...]
    wanted: Counts | Values
    seed: int = 1


def blocks(item: Statement) -> Iterator[Sequence[Statement]]:
    """Yield the blocks of a statement."""
    if isinstance(item, If):
        yield from (item.then, item.otherwise)
    elif isinstance(item, For | While):
        yield item.body
    elif isinstance(item, Switch):
        yield from (block for _, block in item.cases)
        yield item.default or ()


def walk(body: Sequence[Statement]) -> Iterator[Statement]:
    """Yield every statement, those inside blocks included."""
    for item in body:
        yield item
        for block in blocks(item):
            yield from walk(block)


def reads(condition: Condition, program: Program) -> set[int]:
    """Return the bits on which a condition depends."""
    match condition:
        case BitIs(bit):
            return {bit}
        case Compare(register):
            own = program.bits[register]
            return set(range(own.first, own.first + own.width))
        case Both(one, other) | Either(one, other):
            return reads(one, program) | reads(other, program)
        case Not(inner):
            return reads(inner, program)
