"""Conditions of control flow and assignments, as Boolean functions of single bits.

QPY keeps values below 2**63 only, Aer computes with 32 bits and without shifts, and each in silence or with an error
of its own. So every expression is unfolded here to ``&&``, ``||``, ``!`` and ``^`` of single bits, which all take.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from qiskit.circuit import ClassicalRegister, Clbit, Store
from qiskit.circuit.classical import expr, types

from qonverge.circuits.errors import InvalidProgram

Condition = Any
"""A pair of a bit and its value, or an expression of bits."""

# Products of wide registers unfold to more than anybody wants to evaluate at each shot.
_MOST_TERMS = 100_000


@dataclass(frozen=True, slots=True)
class _Term:
    """A Boolean function that is no constant."""

    expression: expr.Expr
    size: int


_Bit = bool | _Term
_Word = list[_Bit]
"""A value's bits, the lowest first."""


def lowered(condition: Condition, bits: Mapping[Clbit, Clbit]) -> Condition:
    """Return a condition of ``if`` or ``while`` as a pair of a bit and its value, or an expression of single bits.

    Args:
        condition: as Qiskit takes it.
        bits: the bits that those of the condition stand for; itself for one that is not among them.

    Raises:
        InvalidProgram: it uses variables, numbers with a fraction, durations or divisions.
    """
    if isinstance(condition, tuple):
        target, value = condition
        if isinstance(target, Clbit):
            return (bits.get(target, target), bool(value))
        return _expression(_equal(_word(target, bits), int(value)))
    return _expression(_truth(condition, bits))


def cases(
    target: Any, labels: Sequence[Sequence[int]], bits: Mapping[Clbit, Clbit]
) -> Callable[[Iterable[int]], Condition]:
    """Return what gives the condition that the target has one of the values of these cases, by their places.

    Raises:
        InvalidProgram: as ``lowered``.
    """
    word = _word(target, bits)

    def condition(places: Iterable[int]) -> Condition:
        return _expression(_balanced(_or, [_equal(word, int(value)) for k in places for value in labels[k]]))

    return condition


def stores(store: Store, bits: Mapping[Clbit, Clbit]) -> list[Store]:
    """Return an assignment as assignments to single bits, in an order in which none changes what another reads.

    Raises:
        InvalidProgram: as ``lowered``, or there is no such order.
    """
    written = _assigned(store.lvalue, _word(store.rvalue, bits), bits)
    written = {bit: value for bit, value in written.items() if _reads(value) != {bit} or not _is_bit(value, bit)}
    ordered: list[Store] = []
    while written:
        read = {bit for target, value in written.items() for bit in _reads(value) if bit != target}
        free = next((bit for bit in written if bit not in read), None)
        if free is None:
            raise InvalidProgram(
                "an assignment reads bits in a circle, as a rotation does",
                expected="another register for the value, or another order of the bits",
            )
        ordered.append(Store(expr.lift(free), _expression(written.pop(free))))
    return ordered


def _assigned(target: expr.Expr, value: _Word, bits: Mapping[Clbit, Clbit]) -> dict[Clbit, _Bit]:
    if isinstance(target, expr.Var) and isinstance(target.var, Clbit):
        return {bits.get(target.var, target.var): value[0]}
    if isinstance(target, expr.Var) and isinstance(target.var, ClassicalRegister):
        return dict(zip((bits.get(bit, bit) for bit in target.var), value, strict=True))
    if isinstance(target, expr.Index) and isinstance(target.target, expr.Var):
        index, before = _word(target.index, bits), _word(target.target, bits)
        places = [_mux(_equal(index, place), value[0], old) for place, old in enumerate(before)]
        return _assigned(target.target, places, bits)
    raise _unknown(target)


def _is_bit(value: _Bit, bit: Clbit) -> bool:
    return isinstance(value, _Term) and isinstance(value.expression, expr.Var) and value.expression.var == bit


def _reads(value: _Bit) -> set[Clbit]:
    return {found.var for found in expr.iter_vars(value.expression)} if isinstance(value, _Term) else set()


