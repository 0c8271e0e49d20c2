"""Random expressions of two registers, each with what plain Python makes of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from qiskit.circuit import ClassicalRegister
from qiskit.circuit.classical import expr, types

Meaning = Callable[[int, int], int]

_COMPARE: dict[Callable[..., Any], Callable[[int, int], bool]] = {
    expr.equal: lambda a, b: a == b,
    expr.not_equal: lambda a, b: a != b,
    expr.less: lambda a, b: a < b,
    expr.less_equal: lambda a, b: a <= b,
    expr.greater: lambda a, b: a > b,
    expr.greater_equal: lambda a, b: a >= b,
}
_WORD: dict[Callable[..., Any], Callable[[int, int], int]] = {
    expr.bit_and: lambda a, b: a & b,
    expr.bit_or: lambda a, b: a | b,
    expr.bit_xor: lambda a, b: a ^ b,
    expr.add: lambda a, b: a + b,
    expr.sub: lambda a, b: a - b,
    expr.mul: lambda a, b: a * b,
    expr.shift_left: lambda a, b: a << b,
    expr.shift_right: lambda a, b: a >> b,
}


def word(rng: random.Random, c: ClassicalRegister, d: ClassicalRegister, depth: int) -> tuple[Any, Meaning]:
    """Return an expression as wide as the registers."""
    width, most = len(c), (1 << len(c)) - 1
    if depth == 0 or rng.random() < 0.2:
        number = rng.getrandbits(width)
        leaves: list[tuple[Any, Meaning]] = [
            (expr.lift(c), lambda one, other: one),
            (expr.lift(d), lambda one, other: other),
            (expr.Value(number, types.Uint(width)), lambda one, other: number),
        ]
        return rng.choice(leaves)
    kind = rng.randrange(10)
    inside, meant = word(rng, c, d, depth - 1)
    if kind == 0:
        return expr.bit_not(inside), lambda one, other: ~meant(one, other) & most
    if kind == 1:
        narrow = rng.randint(1, width)
        cut = expr.cast(expr.cast(inside, types.Uint(narrow)), types.Uint(width))
        return cut, lambda one, other: meant(one, other) & ((1 << narrow) - 1)
    make = rng.choice(list(_WORD))
    second, also = word(rng, c, d, depth - 1)
    compute = _WORD[make]
    return make(inside, second), lambda one, other: compute(meant(one, other), also(one, other)) & most


def comparison(rng: random.Random, c: ClassicalRegister, d: ClassicalRegister, depth: int) -> tuple[Any, Meaning]:
    """Return an expression that is true or false."""
    kind = rng.randrange(7) if depth else 0
    if kind <= 2:
        make = rng.choice(list(_COMPARE))
        (left, one_means), (right, other_means) = word(rng, c, d, depth), word(rng, c, d, depth)
        compare = _COMPARE[make]
        return make(left, right), lambda one, other: int(compare(one_means(one, other), other_means(one, other)))
    if kind == 3:
        inside, meant = word(rng, c, d, depth)
        return expr.cast(inside, types.Bool()), lambda one, other: int(meant(one, other) != 0)
    if kind == 4:
        place = rng.randrange(len(c))
        return expr.index(expr.lift(c), place), lambda one, other: one >> place & 1
    left, one_means = comparison(rng, c, d, depth - 1)
    if kind == 5:
        return expr.logic_not(left), lambda one, other: 1 - one_means(one, other)
    right, other_means = comparison(rng, c, d, depth - 1)
    if rng.random() < 0.5:
        return expr.logic_and(left, right), lambda one, other: one_means(one, other) & other_means(one, other)
    return expr.logic_or(left, right), lambda one, other: one_means(one, other) | other_means(one, other)
