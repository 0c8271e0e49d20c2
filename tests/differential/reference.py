"""A small exact simulator: every run of outcomes at once, each with its unnormalised density matrix.

It shares nothing with the engines under test: numpy alone, and matrices written from the specifications.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tests.differential.gates import QELIB1, STDGATES, X, Y, Z, controlled
from tests.differential.program import (
    Barrier,
    BitIs,
    Bits,
    Both,
    Break,
    Compare,
    Condition,
    Continue,
    Either,
    For,
    Gate,
    If,
    Measure,
    Not,
    Program,
    Reset,
    Statement,
    Switch,
    While,
    reads,
)

Matrix = NDArray[np.complex128]
States = dict[Bits, Matrix]
"""The unnormalised density matrix for each value of all bits; qubit 0 is the least significant."""

_NEGLIGIBLE = 1e-14
_PAULIS = {"I": np.eye(2, dtype=complex), "X": X, "Y": Y, "Z": Z}


@dataclass(frozen=True)
class Exact:
    """What is true of a program."""

    probabilities: Mapping[Bits, float]
    """Of each value of all bits, bit 0 first; impossible ones are absent."""
    state: Matrix
    """The density matrix at the end, averaged over all outcomes."""

    def value(self, observable: Sequence[tuple[str, float]]) -> float:
        """Return the expectation value of a sum of Pauli labels, qubit 0 last."""
        return sum(weight * float(np.trace(_pauli(label) @ self.state).real) for label, weight in observable)


@dataclass(frozen=True)
class Noise:
    """What follows each gate and precedes each outcome."""

    after: Callable[[str, tuple[int, ...], Matrix], Matrix]
    """Gets a gate's name, its qubits and the density matrix behind the ideal gate."""
    misread: Callable[[int], tuple[float, float]]
    """Gives a qubit's probabilities of a 1 where 0 is, and of a 0 where 1 is."""


def simulate(program: Program, values: Mapping[str, float], noise: Noise | None = None) -> Exact:
    """Return what is true of a program with these values of its parameters."""
    ended = _Run(program, values, noise).all()
    total = np.sum(list(ended.values()), axis=0)
    probabilities = {bits: float(np.trace(rho).real) for bits, rho in ended.items()}
    assert abs(sum(probabilities.values()) - 1) < 1e-9
    return Exact({bits: p for bits, p in probabilities.items() if p > _NEGLIGIBLE}, total)


def without_final_measurements(program: Program) -> Program:
    """Return the program up to its final measurements, those inside of blocks included.

    A measurement is final if nothing acts on its qubit later, nor reads its bit before it is written again.
    """
    body, _ = _trimmed(program.body, program, frozenset(), None)
    return Program(program.version, program.qubits, program.bits, body)


# What matters after some place: ("q", qubit) that something acts on, and ("b", bit) that something reads.
_Needs = frozenset[tuple[str, int]]


def _trimmed(
    body: Sequence[Statement], program: Program, after: _Needs, turn: _Needs | None
) -> tuple[tuple[Statement, ...], _Needs]:
    """Return a block without its final measurements, and what matters from its start.

    Args:
        body: the block.
        program: names the bits.
        after: what matters after the block.
        turn: what matters where the loop around it goes on or ends; None outside of loops.
    """
    kept: list[Statement] = []
    needs = after
    for item in reversed(body):
        left: Statement = item
        match item:
            case Barrier():
                pass
            case Break() | Continue():
                assert turn is not None
                needs = turn
            case Measure(qubit, bit):
                if ("q", qubit) not in needs and ("b", bit) not in needs:
                    continue
                needs = needs - {("b", bit)} | {("q", qubit)}
            case For() | While():
                around = needs | _own(item, program)
                while True:
                    inner, start = _trimmed(item.body, program, around, around)
                    if start <= around:
                        break
                    around |= start
                left, needs = replace(item, body=inner), around
            case If():
                then, first = _trimmed(item.then, program, needs, turn)
                otherwise, second = _trimmed(item.otherwise, program, needs, turn)
                needs = first | second | needs | _own(item, program)
                left = replace(item, then=then, otherwise=otherwise)
            case Switch():
                cases = [(values, _trimmed(block, program, needs, turn)) for values, block in item.cases]
                default = None if item.default is None else _trimmed(item.default, program, needs, turn)
                starts = [start for _, (_, start) in cases] + ([] if default is None else [default[1]])
                left = replace(
                    item,
                    cases=tuple((values, block) for values, (block, _) in cases),
                    default=None if default is None else default[0],
                )
                needs = needs.union(*starts, _own(item, program))
            case _:
                needs |= _own(item, program)
        kept.append(left)
    return tuple(reversed(kept)), needs