def _expression(value: _Bit) -> expr.Expr:
    return expr.lift(value) if isinstance(value, bool) else value.expression


def _truth(target: Any, bits: Mapping[Clbit, Clbit]) -> _Bit:
    return _balanced(_or, _word(target, bits))


def _word(target: Any, bits: Mapping[Clbit, Clbit]) -> _Word:
    """Return the bits of a bit, register or expression."""
    if isinstance(target, Clbit):
        return [_Term(expr.lift(bits.get(target, target)), 1)]
    if isinstance(target, ClassicalRegister):
        return [_Term(expr.lift(bits.get(bit, bit)), 1) for bit in target]
    if isinstance(target, expr.Var) and isinstance(target.var, Clbit | ClassicalRegister):
        return _word(target.var, bits)
    if not isinstance(target, expr.Expr) or not isinstance(target.type, types.Bool | types.Uint):
        raise _unknown(target)
    width = _width(target.type)
    if isinstance(target, expr.Value):
        return _constant(int(target.value), width)
    if isinstance(target, expr.Cast):
        value = _word(target.operand, bits)
        return [_balanced(_or, value)] if isinstance(target.type, types.Bool) else _fitted(value, width)
    if isinstance(target, expr.Index):
        return [_shifted(_word(target.target, bits), _word(target.index, bits), right=True)[0]]
    if isinstance(target, expr.Unary) and target.op is not expr.Unary.Op.NEGATE:
        # Both kinds of not are the same on a truth value.
        return [_not(bit) for bit in _word(target.operand, bits)]
    if isinstance(target, expr.Binary) and target.op in _BINARY:
        return _BINARY[target.op](_word(target.left, bits), _word(target.right, bits))
    raise _unknown(target)


def _width(kind: types.Type) -> int:
    return kind.width if isinstance(kind, types.Uint) else 1


def _constant(value: int, width: int) -> _Word:
    return [bool(value >> place & 1) for place in range(width)]


def _fitted(value: _Word, width: int) -> _Word:
    return [*value, *_constant(0, width)][:width]


def _equal(word: _Word, value: int) -> _Bit:
    if value < 0 or value >> len(word):
        return False
    return _same(word, _constant(value, len(word)))


def _same(left: _Word, right: _Word) -> _Bit:
    return _balanced(_and, [_not(_xor(a, b)) for a, b in zip(left, right, strict=True)])


def _less(left: _Word, right: _Word) -> _Bit:
    """Return whether one number is less than the other, half by half: so it is not nested as deeply as it is wide."""
    if len(left) == 1:
        return _and(_not(left[0]), right[0])
    half = len(left) // 2
    above = _same(left[half:], right[half:])
    return _or(_less(left[half:], right[half:]), _and(above, _less(left[:half], right[:half])))


def _shifted(value: _Word, by: _Word, *, right: bool) -> _Word:
    """Return a number shifted by another, bits beyond its width lost."""
    width = len(value)
    for place, bit in enumerate(by):
        # A step as wide as the number leaves nothing of it, and so do all beyond.
        step = min(1 << place, width) if place < width.bit_length() else width
        nothing = _constant(0, step)
        moved = [*value[step:], *nothing] if right else [*nothing, *value][:width]
        value = [_mux(bit, new, old) for new, old in zip(moved, value, strict=True)]
    return value


def _sum(left: _Word, right: _Word, *, carry: _Bit) -> _Word:
    total = []
    for a, b in zip(left, right, strict=True):
        half = _xor(a, b)
        total.append(_xor(half, carry))
        carry = _or(_and(a, b), _and(half, carry))
    return total


def _product(left: _Word, right: _Word) -> _Word:
    rows = ([*_constant(0, place), *(_and(bit, by) for bit in left)][: len(left)] for place, by in enumerate(right))
    return reduce(lambda one, other: _sum(one, other, carry=False), rows)


