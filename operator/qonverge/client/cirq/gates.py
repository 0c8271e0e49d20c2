"""Cirq's gates as Qiskit's.

Where steps are ``exact`` their product is the operation's matrix, phase included, since a control makes phases visible;
else a global phase may be missing, and fewer gates are needed.
Matrices: https://quantumai.google/reference/python/cirq, https://quantum.cloud.ibm.com/docs/api/qiskit/circuit_library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import cirq
import numpy as np
from qiskit.circuit import Gate
from qiskit.circuit.library import (
    CCXGate,
    CCZGate,
    CPhaseGate,
    CSwapGate,
    CXGate,
    CZGate,
    GlobalPhaseGate,
    HGate,
    MCPhaseGate,
    PhaseGate,
    RXGate,
    RXXGate,
    RYGate,
    RYYGate,
    RZZGate,
    SdgGate,
    SGate,
    SwapGate,
    SXdgGate,
    SXGate,
    TdgGate,
    TGate,
    UnitaryGate,
    XGate,
    YGate,
    ZGate,
)

from qonverge.client.cirq.symbols import NeedsValues, Number


class Step(NamedTuple):
    """A Qiskit gate on Cirq's qubits."""

    gate: Gate
    qubits: tuple[cirq.Qid, ...]
    frame: bool = False
    """Whether a later step undoes it: under a control it may then act always."""


# Powers that have a name in Qiskit, which the choice of a simulation method goes by.
_NAMED: dict[str, dict[float, tuple[type[Gate], ...]]] = {
    "X": {0: (), 0.5: (SXGate,), 1: (XGate,), 1.5: (SXdgGate,)},
    # Up to a phase: the square root of Y is H after Z.
    "Y": {0: (), 0.5: (ZGate, HGate), 1: (YGate,), 1.5: (HGate, ZGate)},
    "Z": {0: (), 0.25: (TGate,), 0.5: (SGate,), 1: (ZGate,), 1.5: (SdgGate,), 1.75: (TdgGate,)},
}
_ROTATIONS: dict[str, type[Gate]] = {"X": RXGate, "Y": RYGate, "XX": RXXGate, "YY": RYYGate, "ZZ": RZZGate}
# What turns Z into each Pauli operator, before and after.
_BASIS: dict[str, tuple[tuple[type[Gate], ...], tuple[type[Gate], ...]]] = {
    "X": ((HGate,), (HGate,)),
    "Y": ((SdgGate, HGate), (HGate, SGate)),
    "Z": ((), ()),
}


def translate(
    gate: cirq.Gate | None, qubits: tuple[cirq.Qid, ...], number: Callable[[Any], Number], exact: bool
) -> Iterator[Step] | None:
    """Return the steps of a gate, None where it is not among those of this module."""
    if isinstance(gate, cirq.EigenGate):
        for kind, power in _POWERS.items():
            if isinstance(gate, kind):
                exponent = number(gate.exponent)
                return _with_phase(power(exponent, qubits, exact), math.pi * gate.global_shift * exponent)
    for other, rule in _OTHERS.items():
        if isinstance(gate, other):
            return rule(gate, qubits, number, exact)
    return None


def _with_phase(steps: Iterable[Step], angle: Number) -> Iterator[Step]:
    yield from steps
    yield phase(angle)


def phase(angle: Number) -> Step:
    """Return the step that gives all states this phase."""
    return Step(GlobalPhaseGate(angle), ())


