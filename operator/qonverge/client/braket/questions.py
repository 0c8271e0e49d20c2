"""What a circuit asks for: its result types, answered exactly or from samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from braket.circuits import Circuit, ResultType
from braket.circuits.circuit_helpers import validate_circuit_and_shots
from braket.circuits.observables import Sum, TensorProduct
from braket.circuits.result_type import ObservableResultType
from braket.ir import jaqcd
from braket.task_result import ResultTypeValue
from numpy.typing import NDArray

from qonverge.client.braket.circuits import qubits_of
from qonverge.client.braket.observables import observable, squared
from qonverge.wire.messages import Observable

State = NDArray[np.complex128]
"""Amplitudes, one axis of length 2 for each qubit, in ascending order of Braket's qubits."""
Answer = Callable[[NDArray[np.float64], State | None], Any]
"""Makes a value of the expectation values of all observables, and of the final state."""


@dataclass(frozen=True, eq=False)
class Questions:
    """The result types of a circuit, and what must be known to answer them exactly."""

    types: tuple[Any, ...] = ()
    """As results name them."""
    answers: tuple[Answer, ...] = ()
    observables: tuple[Observable, ...] = ()
    state: bool = False
    """Whether the final state must be known."""
    phase: bool = False
    """Whether its global phase matters."""

    @classmethod
    def of(cls, circuit: Circuit, *, sampled: bool) -> Questions:
        """Return the questions of a circuit; what is sampled Braket's results answer from their bits.

        Raises:
            ValueError: they cannot be asked together, or not this way, or there are none.
        """
        _check(circuit, sampled=sampled)
        types = tuple(_named(result_type) for result_type in circuit.result_types)
        if sampled:
            return cls(types)
        asking = _Asking(qubits_of(circuit))
        answers = tuple(asking.answer(result_type) for result_type in circuit.result_types)
        phase = any(isinstance(each, ResultType.StateVector | ResultType.Amplitude) for each in circuit.result_types)
        return cls(types, answers, tuple(asking.observables), asking.state, phase)

    def values(self, expectations: NDArray[np.float64], state: State | None) -> list[ResultTypeValue]:
        """Return the exact values of all result types."""
        return [
            ResultTypeValue.construct(type=kind, value=answer(expectations, state))
            for kind, answer in zip(self.types, self.answers, strict=True)
        ]


def _check(circuit: Circuit, *, sampled: bool) -> None:
    for each in circuit.result_types:
        if isinstance(each, ResultType.AdjointGradient):
            raise ValueError(
                "AdjointGradient cannot be sent: ask for an Expectation, with inputs that are shifted, by run_batch"
            )
        if sampled and isinstance(each, ResultType.DensityMatrix):
            raise ValueError("DensityMatrix cannot be specified when shots>0")
        if not sampled and isinstance(each, ResultType.Sample):
            raise ValueError("Sample can only be specified when shots>0")
        if sampled and isinstance(each, ObservableResultType) and not _is_plain(each.observable):
            raise ValueError(
                f"{each} is of a sum or has a coefficient, which samples are not counted for: ask for its terms, each "
                "as a result type without a coefficient, and add them up"
            )
    validate_circuit_and_shots(circuit, int(sampled))


def _is_plain(given: Any) -> bool:
    factors = given.factors if isinstance(given, TensorProduct) else (given,)
    return not isinstance(given, Sum) and all(each.coefficient == 1 for each in (given, *factors))


@dataclass(eq=False)
class _Asking:
    qubits: tuple[int, ...]
    observables: list[Observable] = field(default_factory=list)
    state: bool = False

    def answer(self, asked: ResultType) -> Answer:
        if isinstance(asked, ObservableResultType):
            if isinstance(asked.observable, Sum):
                return self._sum(asked)
            value = self._variance if isinstance(asked, ResultType.Variance) else self._expectation
            if asked.target:
                return value(asked.observable, [int(qubit) for qubit in asked.target])
            each = [value(asked.observable, [qubit]) for qubit in self.qubits]
            return lambda expectations, state: [one(expectations, state) for one in each]
        self.state = True
        if isinstance(asked, ResultType.StateVector):
            return lambda _, state: _known(state).ravel()
        if isinstance(asked, ResultType.Amplitude):
            return self._amplitude(asked)
        axes = self._axes(asked.target)
        if isinstance(asked, ResultType.Probability):
            return lambda _, state: np.sum(np.abs(_first(_known(state), axes)) ** 2, axis=1)
        return lambda _, state: _outer(_first(_known(state), axes))

    def _expectation(self, given: Any, target: Sequence[int]) -> Answer:
        place = self._place(observable(given, [target], self.qubits))
        return lambda expectations, _: float(expectations[place])

    def _variance(self, given: Any, target: Sequence[int]) -> Answer:
        mean = self._place(observable(given, [target], self.qubits))
        square = self._place(squared(given, target, self.qubits))
        # Rounding may make it negative.
        return lambda expectations, _: max(0.0, float(expectations[square] - expectations[mean] ** 2))

    def _sum(self, asked: ResultType) -> Answer:
        if not isinstance(asked, ResultType.Expectation) or not asked.target:
            raise ValueError(f"{asked} is of a sum: ask for the Expectation of a sum whose terms have targets")
        target = [[int(qubit) for qubit in each] for each in asked.target]
        place = self._place(observable(asked.observable, target, self.qubits))
        return lambda expectations, _: float(expectations[place])

    def _amplitude(self, asked: ResultType) -> Answer:
        for state in asked.state:
            if len(state) != len(self.qubits):
                raise ValueError(
                    f"the state {state} of Amplitude has {len(state)} bits and the circuit {len(self.qubits)} qubits: "
                    "give one bit for each"
                )
        places = {state: tuple(map(int, state)) for state in asked.state}
        return lambda _, state: {name: complex(_known(state)[place]) for name, place in places.items()}

    def _axes(self, target: Sequence[Any]) -> list[int]:
        for qubit in target or ():
            if int(qubit) not in self.qubits:
                raise ValueError(f"a result type is asked of qubit {int(qubit)}, which the circuit does not use")
        return [self.qubits.index(int(qubit)) for qubit in target] if target else list(range(len(self.qubits)))

    def _place(self, wanted: Observable) -> int:
        if wanted not in self.observables:
            self.observables.append(wanted)
        return self.observables.index(wanted)


def _known(state: State | None) -> State:
    assert state is not None
    return state


def _first(state: State, axes: Sequence[int]) -> NDArray[np.complex128]:
    """Return the state as a matrix: rows are the states of the qubits on these axes, columns those of the others."""
    return np.moveaxis(state, axes, range(len(axes))).reshape(2 ** len(axes), -1)


def _outer(rows: NDArray[np.complex128]) -> NDArray[np.complex128]:
    return rows @ rows.conj().T


def _named(asked: ResultType) -> Any:
    """Return the result type as results name it; of sums and coefficients Braket's form has only the text."""
    if isinstance(asked, ObservableResultType) and not _is_plain(asked.observable):
        kind = jaqcd.Variance if isinstance(asked, ResultType.Variance) else jaqcd.Expectation
        return kind.construct(observable=[str(asked.observable)], targets=None)
    return asked.to_ir()
