"""Random programs, as Hypothesis draws and shrinks them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hypothesis import strategies as st

from tests.differential.gates import CLIFFORD, QELIB1, STDGATES
from tests.differential.program import (
    Angle,
    Barrier,
    BitIs,
    Both,
    Break,
    Case,
    Compare,
    Comparison,
    Condition,
    Continue,
    Counts,
    Either,
    For,
    Gate,
    If,
    Measure,
    Modifier,
    Not,
    Program,
    Register,
    Reset,
    Statement,
    Switch,
    Values,
    While,
)

_MOST_QUBITS = 4
_MOST_BITS = 7
_DEPTH = 2
_SPECIAL = (0.0, math.pi / 2, math.pi, -math.pi / 2, math.pi / 4, 3 * math.pi / 2, 2 * math.pi, -math.pi)
_NAMES = ("theta", "phi", "a1", "w")
_COMPARISONS: tuple[Comparison, ...] = ("==", "!=", "<", "<=", ">", ">=")
_SHOTS = (2000, 4000, 300, 1)


@dataclass(frozen=True)
class Kinds:
    """Which constructs programs may have."""

    dynamic: bool = True
    clifford: bool = False
    modifiers: bool = True
    loops: bool = True
    leaving: bool = True
    """Break and continue."""
    expressions: bool = True
    """Conditions beyond a bit or a register's value."""
    final_bits: bool = True
    """Whether bits are measured at the end where counts are wanted."""
    parameters: bool = True


@st.composite
def cases(draw: st.DrawFn, kinds: Kinds | None = None) -> Case:
    """Draw a program and what is wanted of it."""
    if kinds is None:
        kinds = Kinds(
            dynamic=draw(st.booleans()),
            clifford=draw(st.integers(0, 2)) == 0,
            parameters=draw(st.booleans()),
        )
    counted = draw(st.integers(0, 2)) > 0
    program = draw(programs(kinds, measured=counted))
    names = program.parameters
    size = draw(st.integers(1, 3)) if names else 1
    clifford = st.sampled_from((0.0, math.pi / 2, math.pi, -math.pi / 2))
    numbers = clifford if kinds.clifford else _numbers()
    sets = tuple({name: draw(numbers) for name in names} for _ in range(size))
    wanted = Counts(draw(st.sampled_from(_SHOTS))) if counted else draw(_values(program.num_qubits))
    return Case(program, sets, wanted, draw(st.integers(0, 2**32 - 1)))


@st.composite
def programs(draw: st.DrawFn, kinds: Kinds, *, measured: bool) -> Program:
    """Draw a program."""
    version: Literal[2, 3] = draw(st.sampled_from((3, 2)))
    qubits = draw(_registers("qrg", _MOST_QUBITS, scalars=version == 3))
    bits = draw(_registers("cdm", _MOST_BITS, scalars=version == 3))
    drawn = _Drawn(draw, kinds, version, qubits, bits)
    # From basis states most gates' phases and many controls would go unseen.
    first = drawn.turned() if draw(st.booleans()) else ()
    body = first + drawn.block(draw(st.integers(1, 10)), 0, in_loop=False)
    if measured and kinds.final_bits:
        places = draw(st.permutations(range(drawn.num_bits)))
        order = draw(st.permutations(range(drawn.num_qubits)))
        kept = draw(st.integers(1, min(len(places), len(order))))
        body += tuple(Measure(*pair) for pair in zip(order[:kept], places, strict=False))
    return Program(version, qubits, bits, body)


def _numbers() -> st.SearchStrategy[float]:
    return st.one_of(st.sampled_from(_SPECIAL), st.integers(-3000, 3000).map(lambda n: n / 1000))


@st.composite
def _registers(draw: st.DrawFn, names: str, most: int, *, scalars: bool) -> tuple[Register, ...]:
    made: list[Register] = []
    first = 0
    for name in names[: draw(st.integers(1, 3))]:
        if first == most:
            break
        size = draw(st.integers(0 if scalars else 1, most - first))
        made.append(Register(name, size or None, first))
        first += size or 1
    return tuple(made)


