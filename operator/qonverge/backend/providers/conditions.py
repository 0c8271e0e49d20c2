"""Conditions of control flow, evaluated on classical bits."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Mapping
from typing import Any

from qiskit.circuit import ClassicalRegister, Clbit
from qiskit.circuit.classical import expr, types

from qonverge.wire.errors import InvalidCircuit

Condition = Any
"""What Qiskit takes: a pair of a bit or register and its value, or an expression."""

_BINARY: Mapping[expr.Binary.Op, Callable[[Any, Any], Any]] = {
    expr.Binary.Op.BIT_AND: operator.and_,
    expr.Binary.Op.BIT_OR: operator.or_,
    expr.Binary.Op.BIT_XOR: operator.xor,
    expr.Binary.Op.LOGIC_AND: operator.and_,
    expr.Binary.Op.LOGIC_OR: operator.or_,
    expr.Binary.Op.EQUAL: operator.eq,
    expr.Binary.Op.NOT_EQUAL: operator.ne,
    expr.Binary.Op.LESS: operator.lt,
    expr.Binary.Op.LESS_EQUAL: operator.le,
    expr.Binary.Op.GREATER: operator.gt,
    expr.Binary.Op.GREATER_EQUAL: operator.ge,
    expr.Binary.Op.SHIFT_LEFT: operator.lshift,
    expr.Binary.Op.SHIFT_RIGHT: operator.rshift,
}
# A table of all values of this many bits is still small.
_TABLE_BITS = 12


def value_of(target: Condition, bits: Mapping[Clbit, int]) -> int:
    """Return the value of a bit, register, expression or condition, given those bits that are not 0.

    Raises:
        InvalidCircuit: the expression uses a variable or an operation that is not known here.
    """
    if isinstance(target, tuple):
        return int(value_of(target[0], bits) == int(target[1]))
    if isinstance(target, Clbit):
        return bits.get(target, 0)
    if isinstance(target, ClassicalRegister):
        return sum(bits.get(bit, 0) << place for place, bit in enumerate(target))
    if isinstance(target, expr.Var) and isinstance(target.var, Clbit | ClassicalRegister):
        return value_of(target.var, bits)
    if isinstance(target, expr.Value) and isinstance(target.value, int):
        return int(target.value)
    if isinstance(target, expr.Cast) and isinstance(target.type, types.Bool | types.Uint):
        return _within(value_of(target.operand, bits), target.type)
    if isinstance(target, expr.Index):
        return value_of(target.target, bits) >> value_of(target.index, bits) & 1
    if isinstance(target, expr.Unary) and target.op is not expr.Unary.Op.NEGATE:
        # Both kinds of not are the same on a truth value.
        return _within(~value_of(target.operand, bits), target.type)
    if isinstance(target, expr.Binary) and target.op in _BINARY:
        return _within(int(_BINARY[target.op](value_of(target.left, bits), value_of(target.right, bits))), target.type)
    raise InvalidCircuit(
        f"a condition uses {type(target).__name__.lower()} expressions that this engine lacks: use measured bits and "
        "registers, comparisons and operations on bits, or the engine Aer"
    )


def _within(value: int, kind: types.Type) -> int:
    if isinstance(kind, types.Uint):
        return int(value & ((1 << kind.width) - 1))
    # ~ of a truth value is -1 or -2.
    return value & 1 if value < 0 else int(value != 0)


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
    target = condition[0] if isinstance(condition, tuple) else condition
    if isinstance(target, Clbit):
        return (target,)
    if isinstance(target, ClassicalRegister):
        return tuple(dict.fromkeys(target))
    found: dict[Clbit, None] = {}
    for variable in expr.iter_vars(target):
        if isinstance(variable.var, Clbit | ClassicalRegister):
            found.update(dict.fromkeys(bits_in(variable.var)))
    return tuple(found)