def _balanced(join: Callable[[_Bit, _Bit], _Bit], parts: Sequence[_Bit]) -> _Bit:
    """Return all parts joined, as a tree that is no deeper than it has to be."""
    row = list(parts)
    while len(row) > 1:
        pairs = itertools.zip_longest(row[::2], row[1::2])
        row = [a if b is None else join(a, b) for a, b in pairs]
    return row[0]


def _not(a: _Bit) -> _Bit:
    if isinstance(a, bool):
        return not a
    if isinstance(a.expression, expr.Unary):
        return _Term(a.expression.operand, a.size - 1)
    return _Term(expr.logic_not(a.expression), a.size + 1)


def _and(a: _Bit, b: _Bit) -> _Bit:
    if isinstance(a, bool):
        return b if a else False
    if isinstance(b, bool):
        return a if b else False
    return _joined(expr.logic_and, a, b)


def _or(a: _Bit, b: _Bit) -> _Bit:
    return _not(_and(_not(a), _not(b))) if isinstance(a, bool) or isinstance(b, bool) else _joined(expr.logic_or, a, b)


def _xor(a: _Bit, b: _Bit) -> _Bit:
    if isinstance(a, bool):
        return _not(b) if a else b
    if isinstance(b, bool):
        return _not(a) if b else a
    return _joined(expr.bit_xor, a, b)


def _mux(which: _Bit, one: _Bit, other: _Bit) -> _Bit:
    return _or(_and(which, one), _and(_not(which), other))


def _joined(join: Callable[[expr.Expr, expr.Expr], expr.Expr], a: _Term, b: _Term) -> _Term:
    size = a.size + b.size + 1
    if size > _MOST_TERMS:
        raise InvalidProgram(
            f"an expression unfolds to more than {_MOST_TERMS} operations on bits",
            expected="narrower registers, or fewer sums and products inside each other",
        )
    return _Term(join(a.expression, b.expression), size)


def _unknown(target: Any) -> InvalidProgram:
    if isinstance(target, expr.Binary | expr.Unary):
        what = f"the operation {target.op.name.lower()} on {target.type}"
    elif isinstance(target, expr.Var):
        what = f"the variable {target.name} of the kind {target.type}"
    else:
        what = f"a {type(target).__name__.lower()}" + (f" of the kind {target.type}" if hasattr(target, "type") else "")
    return InvalidProgram(
        f"an expression uses {what}, which is not known while the circuit runs",
        expected="bits and registers, comparisons, shifts, sums, products and operations on bits",
    )


def _each(join: Callable[[_Bit, _Bit], _Bit]) -> Callable[[_Word, _Word], _Word]:
    return lambda left, right: [join(a, b) for a, b in zip(left, right, strict=True)]


_BINARY: Mapping[expr.Binary.Op, Callable[[_Word, _Word], _Word]] = {
    expr.Binary.Op.BIT_AND: _each(_and),
    expr.Binary.Op.LOGIC_AND: _each(_and),
    expr.Binary.Op.BIT_OR: _each(_or),
    expr.Binary.Op.LOGIC_OR: _each(_or),
    expr.Binary.Op.BIT_XOR: _each(_xor),
    expr.Binary.Op.EQUAL: lambda left, right: [_same(left, right)],
    expr.Binary.Op.NOT_EQUAL: lambda left, right: [_not(_same(left, right))],
    expr.Binary.Op.LESS: lambda left, right: [_less(left, right)],
    expr.Binary.Op.GREATER: lambda left, right: [_less(right, left)],
    expr.Binary.Op.LESS_EQUAL: lambda left, right: [_not(_less(right, left))],
    expr.Binary.Op.GREATER_EQUAL: lambda left, right: [_not(_less(left, right))],
    expr.Binary.Op.SHIFT_LEFT: lambda left, right: _shifted(left, right, right=False),
    expr.Binary.Op.SHIFT_RIGHT: lambda left, right: _shifted(left, right, right=True),
    expr.Binary.Op.ADD: lambda left, right: _sum(left, right, carry=False),
    expr.Binary.Op.SUB: lambda left, right: _sum(left, [_not(bit) for bit in right], carry=True),
    expr.Binary.Op.MUL: _product,
}