@st.composite
def _values(draw: st.DrawFn, num_qubits: int) -> Values:
    label = st.text("IXYZ", min_size=num_qubits, max_size=num_qubits)
    weight = st.sampled_from((1.0, 0.5, -2.0, 0.25))
    several = st.dictionaries(label, weight, min_size=1, max_size=3).map(lambda terms: tuple(terms.items()))
    one = label.map(lambda text: ((text, 1.0),))
    observables = tuple(draw(st.lists(st.one_of(one, several), min_size=1, max_size=4)))
    match draw(st.integers(0, 3)):
        case 0 | 1:
            return Values(observables)
        case 2:
            return Values(observables, shots=draw(st.sampled_from(_SHOTS)))
        case _:
            return Values(observables, precision=draw(st.sampled_from((0.05, 0.2))))


class _Drawn:
    """Draws statements of a program whose registers are known."""

    def __init__(
        self, draw: st.DrawFn, kinds: Kinds, version: int, qubits: Sequence[Register], bits: Sequence[Register]
    ) -> None:
        self._draw = draw
        self._kinds = kinds
        self._version = version
        self._bits = bits
        self.num_qubits = sum(register.width for register in qubits)
        self.num_bits = sum(register.width for register in bits)
        table = STDGATES if version == 3 else QELIB1
        self._gates = {
            name: kind
            for name, kind in sorted(table.items())
            if kind.qubits <= self.num_qubits
            and (not kinds.clifford or name in CLIFFORD or name in ("rz", "p", "u1", "phase"))
        }
        # Bits that an enclosing loop's end depends on.
        self._kept: set[int] = set()

    def turned(self) -> tuple[Statement, ...]:
        """Return gates that put every qubit into a superposition."""
        if self._kinds.clifford:
            return tuple(Gate("h", (qubit,)) for qubit in range(self.num_qubits))
        return tuple(
            Gate(name, (qubit,), (Angle(0.7 + qubit / 3),)) for qubit in range(self.num_qubits) for name in ("ry", "rz")
        )

    def block(self, size: int, depth: int, *, in_loop: bool, turns: tuple[str, ...] = ()) -> tuple[Statement, ...]:
        made: list[Statement] = []
        for _ in range(size):
            made += self._statement(depth, in_loop, turns)
        return tuple(made)

    def _statement(self, depth: int, in_loop: bool, turns: tuple[str, ...]) -> Sequence[Statement]:
        choices = ["gate", "gate", "gate", "barrier"]
        if self._kinds.dynamic:
            choices += ["measure", "reset", "if", "if"]
            if depth < _DEPTH and self._version == 3 and self._kinds.loops:
                choices += ["for", "switch", "while"]
            if in_loop and self._kinds.leaving:
                choices += ["leave"]
        kind = self._draw(st.sampled_from(choices))
        if kind == "barrier":
            count = self._draw(st.integers(1, self.num_qubits))
            return (Barrier(tuple(self._draw(st.permutations(range(self.num_qubits)))[:count])),)
        if kind == "gate":
            return (self.gate(turns),)
        if kind == "reset":
            return (Reset(self._qubit()),)
        if kind == "measure":
            free = [bit for bit in range(self.num_bits) if bit not in self._kept]
            return (Measure(self._qubit(), self._draw(st.sampled_from(free))),) if free else ()
        if kind == "leave":
            # Without a condition all behind it would never run.
            return (If(self._condition(0), (Break() if self._draw(st.booleans()) else Continue(),)),)
        if self._version == 2:
            return self._old_if()
        return (self._compound(kind, depth, in_loop, turns),)

    def _compound(self, kind: str, depth: int, in_loop: bool, turns: tuple[str, ...]) -> Statement:
        size = st.integers(1, 3)
        if kind == "if":
            condition = self._condition(2 if self._kinds.expressions else 0)
            then = self.block(self._draw(size), depth + 1, in_loop=in_loop, turns=turns)
            otherwise = self.block(self._draw(st.integers(0, 2)), depth + 1, in_loop=in_loop, turns=turns)
            return If(condition, then, otherwise)
        if kind == "for":
            variable = f"turn{depth}" if self._draw(st.booleans()) and not self._kinds.clifford else None
            inner = turns if variable is None else (*turns, variable)
            body = self.block(self._draw(size), depth + 1, in_loop=True, turns=inner)
            return For(self._draw(st.integers(0, 3)), body, variable)
        if kind == "while" and (free := [bit for bit in range(self.num_bits) if bit not in self._kept]):
            bit = self._draw(st.sampled_from(free))
            qubit = self._qubit()
            self._kept.add(bit)
            body = self.block(self._draw(st.integers(0, 2)), depth + 1, in_loop=True, turns=turns)
            self._kept.discard(bit)
            return While(qubit, bit, body)
        place = self._draw(st.integers(0, len(self._bits) - 1))
        register = self._bits[place]
        numbers = self._draw(st.permutations(range(min(8, 2**register.width))))
        cut = self._draw(st.integers(1, len(numbers)))
        groups = [tuple(numbers[:1]), tuple(numbers[1:cut])]
        cases = tuple(
            (group, self.block(self._draw(st.integers(1, 2)), depth + 1, in_loop=in_loop, turns=turns))
            for group in groups
            if group
        )
        default = self._draw(st.booleans())
        return Switch(place, cases, self.block(1, depth + 1, in_loop=in_loop, turns=turns) if default else None)

    def _old_if(self) -> Sequence[Statement]:
        place = self._draw(st.integers(0, len(self._bits) - 1))
        value = self._draw(st.integers(0, min(2 ** self._bits[place].width - 1, 3)))
        inner: Statement = self.gate(())
        if self._draw(st.booleans()):
            inner = Reset(self._qubit()) if self._draw(st.booleans()) else Measure(self._qubit(), self._any_bit())
        return (If(Compare(place, "==", value), (inner,)),)

    def gate(self, turns: tuple[str, ...]) -> Gate:
        name = self._draw(st.sampled_from(tuple(self._gates)))
        kind = self._gates[name]
        places = self._draw(st.permutations(range(self.num_qubits)))
        modifiers: tuple[Modifier, ...] = ()
        if self._version == 3 and self._kinds.modifiers and not self._kinds.clifford:
            modifiers = self._draw(_modifiers(self.num_qubits - kind.qubits))
        width = kind.qubits + sum(modifier.name in ("ctrl", "negctrl") for modifier in modifiers)
        if name == "u0":
            return Gate(name, tuple(places[:1]), (Angle(1.0),))
        angles = tuple(self._angle(turns) for _ in range(kind.angles))
        return Gate(name, tuple(places[:width]), angles, modifiers)

    def _angle(self, turns: tuple[str, ...]) -> Angle:
        if self._kinds.clifford:
            quarter = self._draw(st.integers(-4, 4)) * math.pi / 2
            if self._version == 3 and self._kinds.parameters and self._draw(st.booleans()):
                return Angle(quarter, self._draw(st.sampled_from(_NAMES)), self._draw(st.sampled_from((1.0, -1.0))))
            return Angle(quarter)
        names = (*turns, *_NAMES) if self._kinds.parameters else turns
        if self._version == 3 and names and self._draw(st.booleans()):
            factor = self._draw(st.sampled_from((1.0, -1.0, 2.0, 0.5)))
            return Angle(
                self._draw(st.sampled_from((0.0, 0.3, math.pi / 2))), self._draw(st.sampled_from(names)), factor
            )
        return Angle(self._draw(_numbers()))

    def _condition(self, depth: int) -> Condition:
        kind = self._draw(st.integers(0, 4 if depth else 0))
        if kind <= 1 or not depth:
            if self._draw(st.booleans()):
                place = self._draw(st.integers(0, len(self._bits) - 1))
                width = self._bits[place].width
                operator: Comparison = self._draw(st.sampled_from(_COMPARISONS)) if depth else "=="
                return Compare(place, operator, self._draw(st.integers(0, 2**width - 1)))
            return BitIs(self._any_bit(), self._draw(st.integers(0, 1)))
        if kind == 2:
            return Not(self._condition(depth - 1))
        pair = self._condition(depth - 1), self._condition(depth - 1)
        return Both(*pair) if kind == 3 else Either(*pair)

    def _qubit(self) -> int:
        return self._draw(st.integers(0, self.num_qubits - 1))

    def _any_bit(self) -> int:
        return self._draw(st.integers(0, self.num_bits - 1))


@st.composite
def _modifiers(draw: st.DrawFn, free: int) -> tuple[Modifier, ...]:
    made = []
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2)))):
        name: Literal["ctrl", "inv", "pow", "negctrl"] = draw(st.sampled_from(("ctrl", "inv", "pow", "negctrl")))
        if name in ("ctrl", "negctrl"):
            if not free:
                continue
            free -= 1
        made.append(Modifier(name, draw(st.sampled_from((2, -1, 3, 0))) if name == "pow" else 1))
    return tuple(made)
