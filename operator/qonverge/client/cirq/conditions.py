"""Cirq's classical controls as Qiskit's expressions.

Whatever a condition says, it is a function of few measured bits: Cirq itself is asked for its value at each of their
combinations.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import cirq
import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Clbit
from qiskit.circuit.classical import expr

from qonverge.client.cirq.records import Measurement

_MOST_BITS = 10


def expression(condition: cirq.Condition, measured: Mapping[str, Sequence[Measurement]]) -> expr.Expr | bool:
    """Return when the condition holds, True or False where that depends on no bit.

    Args:
        condition: of an operation.
        measured: the measurements of each key so far.

    Raises:
        ValueError: a key was not measured before, or the condition depends on too many bits.
    """
    index = getattr(condition, "index", -1)
    read = {}
    for key in condition.keys:
        instances = measured.get(str(key), ())
        if not -len(instances) <= index < len(instances):
            raise ValueError(
                f"an operation is controlled by the measurement key {key}"
                f"{f' [{index}]' if instances else ''}, which is not measured before it"
            )
        if instances[index].confusion:
            raise ValueError(
                f"the measurement key {key} has a confusion_map and controls an operation, which cannot be sent: "
                "measure without the map, and use a backend that has a noise model"
            )
        read[key] = instances
    bits = [bit for instances in read.values() for bit in instances[index].register]
    if isinstance(condition, cirq.KeyCondition):
        # Any bit is enough, so that there is no limit to their number.
        masks = itertools.chain.from_iterable(instances[index].inverted for instances in read.values())
        return _any([_literal(bit, bool(inverted)) for bit, inverted in zip(bits, masks, strict=True)])
    if len(bits) > _MOST_BITS:
        raise ValueError(
            f"the condition {condition} depends on {len(bits)} measured bits, and at most {_MOST_BITS} are possible: "
            "measure what it needs into a key of its own"
        )
    table = np.zeros((2,) * len(bits), dtype=bool)
    for values in np.ndindex(table.shape):
        table[values] = condition.resolve(_store(read, index, values))
    return _formula(table, bits)


def _store(
    read: Mapping[cirq.MeasurementKey, Sequence[Measurement]], index: int, values: tuple[int, ...]
) -> cirq.ClassicalDataDictionaryStore:
    """Return what Cirq would have recorded had these bits been measured."""
    store = cirq.ClassicalDataDictionaryStore()
    left = iter(values)
    for key, instances in read.items():
        chosen = instances[index]
        qubits = cirq.LineQubit.range(len(chosen.register))
        recorded = [int(next(left)) ^ int(inverted) for inverted in chosen.inverted]
        for instance in instances:
            store.record_measurement(key, recorded if instance is chosen else [0] * len(qubits), qubits)
    return store


def _formula(table: NDArray[np.bool_], bits: Sequence[Clbit]) -> expr.Expr | bool:
    """Return the function that has these values, by Shannon's expansion over its first bit."""
    if table.all():
        return True
    if not table.any():
        return False
    low, high = table
    if np.array_equal(low, high):
        return _formula(low, bits[1:])
    return _any(
        [
            both(_literal(bits[0], inverted), formula)
            for inverted, half in ((True, low), (False, high))
            if (formula := _formula(half, bits[1:])) is not False
        ]
    )


def _literal(bit: Clbit, inverted: bool) -> expr.Expr:
    return expr.logic_not(bit) if inverted else expr.lift(bit)


def both(left: expr.Expr | bool, right: expr.Expr | bool) -> expr.Expr | bool:
    """Return the conjunction."""
    if left is False or right is False:
        return False
    if left is True:
        return right
    return left if right is True else expr.logic_and(left, right)


def _any(terms: Sequence[expr.Expr]) -> expr.Expr:
    first, *others = terms
    for term in others:
        first = expr.logic_or(first, term)
    return first
