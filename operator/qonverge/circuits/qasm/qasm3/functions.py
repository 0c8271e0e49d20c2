"""Built-in functions of OpenQASM 3: specification, "Built-in constants and functions"."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qiskit.circuit import ParameterExpression

from qonverge.circuits.qasm.qasm3.conversions import convert
from qonverge.circuits.qasm.qasm3.operators import binary
from qonverge.circuits.qasm.qasm3.values import COMPLEX, FLOAT, INT, UINT, Fault, Type, Value, cells_of, from_cells

CONSTANTS: Mapping[str, float] = {
    **dict.fromkeys(("pi", "π"), math.pi),
    **dict.fromkeys(("tau", "τ"), math.tau),
    **dict.fromkeys(("euler", "ℇ"), math.e),
}
# Name: the function of floats, of complex numbers, and the method of an expression of parameters.
_REAL: Mapping[str, tuple[Callable[[float], float], Callable[[complex], complex] | None, str | None]] = {
    "sin": (math.sin, cmath.sin, "sin"),
    "cos": (math.cos, cmath.cos, "cos"),
    "tan": (math.tan, cmath.tan, "tan"),
    "arcsin": (math.asin, None, "arcsin"),
    "arccos": (math.acos, None, "arccos"),
    "arctan": (math.atan, None, "arctan"),
    "exp": (math.exp, cmath.exp, "exp"),
    "log": (math.log, cmath.log, "log"),
    "sqrt": (math.sqrt, cmath.sqrt, None),
}
_COMPLEX: Mapping[str, Callable[[complex], float]] = {"real": lambda z: z.real, "imag": lambda z: z.imag}
# Names that are used elsewhere, and what the function is called here.
_ELSEWHERE = {
    "ln": "log",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "abs": "a condition, such as if (x < 0)",
}
NAMES = frozenset([*_REAL, *_COMPLEX, "ceiling", "floor", "mod", "popcount", "rotl", "rotr"])


def call(name: str, arguments: Sequence[Value], bound: Callable[[Value], Value]) -> Value:
    """Return the function's value.

    Args:
        name: one of ``NAMES``.
        arguments: in order.
        bound: puts the given values in place of parameters.

    Raises:
        Fault: the function does not take these.
    """
    takes = 2 if name in ("mod", "rotl", "rotr") else 1
    if len(arguments) != takes:
        raise Fault(f"wrong number of arguments for {name}: {len(arguments)}", str(takes))
    first = arguments[0]
    if name in _REAL:
        return _real(name, first, bound)
    if name in _COMPLEX:
        return Value(FLOAT, _COMPLEX[name](convert(bound(first), COMPLEX).data))
    if name in ("popcount", "rotl", "rotr"):
        return _of_bits(name, [bound(item) for item in arguments])
    if name in ("ceiling", "floor"):
        rounds = math.ceil if name == "ceiling" else math.floor
        return Value(FLOAT, float(_tried(name, rounds, convert(bound(first), FLOAT).data)))
    return binary("%", bound(first), bound(arguments[1]), {})


def of_unknown(name: str) -> str:
    """Return what was expected in place of a function that is none."""
    return _ELSEWHERE.get(name) or f"{', '.join(sorted(NAMES))}, or a subroutine defined above it"


def _real(name: str, value: Value, bound: Callable[[Value], Value]) -> Value:
    of_real, of_complex, method = _REAL[name]
    if value.type.kind == "complex":
        if of_complex is None:
            raise Fault(f"{name} does not take a complex number", "a float")
        return Value(COMPLEX, _tried(name, of_complex, value.data))
    if isinstance(value.data, ParameterExpression) and method is not None:
        return Value(FLOAT, getattr(value.data, method)())
    return Value(FLOAT, _tried(name, of_real, convert(bound(value), FLOAT).data))


def _of_bits(name: str, arguments: Sequence[Value]) -> Value:
    value = arguments[0]
    kind = value.type if value.type.width is not None or value.type.kind == "bit" else Type(value.type.kind, 64)
    own = cells_of(convert(value, kind))
    if name == "popcount":
        total = Value(UINT, 0)
        width = len(own).bit_length()
        for cell in own:
            total = binary("+", convert(total, Type("uint", width)), Value(Type("uint", width), _bit(cell, width)), {})
        return total if not total.is_known else Value(UINT, total.data)
    places = convert(arguments[1], INT)
    if not places.is_known:
        raise Fault(f"{name} by what measurements decide is not supported", "a number of places known before the run")
    count = (-places.data if name == "rotl" else places.data) % len(own)
    return from_cells(kind, (*own[count:], *own[:count]))


def _bit(cell: Any, width: int) -> Any:
    return from_cells(Type("uint", width), (cell, *[False] * (width - 1))).data


def _tried(name: str, function: Callable[[Any], Any], argument: Any) -> Any:
    try:
        return function(argument)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise Fault(f"{name}({argument}) has no finite value", "an argument that it is defined for") from None
