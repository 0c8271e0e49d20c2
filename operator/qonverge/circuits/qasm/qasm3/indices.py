"""Indices and ranges: OpenQASM 3 specification, "Types and casting", on slicing registers and arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openqasm3 import ast

from qonverge.circuits.qasm.qasm3.values import Fault

if TYPE_CHECKING:
    from qonverge.circuits.qasm.qasm3.expressions import Expressions


def positions(values: Expressions, index: ast.IndexElement, size: int, name: str) -> tuple[list[int], bool]:
    """Return the positions, from 0, that an index to so many elements means, and whether it is a single one.

    Negative indices count from the end. A range includes both its ends, which it approaches in its step.

    Raises:
        Fault: an index is out of range.
    """
    if isinstance(index, ast.DiscreteSet):
        return [_within(values.integer(item), size, name) for item in index.values], False
    if len(index) != 1:
        raise Fault(f"{len(index)} indices to {name!r}", "one, or a set in braces")
    (item,) = index
    if not isinstance(item, ast.RangeDefinition):
        return [_within(values.integer(item), size, name)], True
    step = 1 if item.step is None else values.integer(item.step)
    if step == 0:
        raise Fault("a range in steps of 0", "another step")
    first, last = (0, size - 1) if step > 0 else (size - 1, 0)
    if not size:
        return [], False
    start = first if item.start is None else _within(values.integer(item.start), size, name)
    end = last if item.end is None else _within(values.integer(item.end), size, name)
    return list(range(start, end + (1 if step > 0 else -1), step)), False


def _within(index: int, size: int, name: str) -> int:
    if not -size <= index < size:
        raise Fault(f"index {index} is out of range: register {name!r} has the size {size}", f"an index below {size}")
    return index % size
