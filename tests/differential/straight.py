"""Programs as SDKs without loops write them: one operation after the other, each maybe under a condition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.differential.answers import Inexpressible
from tests.differential.program import (
    Angle,
    Barrier,
    BitIs,
    Both,
    Condition,
    For,
    Gate,
    If,
    Measure,
    Program,
    Reset,
    Statement,
    walk,
)


@dataclass(frozen=True)
class Step:
    """An operation that runs where all these bits have these values."""

    item: Gate | Measure | Reset | Barrier
    under: tuple[BitIs, ...] = ()


def steps(program: Program) -> list[Step]:
    """Return the program's operations; loops of fixed length are unrolled.

    Raises:
        Inexpressible: it has other loops or conditions, or measures under a condition.
    """
    return list(_steps(program.body, ()))


def measured(made: Sequence[Step]) -> list[int]:
    """Return the bits that steps write, sorted."""
    return sorted({step.item.bit for step in made if isinstance(step.item, Measure)})


def _steps(body: Sequence[Statement], under: tuple[BitIs, ...]) -> Iterator[Step]:
    for item in body:
        match item:
            case Measure() | Reset() if under:
                raise Inexpressible("a measurement or a reset under a condition")
            case Gate() | Measure() | Reset() | Barrier():
                yield Step(item, under)
            case If(condition, then, otherwise):
                bits = tuple(_bits(condition))
                if any(isinstance(inner, Measure) for inner in walk((*then, *otherwise))):
                    raise Inexpressible("a measurement under a condition")
                yield from _steps(then, (*under, *bits))
                if otherwise:
                    if len(bits) != 1:
                        raise Inexpressible("the opposite of several bits")
                    yield from _steps(otherwise, (*under, BitIs(bits[0].bit, 1 - bits[0].value)))
            case For(turns, inner, variable):
                for turn in range(turns):
                    yield from _steps([_turned(each, variable, turn) for each in inner], under)
            case _:
                raise Inexpressible(type(item).__name__)


def _bits(condition: Condition) -> Iterator[BitIs]:
    match condition:
        case BitIs():
            yield condition
        case Both(one, other):
            yield from _bits(one)
            yield from _bits(other)
        case _:
            raise Inexpressible(f"the condition {type(condition).__name__}")


def _turned(item: Statement, variable: str | None, turn: int) -> Statement:
    """Return the statement in one turn of a loop."""
    match item:
        case Gate():
            return replace(item, angles=tuple(_angle(angle, variable, turn) for angle in item.angles))
        case If(condition, then, otherwise):
            blocks = (tuple(_turned(inner, variable, turn) for inner in block) for block in (then, otherwise))
            return If(condition, *blocks)
        case For(turns, body, own):
            return For(turns, tuple(_turned(inner, variable, turn) for inner in body), own)
        case _:
            return item


def _angle(angle: Angle, variable: str | None, turn: int) -> Angle:
    return angle if variable is None or angle.parameter != variable else Angle(angle.offset + angle.factor * turn)
