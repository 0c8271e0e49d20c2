"""Conditions of canonical circuits, evaluated: a bit and its value, or a Boolean function of single bits."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Mapping
from typing import Any

from qiskit.circuit import Clbit
from qiskit.circuit.classical import expr

from qonverge.circuits.analysis.conditions import Condition

_BINARY: Mapping[expr.Binary.Op, Callable[[Any, Any], Any]] = {
    expr.Binary.Op.LOGIC_AND: operator.and_,
    expr.Binary.Op.LOGIC_OR: operator.or_,
    expr.Binary.Op.BIT_XOR: operator.xor,
}
# A table of all values of this many bits is still small.
_TABLE_BITS = 12


def value_of(condition: Condition, bits: Mapping[Clbit, int]) -> int:
    """Return the value of a condition as ``circuits.analysis.conditions`` makes them, given the bits that are not 0."""
    if isinstance(condition, tuple):
        return int(bits.get(condition[0], 0) == condition[1])
    if isinstance(condition, expr.Var):
        return bits.get(condition.var, 0)
    if isinstance(condition, expr.Value):
        return int(condition.value)
    if isinstance(condition, expr.Unary):
        return 1 - value_of(condition.operand, bits)
    return int(_BINARY[condition.op](value_of(condition.left, bits), value_of(condition.right, bits)))


def parity_of(condition: Condition, written: Mapping[Clbit, object]) -> tuple[tuple[Clbit, ...], int] | None:
    """Return (bits, constant) whose exclusive or is the condition's value; None where it is no such sum.

    Bits that nothing has written are 0.
    """
    used = tuple(bit for bit in bits_in(condition) if bit in written)
    if len(used) > _TABLE_BITS:
        return None
    constant = value_of(condition, {})
    members = tuple(bit for bit in used if value_of(condition, {bit: 1}) != constant)
    for values in itertools.product((0, 1), repeat=len(used)):
        given = dict(zip(used, values, strict=True))
        if value_of(condition, given) != (constant + sum(given[bit] for bit in members)) % 2:
            return None
    return members, constant


def bits_in(condition: Condition) -> tuple[Clbit, ...]:
    """Return the classical bits that the condition reads, each once."""
    if isinstance(condition, tuple):
        return (condition[0],)
    return tuple(dict.fromkeys(variable.var for variable in expr.iter_vars(condition)))
