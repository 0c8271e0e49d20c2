"""A circuit with free parameters as a program with inputs: it is written once, whatever values are given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.circuit.exceptions import CircuitError

from qonverge.wire.errors import InvalidTask

Inputs = Mapping[str, ParameterExpression]
"""What each input of a program is of the parameters that values are given for."""


def with_inputs(circuit: QuantumCircuit) -> tuple[QuantumCircuit, Inputs]:
    """Return the circuit with a parameter of its own for each different expression, and the expressions.

    So no program has functions to compute, of which every cloud knows others.
    """
    names: dict[ParameterExpression, str] = {}

    def own(value: Any) -> Any:
        if not isinstance(value, ParameterExpression) or not value.parameters:
            return value
        return parameters[names.setdefault(value, f"p{len(names)}")]

    parameters = _Parameters()
    made = circuit.copy_empty_like()
    made.global_phase = own(circuit.global_phase)
    for item in circuit.data:
        operation = item.operation
        if any(isinstance(value, ParameterExpression) for value in operation.params):
            operation = operation.copy()
            operation.params = [own(value) for value in operation.params]
        made.append(operation, item.qubits, item.clbits, copy=False)
    return made, {name: expression for expression, name in names.items()}


class _Parameters(dict[str, Parameter]):
    def __missing__(self, name: str) -> Parameter:
        return self.setdefault(name, Parameter(name))


def values_of(inputs: Inputs, given: Mapping[str, float]) -> dict[str, float]:
    """Return the value of each input.

    Raises:
        InvalidTask: an expression has none that is real and finite.
    """
    found = {}
    for name, expression in inputs.items():
        own = {parameter: given[parameter.name] for parameter in expression.parameters}
        try:
            value = float(expression.bind(own))
        except (TypeError, ValueError, ArithmeticError, CircuitError):
            value = math.nan
        if not math.isfinite(value):
            told = ", ".join(f"{parameter.name} = {value!r}" for parameter, value in own.items())
            raise InvalidTask(f"the angle {expression} of a gate has no real, finite value with {told}")
        found[name] = value
    return found