def _frame(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        yield step._replace(frame=True)


def _is(number: Number, *values: float, period: float = 2) -> bool:
    return isinstance(number, float) and number % period in values


def _each(gates: Iterable[type[Gate]], qubit: cirq.Qid) -> Iterator[Step]:
    for gate in gates:
        yield Step(gate(), (qubit,))


def z_power(t: Number, qubits: tuple[cirq.Qid, ...]) -> Iterator[Step]:
    """Give the states with 1 on all the qubits the phase pi t."""
    if len(qubits) == 1 and isinstance(t, float) and t % 2 in _NAMED["Z"]:
        yield from _each(_NAMED["Z"][t % 2], qubits[0])
    elif len(qubits) <= 3 and _is(t, 1):
        yield Step((CZGate if len(qubits) == 2 else CCZGate)(), qubits)
    elif not _is(t, 0):
        angle = math.pi * t
        few = {1: PhaseGate, 2: CPhaseGate}.get(len(qubits))
        yield Step(MCPhaseGate(angle, len(qubits) - 1) if few is None else few(angle), qubits)


def _pauli_power(paulis: str, t: Number, qubits: tuple[cirq.Qid, ...], exact: bool) -> Iterator[Step]:
    """Give the eigenstates of a product of one or two equal Pauli operators to the eigenvalue -1 the phase pi t."""
    letter = paulis[0]
    if _is(t, 0, 1) or (len(qubits) == 1 and not exact and isinstance(t, float) and t % 2 in _NAMED[letter]):
        for qubit in qubits:
            yield from _each(_NAMED[letter][float(t) % 2], qubit)
    elif not exact and paulis in _ROTATIONS:
        yield Step(_ROTATIONS[paulis](math.pi * t), qubits)
    else:
        before, after = _BASIS[letter]
        parity = [Step(CXGate(), qubits, frame=True)] if len(qubits) == 2 else []
        for qubit in qubits:
            yield from _frame(_each(before, qubit))
        yield from parity
        yield from z_power(t, qubits[-1:])
        yield from parity
        for qubit in qubits:
            yield from _frame(_each(after, qubit))


def _h_power(t: Number, qubits: tuple[cirq.Qid, ...], _: bool) -> Iterator[Step]:
    if _is(t, 1):
        yield Step(HGate(), qubits)
    elif not _is(t, 0):
        yield Step(RYGate(-math.pi / 4), qubits, frame=True)
        yield from z_power(t, qubits)
        yield Step(RYGate(math.pi / 4), qubits, frame=True)


def _controlled_x_power(t: Number, qubits: tuple[cirq.Qid, ...], _: bool) -> Iterator[Step]:
    if _is(t, 1):
        yield Step((CXGate if len(qubits) == 2 else CCXGate)(), qubits)
    elif not _is(t, 0):
        yield Step(HGate(), qubits[-1:], frame=True)
        yield from z_power(t, qubits)
        yield Step(HGate(), qubits[-1:], frame=True)


def _swap_power(t: Number, qubits: tuple[cirq.Qid, ...], exact: bool) -> Iterator[Step]:
    if _is(t, 1):
        yield Step(SwapGate(), qubits)
    elif not _is(t, 0):
        yield Step(CXGate(), qubits, frame=True)
        yield from _controlled_x_power(t, qubits[::-1], exact)
        yield Step(CXGate(), qubits, frame=True)


def _iswap_power(t: Number, qubits: tuple[cirq.Qid, ...], exact: bool) -> Iterator[Step]:
    if _is(t, 1, 3, period=4):
        yield Step(SwapGate(), qubits)
        yield Step(CZGate(), qubits)
        for qubit in qubits:
            yield from _each((SGate if _is(t, 1, period=4) else SdgGate,), qubit)
    else:
        yield from _exchange(-math.pi / 2 * t, qubits, exact)


def _exchange(theta: Number, qubits: tuple[cirq.Qid, ...], exact: bool) -> Iterator[Step]:
    """exp(-i theta (XX + YY) / 2)."""
    for paulis in ("XX", "YY"):
        yield from _pauli_power(paulis, theta / math.pi, qubits, exact)
    yield phase(-theta)


_POWERS: dict[type[cirq.EigenGate], Callable[[Number, tuple[cirq.Qid, ...], bool], Iterator[Step]]] = {
    cirq.XPowGate: lambda t, qubits, exact: _pauli_power("X", t, qubits, exact),
    cirq.YPowGate: lambda t, qubits, exact: _pauli_power("Y", t, qubits, exact),
    cirq.ZPowGate: lambda t, qubits, _: z_power(t, qubits),
    cirq.HPowGate: _h_power,
    cirq.CZPowGate: lambda t, qubits, _: z_power(t, qubits),
    cirq.CCZPowGate: lambda t, qubits, _: z_power(t, qubits),
    cirq.CXPowGate: _controlled_x_power,
    cirq.CCXPowGate: _controlled_x_power,
    cirq.SwapPowGate: _swap_power,
    cirq.ISwapPowGate: _iswap_power,
    cirq.XXPowGate: lambda t, qubits, exact: _pauli_power("XX", t, qubits, exact),
    cirq.YYPowGate: lambda t, qubits, exact: _pauli_power("YY", t, qubits, exact),
    cirq.ZZPowGate: lambda t, qubits, exact: _pauli_power("ZZ", t, qubits, exact),
}


def unitary(value: Any, qubits: tuple[cirq.Qid, ...]) -> Step:
    """Return the step of a gate or operation that has a matrix."""
    # Cirq's first qubit is the most significant, Qiskit's the least.
    return Step(UnitaryGate(cirq.unitary(value)), qubits[::-1])


def _phased_x(gate: Any, qubits: tuple[cirq.Qid, ...], number: Callable[[Any], Number], exact: bool) -> Iterator[Step]:
    axis, t = number(gate.phase_exponent), number(gate.exponent)
    yield from _frame(z_power(-axis, qubits))
    yield from _pauli_power("X", t, qubits, exact)
    yield from _frame(z_power(axis, qubits))
    yield phase(math.pi * gate.global_shift * t)


def _phased_xz(gate: Any, qubits: tuple[cirq.Qid, ...], number: Callable[[Any], Number], exact: bool) -> Iterator[Step]:
    axis = number(gate.axis_phase_exponent)
    yield from z_power(-axis, qubits)
    yield from _pauli_power("X", number(gate.x_exponent), qubits, exact)
    yield from z_power(axis + number(gate.z_exponent), qubits)


def _fsim(gate: Any, qubits: tuple[cirq.Qid, ...], number: Callable[[Any], Number], exact: bool) -> Iterator[Step]:
    yield from _exchange(number(gate.theta), qubits, exact)
    yield from z_power(-number(gate.phi) / math.pi, qubits)


def _cswap(_: Any, qubits: tuple[cirq.Qid, ...], *__: Any) -> Iterator[Step]:
    yield Step(CSwapGate(), qubits)


def _matrix(gate: Any, qubits: tuple[cirq.Qid, ...], *_: Any) -> Iterator[Step]:
    yield unitary(gate, qubits)


def _global_phase(gate: Any, _: Any, __: Any, exact: bool) -> Iterator[Step]:
    if exact:
        if cirq.is_parameterized(gate):
            raise NeedsValues
        yield phase(float(np.angle(complex(gate.coefficient))))


def _nothing(*_: Any) -> Iterator[Step]:
    return iter(())


_OTHERS: dict[type[cirq.Gate], Callable[..., Iterator[Step]]] = {
    cirq.PhasedXPowGate: _phased_x,
    cirq.PhasedXZGate: _phased_xz,
    cirq.FSimGate: _fsim,
    cirq.CSwapGate: _cswap,
    cirq.MatrixGate: _matrix,
    cirq.GlobalPhaseGate: _global_phase,
    cirq.IdentityGate: _nothing,
    cirq.WaitGate: _nothing,
}
