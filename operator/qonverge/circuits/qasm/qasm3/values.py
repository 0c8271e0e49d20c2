"""Types and values of OpenQASM 3, and the conversions between them.

A value that depends on measurements is held bit by bit: a cell for each bit, the least significant first.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias

from qiskit.circuit import Clbit, ParameterExpression
from qiskit.circuit.classical import expr

Cell: TypeAlias = bool | Clbit | expr.Expr
"""One bit: known, a classical bit of the circuit, or an expression of such bits."""

MACHINE_BITS = 64
"""Width of int and uint without a size. The specification leaves it to the machine."""
HELD_BITS = 32
"""Width of int and uint without a size where they depend on measurements, each bit of which is a bit of the circuit."""
_INTEGERS = ("int", "uint")
_SECONDS = {"ns": Fraction(1, 10**9), "us": Fraction(1, 10**6), "ms": Fraction(1, 1000), "s": Fraction(1)}


class Fault(Exception):
    """Something wrong with the program at the node that is evaluated: the problem, and what was expected."""

    def __init__(self, problem: str, expected: str | None = None) -> None:
        """The place is added by whoever knows it."""
        self.problem = problem
        self.expected = expected
        super().__init__(problem, expected)


@dataclass(frozen=True, slots=True)
class Type:
    """A type: ``bit``, ``bool``, ``int``, ``uint``, ``float``, ``angle``, ``complex``, ``duration``, ``qubit``."""

    kind: str
    width: int | None = None
    """Bits; None without a size. A ``bit`` without a size is no register."""
    dimensions: tuple[int, ...] = ()
    """Of an array of this type."""

    def __str__(self) -> str:
        """Return the type as OpenQASM writes it."""
        name = self.kind if self.width is None else f"{self.kind}[{self.width}]"
        return f"array[{name}, {', '.join(map(str, self.dimensions))}]" if self.dimensions else name

    @property
    def element(self) -> Type:
        """The type of an array's elements."""
        return replace(self, dimensions=())

    @property
    def cells(self) -> int | None:
        """The bits that hold a value that depends on measurements; None where it cannot be held so."""
        if self.dimensions or self.kind in ("float", "complex", "duration", "qubit"):
            return None
        if self.kind == "bool" or (self.kind == "bit" and self.width is None):
            return 1
        return HELD_BITS if self.width is None and self.kind in _INTEGERS else self.width

    @property
    def is_register(self) -> bool:
        """Whether it is bits or qubits with a size."""
        return self.kind in ("bit", "qubit") and self.width is not None and not self.dimensions


BIT, BOOL, INT, UINT, FLOAT = Type("bit"), Type("bool"), Type("int"), Type("uint"), Type("float")
COMPLEX, DURATION, QUBIT = Type("complex"), Type("duration"), Type("qubit")


@dataclass(frozen=True, slots=True)
class Duration:
    """A time: seconds and samples of the device, whose length is not known here."""

    seconds: Fraction = Fraction(0)
    samples: Fraction = Fraction(0)
    unit: str = "s"
    """In which it is told."""

    @classmethod
    def of(cls, number: float, unit: str) -> Duration:
        """Return so many of the unit."""
        if unit == "dt":
            return cls(samples=Fraction(number), unit=unit)
        return cls(seconds=Fraction(number) * _SECONDS[unit], unit=unit)

    def plus(self, other: Duration, sign: int = 1) -> Duration:
        """Return the sum, told in the finer unit."""
        units = [*_SECONDS, "dt"]
        unit = min(self.unit, other.unit, key=units.index)
        return Duration(self.seconds + sign * other.seconds, self.samples + sign * other.samples, unit)

    def times(self, factor: float | Fraction) -> Duration:
        """Return it so many times."""
        exact = Fraction(factor)
        return Duration(self.seconds * exact, self.samples * exact, self.unit)

    def ratio(self, other: Duration) -> float:
        """Return how many of the other it is.

        Raises:
            Fault: one is in seconds and the other in samples.
        """
        for own, theirs, rest in (
            (self.seconds, other.seconds, self.samples or other.samples),
            (self.samples, other.samples, self.seconds or other.seconds),
        ):
            if theirs and not rest:
                return float(own / theirs)
        raise Fault("these durations have no ratio that is known here", "both in dt, or both in seconds")

    def written(self) -> tuple[float | int, str]:
        """Return a number and its unit.

        Raises:
            Fault: it is negative, or has both seconds and samples.
        """
        if self.seconds < 0 or self.samples < 0:
            raise Fault("the duration is negative", "0 or more")
        if self.seconds and self.samples:
            raise Fault("the duration mixes dt with seconds", "one of the two: the length of dt is the device's")
        if self.samples or self.unit == "dt":
            if self.samples.denominator != 1:
                raise Fault(f"{float(self.samples):g}dt is no whole number of samples", "a whole number of dt")
            return int(self.samples), "dt"
        return float(self.seconds / _SECONDS[self.unit]), self.unit