def _own(item: Statement, program: Program) -> _Needs:
    """Return what a statement acts on and reads, without its blocks."""
    return frozenset([("q", q) for q in qubits_of(item)] + [("b", b) for b in bits_read(item, program)])


def qubits_of(item: Statement) -> set[int]:
    """Return the qubits on which a statement acts, without its blocks."""
    match item:
        case Gate(_, qubits) | Barrier(qubits):
            return set(qubits)
        case Measure(qubit) | Reset(qubit) | While(qubit):
            return {qubit}
        case _:
            return set()


def bits_read(item: Statement, program: Program) -> set[int]:
    """Return the bits that a statement reads, without its blocks."""
    match item:
        case If(condition):
            return reads(condition, program)
        case While(_, bit):
            return {bit}
        case Switch(register):
            own = program.bits[register]
            return set(range(own.first, own.first + own.width))
        case _:
            return set()


def gate_matrix(gate: Gate, version: int, values: Mapping[str, float]) -> Matrix:
    """Return a gate's matrix with its modifiers, its first qubit as the most significant."""
    kind = (STDGATES if version == 3 else QELIB1)[gate.name]
    matrix = kind.matrix(*(angle.value(values) for angle in gate.angles))
    for modifier in reversed(gate.modifiers):
        if modifier.name == "inv":
            matrix = matrix.conj().T
        elif modifier.name == "pow":
            matrix = np.linalg.matrix_power(matrix, modifier.power)
        else:
            matrix = controlled(matrix, on=int(modifier.name == "ctrl"))
    return matrix


def on_qubits(matrix: Matrix, qubits: Sequence[int], rho: Matrix) -> Matrix:
    """Return ``matrix @ rho @ matrix^dagger``, the matrix acting on these qubits, the first most significant."""
    return _left(matrix, qubits, _left(matrix, qubits, rho).conj().T).conj().T


def _left(matrix: Matrix, qubits: Sequence[int], rho: Matrix) -> Matrix:
    side = len(rho)
    n = side.bit_length() - 1
    axes = [n - 1 - qubit for qubit in qubits]
    k = len(qubits)
    tensor = rho.reshape((2,) * n + (side,))
    moved = np.tensordot(matrix.reshape((2,) * 2 * k), tensor, axes=(range(k, 2 * k), axes))
    return np.moveaxis(moved, range(k), axes).reshape(side, side)


def _pauli(label: str) -> Matrix:
    whole = np.eye(1, dtype=complex)
    for letter in label:
        whole = np.kron(whole, _PAULIS[letter])
    return whole


@dataclass
class _Ends:
    """Where runs of a block ended: at its end, or at a break or continue."""

    on: States = field(default_factory=dict)
    broken: States = field(default_factory=dict)
    continued: States = field(default_factory=dict)


