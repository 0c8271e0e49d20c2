"""Braket's free parameters as parameters of a Qiskit circuit."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
import sympy
from braket.parametric import FreeParameterExpression
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression

# A parameter's identity is part of QPY, and the same circuit must have the same digest in every process.
_NAMES = uuid.UUID("5d3f7f0e-0f1b-5a55-9c53-5a0f5e0a7b1d")

Number: TypeAlias = float | ParameterExpression
Inputs: TypeAlias = Mapping[str, Any]
"""Values by name: real numbers, or what else an OpenQASM program's inputs may be."""


class NeedsValues(Exception):
    """An instruction cannot be translated before its free parameters have values."""


class Symbols:
    """Each different expression of a circuit becomes one parameter, whose values are computed here.

    So every function of sympy is possible, and the circuit travels once for all values.
    """

    def __init__(self, values: Inputs | None = None) -> None:
        """With values every expression becomes a number."""
        self._values = values
        self._parameters: dict[sympy.Expr, Parameter] = {}

    def __len__(self) -> int:
        return len(self._parameters)

    def number(self, value: float | FreeParameterExpression) -> Number:
        """Return a number, or the parameter that stands for an expression.

        Raises:
            ValueError: the expression has no value that is real and finite.
        """
        if not isinstance(value, FreeParameterExpression):
            return float(value)
        expression = sympy.sympify(value.expression)
        if not expression.free_symbols:
            return float(expression)
        if self._values is not None:
            return float(_evaluated([expression], [self._values])[0][0])
        if expression not in self._parameters:
            name = f"p{len(self._parameters)}"
            self._parameters[expression] = Parameter(name, uuid=uuid.uuid5(_NAMES, name))
        return self._parameters[expression]

    def values(self, inputs: Sequence[Inputs]) -> dict[str, NDArray[np.float64]]:
        """Return the values of every parameter, one per inputs.

        Raises:
            ValueError: a free parameter has no value, or an expression none that is real and finite.
        """
        columns = _evaluated(list(self._parameters), inputs, self._function) if self._parameters else []
        return {parameter.name: column for parameter, column in zip(self._parameters.values(), columns, strict=True)}

    @cached_property
    def _function(self) -> Callable[..., list[Any]]:
        return _function(list(self._parameters))


def _free(expressions: Sequence[sympy.Expr]) -> list[sympy.Symbol]:
    return sorted({symbol for expression in expressions for symbol in expression.free_symbols}, key=str)


def _function(expressions: Sequence[sympy.Expr]) -> Callable[..., list[Any]]:
    """Return all expressions as one function of arrays."""
    function: Callable[..., list[Any]] = sympy.lambdify(_free(expressions), list(expressions), modules="numpy")
    return function


def _evaluated(
    expressions: Sequence[sympy.Expr], inputs: Sequence[Inputs], function: Callable[..., list[Any]] | None = None
) -> list[NDArray[np.float64]]:
    given = [np.array([_real(symbol.name, each) for each in inputs]) for symbol in _free(expressions)]
    with np.errstate(all="ignore"):
        computed = (function or _function(expressions))(*given)
    columns = []
    for expression, column in zip(expressions, computed, strict=True):
        array = np.asarray(column)
        if np.iscomplexobj(array) or not np.isfinite(array).all():
            raise ValueError(f"{expression} is not a real, finite number for all the inputs")
        columns.append(np.ascontiguousarray(np.broadcast_to(array, len(inputs)), dtype=np.float64))
    return columns


def _real(name: str, inputs: Inputs) -> float:
    if name not in inputs:
        raise ValueError(
            f"Cannot execute circuit with unbound parameters: {name} has no value in {dict(inputs)}, give one in inputs"
        )
    value = inputs[name]
    if not isinstance(value, Real) or not np.isfinite(float(value)):
        raise ValueError(f"the input {name} is {value!r}: give a real, finite number")
    return float(value)
