"""Conversions between types: OpenQASM 3 specification, "Casting specifics".

More is allowed than there: bits that are fewer than a type's width are filled up with zeros, and what is known is
converted wherever its value fits.
"""

from __future__ import annotations

import math
from typing import Any

from qiskit.circuit import ParameterExpression

from qonverge.circuits.qasm.qasm3 import cells
from qonverge.circuits.qasm.qasm3.values import (
    FLOAT,
    Array,
    Cell,
    Duration,
    Fault,
    Type,
    Value,
    angle_steps,
    cells_of,
    from_cells,
    radians,
    rounded,
    wrapped,
)

_INTEGERS = ("int", "uint")


def convert(value: Value, target: Type) -> Value:
    """Return the value as one of the target type.

    Raises:
        Fault: the types do not convert, or an array has another shape.
    """
    source = value.type
    if target.dimensions or source.dimensions:
        return _array(value, target)
    if source == target:
        return value
    if {source.kind, target.kind} & {"duration", "qubit"} and source.kind != target.kind:
        raise _mismatch(value, target)
    match target.kind:
        case "bool":
            return Value(target, _truth(value))
        case "int" | "uint":
            return _integer(value, target)
        case "bit":
            return _bits(value, target)
        case "angle":
            return _angle(value, target)
        case "float":
            return Value(target, _float(value, target))
        case "complex":
            return Value(target, complex(_float(value, target)) if source.kind != "complex" else value.data)
    return Value(target, value.data)


def default(target: Type) -> Value:
    """Return what a variable without a value holds: zero, as bits do in Qiskit; the specification leaves it open."""
    if target.dimensions:
        return Value(target, _filled(target.element, target.dimensions))
    match target.kind:
        case "bit":
            return Value(target, False if target.width is None else (False,) * target.width)
        case "bool":
            return Value(target, False)
        case "float":
            return Value(target, 0.0)
        case "angle":
            return Value(target, 0.0 if target.width is None else 0)
        case "complex":
            return Value(target, 0j)
        case "duration":
            return Value(target, Duration())
    return Value(target, 0)


def _filled(element: Type, dimensions: tuple[int, ...]) -> Array:
    size, *rest = dimensions
    return Array([_filled(element, tuple(rest)) if rest else default(element) for _ in range(size)])


def _array(value: Value, target: Type) -> Value:
    if value.type.dimensions != target.dimensions:
        raise _mismatch(value, target)

    def copied(array: Array) -> Array:
        return Array(
            [copied(item) if isinstance(item, Array) else convert(item, target.element) for item in array.items]
        )

    return Value(target, copied(value.data))


def _truth(value: Value) -> Cell:
    if isinstance(value.data, tuple):
        return cells.any_of(value.data)
    if value.type.kind in ("bit", "bool"):
        cell: Cell = value.data
        return cell
    return bool(value.data != 0)


def _integer(value: Value, target: Type) -> Value:
    kind = value.type.kind
    if kind == "float":
        if not math.isfinite(value.data):
            raise Fault(f"{value.data} is no integer", "a finite number")
        return Value(target, wrapped(math.trunc(value.data), target))
    if kind not in (*_INTEGERS, "bit", "bool"):
        raise _mismatch(value, target)
    if value.is_known and kind in _INTEGERS:
        return Value(target, wrapped(value.data, target))
    own = cells_of(value)
    width = target.cells or 0
    if target.width is None and kind == "bit":
        width = max(width, len(own))
    if kind == "bit" and len(own) > width:
        raise Fault(f"{len(own)} bits do not fit into {target}", f"{target.kind}[{len(own)}], or fewer bits")
    fill = own[-1] if kind == "int" else False
    converted = from_cells(target, [own[place] if place < len(own) else fill for place in range(width)])
    if target.width is None and isinstance(converted.data, int):
        # All known: unsized integers are wider than what holds them during a run.
        return Value(target, cells.number(own))
    return converted


def _bits(value: Value, target: Type) -> Value:
    if target.width is None:
        return Value(target, _truth(value))
    if value.type.kind == "float" or (value.type.kind == "angle" and value.type.width is None):
        raise _mismatch(value, target)
    own = cells_of(value)
    if value.type.kind in _INTEGERS and value.is_known:
        if not -(1 << target.width - 1) <= value.data < 1 << target.width:
            raise Fault(f"{value.data} does not fit into {target}", f"0 to {(1 << target.width) - 1}")
        return Value(target, tuple(bool(value.data >> place & 1) for place in range(target.width)))
    if value.type.kind == "bool":
        own = (*own, *[False] * (target.width - 1))
    if len(own) != target.width:
        raise Fault(f"a value of type {value.type} does not fit into {target}", f"{target.width} bits")
    return Value(target, tuple(own))


def _angle(value: Value, target: Type) -> Value:
    kind, width = value.type.kind, target.width
    if kind == "complex":
        raise _mismatch(value, target)
    if isinstance(value.data, ParameterExpression):
        return Value(target, value.data)
    if kind == "bit" and width is not None:
        return Value(target, from_cells(target, _bits(value, Type("bit", width)).data).data)
    if kind == "angle" and width is not None and value.type.width is not None:
        own = cells_of(value)
        if value.is_known and value.type.width > width:
            return Value(target, angle_steps(radians(value), width))
        gap = width - len(own)
        return from_cells(target, (*[False] * gap, *own) if gap >= 0 else own[-gap:])
    if not value.is_known:
        raise _mismatch(value, target)
    number = _float(value, FLOAT)
    return Value(target, number % math.tau if width is None else angle_steps(number, width))


def _float(value: Value, target: Type) -> Any:
    if not value.is_known:
        raise Fault(f"a {value.type} that measurements decide cannot become a {target}", "a value known before the run")
    if isinstance(value.data, ParameterExpression):
        return value.data
    if value.type.kind == "complex":
        raise _mismatch(value, target)
    if value.type.kind == "angle" and value.type.width is not None:
        return rounded(radians(value), target)
    if isinstance(value.data, tuple):
        return rounded(float(cells.number(value.data) or 0), target)
    try:
        return rounded(float(value.data), target)
    except OverflowError:
        raise Fault(f"an integer of {value.data.bit_length()} bits is too large for a float", "at most 1e308") from None


def _mismatch(value: Value, target: Type) -> Fault:
    return Fault(f"a value of type {value.type} cannot become {target}", f"a value of type {target}")