class _Run:
    def __init__(self, program: Program, values: Mapping[str, float], noise: Noise | None) -> None:
        self._program = program
        self._values = values
        self._noise = noise

    def all(self) -> States:
        side = 2**self._program.num_qubits
        start = np.zeros((side, side), dtype=complex)
        start[0, 0] = 1
        return self._block(self._program.body, {(0,) * self._program.num_bits: start}).on

    def _block(self, body: Sequence[Statement], states: States) -> _Ends:
        ends = _Ends(states)
        for item in body:
            if not ends.on:
                break
            inner = self._statement(item, ends.on)
            ends.on = inner.on
            _merge(ends.broken, inner.broken)
            _merge(ends.continued, inner.continued)
        return ends

    def _statement(self, item: Statement, states: States) -> _Ends:
        match item:
            case Gate():
                matrix = gate_matrix(item, self._program.version, self._values)
                after = {bits: on_qubits(matrix, item.qubits, rho) for bits, rho in states.items()}
                if self._noise is not None:
                    after = {bits: self._noise.after(item.name, item.qubits, rho) for bits, rho in after.items()}
                return _Ends(after)
            case Measure(qubit, bit):
                return _Ends(self._measured(qubit, bit, states))
            case Reset(qubit):
                return _Ends({bits: _reset(qubit, rho) for bits, rho in states.items()})
            case Barrier():
                return _Ends(states)
            case If(condition, then, otherwise):
                chosen, others = _split(states, lambda bits: self._holds(condition, bits))
                return _joined(self._block(then, chosen), self._block(otherwise, others))
            case Switch():
                return self._switch(item, states)
            case For():
                return self._for(item, states)
            case While():
                return self._while(item, states)
            case Break():
                return _Ends({}, states, {})
            case Continue():
                return _Ends({}, {}, states)

    def _measured(self, qubit: int, bit: int, states: States) -> States:
        found: States = {}
        wrong = (0.0, 0.0) if self._noise is None else self._noise.misread(qubit)
        for bits, rho in states.items():
            for outcome in (0, 1):
                part = _projected(qubit, outcome, rho)
                for read in (0, 1):
                    weight = wrong[outcome] if read != outcome else 1 - wrong[outcome]
                    _add(found, (*bits[:bit], read, *bits[bit + 1 :]), weight * part)
        return found

    def _switch(self, item: Switch, states: States) -> _Ends:
        ends, left = _Ends(), states
        for values, block in item.cases:
            chosen, left = _split(left, partial(self._is_among, item.register, values))
            ends = _joined(ends, self._block(block, chosen))
        return _joined(ends, self._block(item.default or (), left))

    def _for(self, item: For, states: States) -> _Ends:
        left: States = {}
        outer = self._values
        for turn in range(item.turns):
            self._values = outer if item.variable is None else {**outer, item.variable: turn}
            ends = self._block(item.body, states)
            states = dict(ends.on)
            _merge(states, ends.continued)
            _merge(left, ends.broken)
        self._values = outer
        states = dict(states)
        _merge(states, left)
        return _Ends(states)

    def _while(self, item: While, states: States) -> _Ends:
        # The form in which languages have it: the coin is tossed before the loop and at each turn's begin.
        gates = (Reset(item.qubit), Gate("h", (item.qubit,)), Measure(item.qubit, item.bit))
        going, left = _split(self._block(gates, states).on, lambda bits: bits[item.bit] == 1)
        while sum(float(np.trace(rho).real) for rho in going.values()) > 1e-15:
            ends = self._block((*gates, *item.body), going)
            _merge(left, ends.broken)
            again = dict(ends.on)
            _merge(again, ends.continued)
            going, done = _split(again, lambda bits: bits[item.bit] == 1)
            _merge(left, done)
        return _Ends(left)

    def _is_among(self, register: int, values: Sequence[int], bits: Bits) -> bool:
        return self._number(register, bits) in values

    def _number(self, register: int, bits: Bits) -> int:
        own = self._program.bits[register]
        return sum(bits[own.first + place] << place for place in range(own.width))

    def _holds(self, condition: Condition, bits: Bits) -> bool:
        match condition:
            case BitIs(bit, value):
                return bits[bit] == value
            case Compare(register, operator, value):
                own = self._number(register, bits)
                return {
                    "==": own == value,
                    "!=": own != value,
                    "<": own < value,
                    "<=": own <= value,
                    ">": own > value,
                    ">=": own >= value,
                }[operator]
            case Both(one, other):
                return self._holds(one, bits) and self._holds(other, bits)
            case Either(one, other):
                return self._holds(one, bits) or self._holds(other, bits)
            case Not(inner):
                return not self._holds(inner, bits)


def _projected(qubit: int, outcome: int, rho: Matrix) -> Matrix:
    keep = (np.arange(len(rho)) >> qubit & 1) == outcome
    return np.where(np.outer(keep, keep), rho, 0)


def _reset(qubit: int, rho: Matrix) -> Matrix:
    return _projected(qubit, 0, rho) + on_qubits(X, [qubit], _projected(qubit, 1, rho))


def _split(states: States, chosen: Callable[[Bits], bool]) -> tuple[States, States]:
    yes = {bits: rho for bits, rho in states.items() if chosen(bits)}
    return yes, {bits: rho for bits, rho in states.items() if bits not in yes}


def _add(states: States, bits: Bits, rho: Matrix) -> None:
    if float(np.trace(rho).real) > _NEGLIGIBLE:
        states[bits] = states[bits] + rho if bits in states else rho


def _merge(into: States, states: States) -> None:
    for bits, rho in states.items():
        _add(into, bits, rho)


def _joined(one: _Ends, other: _Ends) -> _Ends:
    ends = _Ends(dict(one.on), dict(one.broken), dict(one.continued))
    _merge(ends.on, other.on)
    _merge(ends.broken, other.broken)
    _merge(ends.continued, other.continued)
    return ends
