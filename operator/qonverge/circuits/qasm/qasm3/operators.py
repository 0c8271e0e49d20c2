"""Operators of OpenQASM 3 on values: specification, "Classical instructions" and "Casting specifics"."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from qiskit.circuit import ParameterExpression

from qonverge.circuits.qasm.qasm3 import cells
from qonverge.circuits.qasm.qasm3.conversions import convert
from qonverge.circuits.qasm.qasm3.values import (
    BOOL,
    COMPLEX,
    DURATION,
    FLOAT,
    INT,
    MACHINE_BITS,
    UINT,
    Cell,
    Fault,
    Type,
    Value,
    cells_of,
    from_cells,
    rounded,
    wrapped,
)

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_BITWISE: Mapping[str, tuple[Callable[[int, int], int], Callable[[Cell, Cell], Cell]]] = {
    "&": (operator.and_, cells.both),
    "|": (operator.or_, cells.either),
    "^": (operator.xor, cells.differ),
}
_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_INTEGERS = ("int", "uint")
# Of a power that is computed before it is cut down to its type.
_MOST_POWER_BITS = 4096


def unary(name: str, value: Value) -> Value:
    """Return ``!``, ``~`` or ``-`` of a value."""
    if name == "!":
        return Value(BOOL, cells.invert(convert(value, BOOL).data))
    kind = value.type
    if name == "~":
        if kind.kind in _INTEGERS and value.is_known:
            return Value(kind, wrapped(~value.data, kind))
        return from_cells(kind, [cells.invert(cell) for cell in cells_of(value)])
    if kind.kind == "duration":
        return Value(kind, value.data.times(-1))
    if kind.kind in ("bit", "bool"):
        value, kind = convert(value, INT), INT
    if kind.kind in _INTEGERS or (kind.kind == "angle" and kind.width is not None):
        return Value(kind, wrapped(-value.data, kind)) if value.is_known else from_cells(kind, cells.negate(value.data))
    return convert(Value(FLOAT if kind.kind == "angle" else kind, -value.data), kind)


def binary(name: str, left: Value, right: Value, registers: cells.Registers) -> Value:
    """Return the value of ``left name right``; what depends on parameters takes ``+ - * / **`` only.

    Raises:
        Fault: the operator does not take these types or values.
    """
    for side in (left, right):
        if side.type.dimensions or side.type.kind == "qubit":
            raise Fault(f"the operator {name} does not take a value of type {side.type}", "numbers or bits")
    if name in ("&&", "||"):
        join = cells.both if name == "&&" else cells.either
        return Value(BOOL, join(convert(left, BOOL).data, convert(right, BOOL).data))
    if "duration" in (left.type.kind, right.type.kind):
        return _of_durations(name, left, right)
    if name in ("<<", ">>"):
        return _shifted(name, left, right)
    if left.is_parametric or right.is_parametric:
        return _of_parameters(name, left, right)
    common = _common(name, left, right)
    if name in COMPARISONS:
        return Value(BOOL, _compared(name, left, right, common, registers))
    if not (left.is_known and right.is_known):
        return _at_run_time(name, left, right, common)
    if common.kind in ("float", "complex") or (common.kind == "angle" and common.width is None):
        return _of_floats(name, left, right, common)
    if common.kind == "angle":
        return _of_angles(name, left, right, common)
    if common.kind in _INTEGERS:
        return _of_integers(name, left, right, common)
    if name in _BITWISE:
        return _at_run_time(name, left, right, common)
    raise Fault(f"the operator {name} does not take bits", "uint[n](...) of them")


def _common(name: str, left: Value, right: Value) -> Type:
    """Return the type that both are converted to."""
    kinds = (left.type.kind, right.type.kind)
    widths = [side.type.width for side in (left, right)]
    for kind in ("complex", "angle", "float"):
        if kind in kinds:
            own = [width for width, held in zip(widths, kinds, strict=True) if held == kind]
            return Type(kind, None if None in own else max(filter(None, own)))
    if all(kind in ("bit", "bool") for kind in kinds):
        if left.type.is_register or right.type.is_register:
            return Type("bit", max(len(cells_of(left)), len(cells_of(right))))
        return BOOL if name in _BITWISE or name in COMPARISONS else INT
    if "bit" in kinds and name in _BITWISE:
        bits = left if left.type.kind == "bit" else right
        return Type("bit", len(cells_of(bits)))
    if "bit" in kinds or "bool" in kinds:
        other = left if left.type.kind in _INTEGERS else right
        return other.type
    if None in widths:
        return UINT if kinds == ("uint", "uint") else INT
    # As in C: the wider one, and unsigned where both are as wide.
    if widths[0] != widths[1]:
        return max(left.type, right.type, key=lambda kind: kind.width or 0)
    return left.type if left.type.kind == "uint" else right.type


def _compared(name: str, left: Value, right: Value, common: Type, registers: cells.Registers) -> Cell:
    if left.is_known and right.is_known and not (left.type.is_register and right.type.is_register):
        one, other = _comparable(left, right), _comparable(right, left)
        if common.kind == "complex" and name not in ("==", "!="):
            raise Fault(f"complex numbers have no order, which {name} needs", "== or !=")
        return COMPARISONS[name](one, other)
    if common.kind in ("float", "complex") or (common.kind == "angle" and common.width is None):
        raise Fault("a float is compared with what measurements decide", "integers or bits")
    one, other = _aligned(left, right, common, name)
    kinds = {side.type.kind for side in (left, right) if not side.is_known}
    if name not in ("==", "!=") and "int" in kinds:
        if "uint" in kinds or "bit" in kinds:
            one, other = ((*own, _sign(own, side)) for own, side in ((one, left), (other, right)))
        # With the sign bit inverted, the order of signed numbers is that of unsigned ones.
        one, other = ((*side[:-1], cells.invert(side[-1])) for side in (one, other))
    return cells.compare(name, one, other, registers)


def _sign(own: Sequence[Cell], value: Value) -> Cell:
    return own[-1] if value.type.kind == "int" else False


def _comparable(value: Value, other: Value) -> Any:
    """Return what Python compares."""
    if value.type.kind == "angle":
        if other.type.kind == "angle" or value.type.width is None:
            common = Type("angle", max(value.type.width or 0, other.type.width or 0) or None)
            return convert(value, common if other.type.kind == "angle" else value.type).data
        return value.data
    if other.type.kind == "angle" and other.type.width is not None:
        return convert(convert(value, FLOAT), other.type).data
    if value.type.kind in ("bit", "bool"):
        return cells.number(cells_of(value))
    return value.data


def _aligned(left: Value, right: Value, common: Type, name: str) -> tuple[tuple[Cell, ...], tuple[Cell, ...]]:
    """Return the bits of both, as many of each."""
    if common.kind == "angle":
        return cells_of(convert(left, common)), cells_of(convert(right, common))
    known = left if left.is_known else right if right.is_known else None
    if known is not None and known.type.kind in _INTEGERS:
        other = right if known is left else left
        own = _fitting(known.data, other, name)
        pair = (own, cells_of(other)) if known is left else (cells_of(other), own)
        return _padded(pair, left, right, known)
    return _padded((cells_of(left), cells_of(right)), left, right, None)


def _fitting(number: int, other: Value, name: str) -> tuple[Cell, ...]:
    """Return an integer as bits to be compared with a value of so many."""
    width = len(cells_of(other))
    signed = other.type.kind == "int"
    if number < 0 and not signed:
        raise Fault(
            f"{number} is compared with {other.type}, which is never negative",
            f"an integer from 0 to {(1 << width) - 1}",
        )
    # int[n] takes the patterns of n bits, so that int[2](c) == 3 holds for "11", as in the specification's examples.
    if not signed or (name in ("==", "!=") and number < 1 << width):
        needed = max(width, number.bit_length())
    else:
        needed = max(width, (number if number >= 0 else ~number).bit_length() + 1)
    return tuple(bool(number >> place & 1) for place in range(needed))


def _padded(
    pair: tuple[tuple[Cell, ...], tuple[Cell, ...]], left: Value, right: Value, known: Value | None
) -> tuple[tuple[Cell, ...], tuple[Cell, ...]]:
    width = max(map(len, pair))

    def filled(own: tuple[Cell, ...], side: Value) -> tuple[Cell, ...]:
        fill = own[-1] if side.type.kind == "int" and side is not known else False
        return (*own, *[fill] * (width - len(own)))

    return filled(pair[0], left), filled(pair[1], right)


def _at_run_time(name: str, left: Value, right: Value, common: Type) -> Value:
    if common.kind in ("float", "complex") or (common.kind == "angle" and common.width is None):
        raise Fault(f"the operator {name} on a float and what measurements decide is not supported", "integers or bits")
    if name in _BITWISE and (common.kind == "bit" or common == BOOL):
        pairs = zip(_as_bits(left, common), _as_bits(right, common), strict=True)
        return from_cells(common, [_BITWISE[name][1](one, other) for one, other in pairs])
    if common.kind == "bit":
        raise Fault(f"the operator {name} does not take bits", "uint[n](...) of them")
    one, other = cells_of(convert(left, common)), cells_of(convert(right, common))
    width = common.cells or 0
    one, other = ((*side, *[False] * width)[:width] for side in (one, other))
    if name in _BITWISE:
        return from_cells(common, [_BITWISE[name][1](a, b) for a, b in zip(one, other, strict=True)])
    if name == "+":
        return from_cells(common, cells.add(one, other))
    if name == "-":
        return from_cells(common, cells.add(one, [cells.invert(cell) for cell in other], True))
    if name == "*":
        for own, factor in ((one, cells.number(other)), (other, cells.number(one))):
            if factor is not None:
                return from_cells(common, _multiplied(own, factor))
    raise Fault(
        f"the operator {name} on what measurements decide is not supported",
        "+, -, * by a known number, & | ^ or a comparison",
    )


def _as_bits(value: Value, common: Type) -> tuple[Cell, ...]:
    return cells_of(convert(value, common))


def _multiplied(own: tuple[Cell, ...], factor: int) -> tuple[Cell, ...]:
    total: tuple[Cell, ...] = (False,) * len(own)
    for place in range(len(own)):
        if factor >> place & 1:
            total = cells.add(total, (*[False] * place, *own)[: len(own)])
    return total


def _shifted(name: str, left: Value, right: Value) -> Value:
    places = convert(right, INT)
    if not places.is_known:
        raise Fault("a shift by what measurements decide is not supported", "a number of places known before the run")
    if places.data < 0:
        raise Fault(f"a shift by {places.data} places", "0 or more")
    kind = left.type
    if kind.kind in _INTEGERS and left.is_known:
        if name == ">>":
            return Value(kind, left.data >> min(places.data, 2 * MACHINE_BITS))
        if places.data > _MOST_POWER_BITS:
            raise Fault(f"a shift by {places.data} places", f"at most {_MOST_POWER_BITS}")
        return Value(kind, wrapped(left.data << places.data, kind))
    own = cells_of(left)
    count = min(places.data, len(own))
    fill = own[-1] if kind.kind == "int" else False
    moved = (*[False] * count, *own[: len(own) - count]) if name == "<<" else (*own[count:], *[fill] * count)
    return from_cells(kind, moved)


def _of_integers(name: str, left: Value, right: Value, common: Type) -> Value:
    one, other = convert(left, common).data, convert(right, common).data
    if name in _BITWISE:
        return Value(common, wrapped(_BITWISE[name][0](one, other), common))
    if name in ("/", "%"):
        if other == 0:
            raise Fault("a division by zero", "another divisor")
        # As in C: towards zero, and the remainder has the sign of the dividend.
        quotient = abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)
        return Value(common, wrapped(quotient if name == "/" else one - quotient * other, common))
    if name == "**":
        if other < 0:
            return _of_floats(name, left, right, FLOAT)
        if abs(one) > 1 and one.bit_length() * other > _MOST_POWER_BITS:
            raise Fault(f"{one}**{other} has more than {_MOST_POWER_BITS} bits", "a smaller power, or floats")
        return Value(common, wrapped(one**other, common))
    return Value(common, wrapped(_ARITHMETIC[name](one, other), common))


def _of_floats(name: str, left: Value, right: Value, common: Type) -> Value:
    if name in _BITWISE:
        raise Fault(f"the operator {name} does not take a float", "integers or bits")
    inside = COMPLEX if common.kind == "complex" else FLOAT
    one, other = convert(left, inside).data, convert(right, inside).data
    try:
        if name == "%":
            result: Any = math.fmod(one, other)
        elif name == "/":
            result = one / other
        elif name == "**":
            result = one**other
        else:
            result = _ARITHMETIC[name](one, other)
    except ZeroDivisionError:
        raise Fault("a division by zero", "another divisor") from None
    except (OverflowError, ValueError, TypeError):
        raise Fault(f"{one} {name} {other} has no finite value", "smaller numbers") from None
    if inside == FLOAT and isinstance(result, complex):
        raise Fault(f"({one})**{other} is no real number", "a base of 0 or more, or complex numbers")
    if common.kind == "angle":
        # A quotient of two angles is a number.
        both = left.type.kind == right.type.kind
        return Value(FLOAT, result) if name == "/" and both else convert(Value(FLOAT, result), common)
    return Value(common, result if inside == COMPLEX else rounded(result, common))


def _of_angles(name: str, left: Value, right: Value, common: Type) -> Value:
    """Compute on the bits of angles with a size."""
    angles = left.type.kind == right.type.kind
    if not angles and "float" in (left.type.kind, right.type.kind):
        if name in ("*", "/"):
            return _of_floats(name, left, right, common)
        left, right = convert(left, common), convert(right, common)
        angles = True
    if name in ("*", "/", "%") and not angles:
        if name != "*" and right.type.kind == "angle":
            raise Fault(f"an integer {name} an angle", "an angle before it")
        angle, factor = (left, right) if left.type.kind == "angle" else (right, left)
        number = convert(factor, INT).data
        if name == "*":
            return Value(common, wrapped(angle.data * number, common))
        if number == 0:
            raise Fault("a division by zero", "another divisor")
        return Value(common, wrapped(angle.data // number if name == "/" else angle.data % number, common))
    if not angles:
        raise Fault(f"the operator {name} does not take an angle and {right.type}", "two angles")
    one, other = convert(left, common).data, convert(right, common).data
    if name in _BITWISE:
        return Value(common, _BITWISE[name][0](one, other))
    if name in ("+", "-"):
        return Value(common, wrapped(_ARITHMETIC[name](one, other), common))
    if name in ("/", "%"):
        if other == 0:
            raise Fault("a division by zero", "another divisor")
        return Value(Type("uint", common.width), one // other if name == "/" else one % other)
    return _of_floats(name, convert(convert(left, FLOAT), FLOAT), convert(right, FLOAT), FLOAT)


def _of_durations(name: str, left: Value, right: Value) -> Value:
    kinds = (left.type.kind, right.type.kind)
    if kinds == ("duration", "duration"):
        if name in ("+", "-"):
            return Value(DURATION, left.data.plus(right.data, 1 if name == "+" else -1))
        if name == "/":
            return Value(FLOAT, left.data.ratio(right.data))
        if name in COMPARISONS:
            gap = left.data.plus(right.data, -1)
            if gap.seconds and gap.samples:
                raise Fault("a duration in dt is compared with one in seconds", "both in dt, or both in seconds")
            return Value(BOOL, COMPARISONS[name](gap.seconds + gap.samples, 0))
    elif name == "*" or (name == "/" and kinds[0] == "duration"):
        time, factor = (left, right) if kinds[0] == "duration" else (right, left)
        number = convert(factor, FLOAT).data
        if not math.isfinite(number):
            raise Fault(f"a duration times {number}", "a finite number")
        if name == "*":
            return Value(DURATION, time.data.times(number))
        if number == 0:
            raise Fault("a division by zero", "another divisor")
        return Value(DURATION, time.data.times(1 / Fraction(number)))
    raise Fault(
        f"the operator {name} does not take {left.type} and {right.type}", "a duration times a number, or two durations"
    )


def _of_parameters(name: str, left: Value, right: Value) -> Value:
    one, other = convert(left, FLOAT).data, convert(right, FLOAT).data
    try:
        if name == "/":
            if not isinstance(other, ParameterExpression) and other == 0:
                raise Fault("a division by zero", "another divisor")
            return Value(FLOAT, one / other)
        if name == "**":
            return Value(FLOAT, one**other)
        return Value(FLOAT, _ARITHMETIC[name](one, other))
    except (TypeError, ZeroDivisionError):
        raise Fault("the expression of parameters has no value", "numbers that it is defined for") from None