@dataclass(slots=True)
class Array:
    """The elements of an array: values, or arrays where it has more than one dimension. Passed by reference."""

    items: list[Any]


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a type.

    ``data`` is: for ``bit`` and ``bool`` a cell, for ``bit[n]`` a tuple of cells, for integers and sized angles an int,
    or a tuple of cells where it depends on measurements; for ``float`` and ``angle`` a float or an expression of the
    circuit's parameters; a complex number; a ``Duration``; an ``Array``; for qubits one or a tuple.
    """

    type: Type
    data: Any

    @property
    def is_known(self) -> bool:
        """Whether it is the same in every run."""
        if isinstance(self.data, tuple):
            return all(isinstance(cell, bool) for cell in self.data)
        return not isinstance(self.data, Clbit | expr.Expr)

    @property
    def is_parametric(self) -> bool:
        """Whether it depends on parameters that are given later."""
        return isinstance(self.data, ParameterExpression)


def cells_of(value: Value) -> tuple[Cell, ...]:
    """Return the bits of a value.

    Raises:
        Fault: its type has none.
    """
    if isinstance(value.data, tuple) and value.type.kind != "qubit":
        return value.data
    if value.type.kind in ("bit", "bool"):
        return (value.data,)
    width = value.type.cells
    if value.type.kind not in (*_INTEGERS, "angle") or width is None:
        raise Fault(f"a value of type {value.type} has no bits", "bit, int, uint, bool or an angle with a size")
    if value.type.width is None:
        width = max(width, value.data.bit_length() + 1)
    return tuple(bool(value.data >> place & 1) for place in range(width))


def from_cells(kind: Type, cells: Sequence[Cell]) -> Value:
    """Return the value of these bits, as many as the type has."""
    if kind.kind == "bit" and kind.width is not None:
        return Value(kind, tuple(cells))
    if kind.kind in ("bit", "bool"):
        return Value(kind, cells[0])
    if not all(isinstance(cell, bool) for cell in cells):
        return Value(kind, tuple(cells))
    number = sum(1 << place for place, cell in enumerate(cells) if cell)
    return Value(kind, number - (1 << len(cells)) if kind.kind == "int" and cells[-1] else number)


def wrapped(number: int, kind: Type) -> int:
    """Return an integer as the type holds it: modulo 2 to its width, two's complement.

    Raises:
        Fault: the type has no size and the number is beyond what a machine holds.
    """
    if kind.width is None:
        if not -(1 << MACHINE_BITS - 1) <= number < 1 << MACHINE_BITS:
            raise Fault(f"an integer of {number.bit_length()} bits", f"at most {MACHINE_BITS}, or a type with a size")
        return number % (1 << MACHINE_BITS) if kind.kind == "uint" else number
    number &= (1 << kind.width) - 1
    return number - (1 << kind.width) if kind.kind == "int" and number >> (kind.width - 1) else number


def rounded(number: float, kind: Type) -> float:
    """Return a number as a float of the type's width holds it."""
    if kind.width not in (16, 32):
        return number
    code = "e" if kind.width == 16 else "f"
    try:
        return float(struct.unpack(code, struct.pack(code, number))[0])
    except OverflowError:
        return math.copysign(math.inf, number)


def angle_steps(radians: float, width: int) -> int:
    """Return the nearest angle of so many bits, in steps of 2 pi / 2**width; ties go to the even one."""
    if not math.isfinite(radians):
        raise Fault(f"{radians} is no angle", "a finite number")
    return round(Fraction(radians / math.tau) * (1 << width)) % (1 << width)


def radians(value: Value) -> float:
    """Return a known angle with a size in radians."""
    assert value.type.width is not None
    return float(math.tau * (value.data / (1 << value.type.width)))
