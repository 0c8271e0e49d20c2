"""Symbols of a Cirq circuit as parameters of a Qiskit circuit."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import cirq
import numpy as np
import sympy
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression

# A parameter's identity is part of QPY, and the same circuit must have the same digest in every process.
_NAMES = uuid.UUID("0c9be2b2-7a55-5b0c-8a8d-3b1b6a0f3c1e")

Number: TypeAlias = float | ParameterExpression


class NeedsValues(Exception):
    """An operation cannot be translated before its symbols have values."""


class Symbols:
    """Each different expression of a circuit becomes one parameter, whose values are computed here.

    So every function of sympy is possible, and the circuit travels once for all values.
    """

    def __init__(self) -> None:
        """Start without expressions."""
        self._parameters: dict[sympy.Expr, Parameter] = {}

    def __len__(self) -> int:
        return len(self._parameters)

    def number(self, value: Any) -> Number:
        """Return a number, or the parameter that stands for an expression."""
        if not (isinstance(value, sympy.Basic) and value.free_symbols):
            return float(value)
        if value not in self._parameters:
            name = f"p{len(self._parameters)}"
            self._parameters[value] = Parameter(name, uuid=uuid.uuid5(_NAMES, name))
        return self._parameters[value]

    def values(self, resolvers: Sequence[cirq.ParamResolver]) -> dict[str, NDArray[np.float64]]:
        """Return the values of every parameter, one per resolver.

        Raises:
            ValueError: a symbol has no value, or none that is real and finite.
        """
        if not self._parameters:
            return {}
        given = {symbol: np.array([_real(symbol, resolver) for resolver in resolvers]) for symbol in self._free}
        with np.errstate(all="ignore"):
            computed = self._function(*given.values())
        values = {}
        for (expression, parameter), column in zip(self._parameters.items(), computed, strict=True):
            array = np.asarray(column)
            if np.iscomplexobj(array) or not np.isfinite(array).all():
                raise ValueError(f"{expression} is not a real, finite number for all the values of its symbols")
            values[parameter.name] = np.ascontiguousarray(np.broadcast_to(array, len(resolvers)), dtype=np.float64)
        return values

    @cached_property
    def _free(self) -> list[sympy.Symbol]:
        return sorted({symbol for expression in self._parameters for symbol in expression.free_symbols}, key=str)

    @cached_property
    def _function(self) -> Callable[..., list[Any]]:
        """All expressions as one function of arrays."""
        function: Callable[..., list[Any]] = sympy.lambdify(self._free, list(self._parameters), modules="numpy")
        return function


def _real(symbol: sympy.Symbol, resolver: cirq.ParamResolver) -> float:
    value = resolver.value_of(symbol)
    if isinstance(value, sympy.Basic) and value.free_symbols:
        raise ValueError(f"the circuit's symbol {symbol} has no value in {resolver}: give one in the parameters")
    number = complex(value)
    if number.imag or not np.isfinite(number.real):
        raise ValueError(f"the symbol {symbol} has the value {value}: give a real, finite number")
    return number.real
