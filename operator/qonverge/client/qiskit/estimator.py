"""Qiskit's EstimatorV2 on a backend."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import BaseEstimatorV2, DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.quantum_info import SparseObservable, SparsePauliOp

from qonverge.client import numbers
from qonverge.client.qiskit.jobs import PrimitiveJob, Sender
from qonverge.client.qiskit.modes import runner_of
from qonverge.client.qiskit.options import EstimatorOptions
from qonverge.client.qiskit.task_builder import TaskBuilder
from qonverge.client.seeds import Seed
from qonverge.client.transport.circuits import CircuitCache, before_measurements, flat_parameters
from qonverge.wire import messages
from qonverge.wire.messages import Observable, TaskResult

_ONE_PAIR = np.zeros((1, 2), dtype=np.int32)
_PROJECTORS = frozenset("01+-rl")


class EstimatorV2(BaseEstimatorV2):  # type: ignore[misc]  # qiskit ships no types
    """Estimates expectation values; parameters and observables broadcast against each other.

    A precision of 0, the default, asks for exact values, which simulators have. As in jobs, values are about the state
    before the measurements that end a circuit; those that act on what follows stay.
    """

    def __init__(
        self,
        mode: Any = None,
        options: EstimatorOptions | Mapping[str, Any] | None = None,
        *,
        default_precision: float | None = None,
        seed: Seed = None,
    ) -> None:
        """Without arguments the job's environment says where to run, how precisely and with which seed.

        Args:
            mode: a ``QonvergeBackend``, a ``Session`` or ``Batch``, or what ``connect`` returns.
            options: see ``EstimatorOptions``.
            default_precision: the option of this name.
            seed: the option ``seed_estimator``.

        Raises:
            AttributeError, TypeError, ValueError: an argument or option is none; the message names it.
        """
        self._options = EstimatorOptions.of(options)
        if default_precision is not None:
            self._options.default_precision = default_precision
        if seed is not None:
            self._options.seed_estimator = seed
        self._job_shots = numbers.shots_from_environment()
        self._job_precision = float(os.environ.get("QONVERGE_PRECISION") or 0.0)
        self._sender = Sender(runner_of(mode))
        self._circuits = CircuitCache(before_measurements)

    @property
    def options(self) -> EstimatorOptions:
        """Options, which may be set at any time and hold from the next run on."""
        return self._options

    @property
    def default_precision(self) -> float:
        """Standard error wanted where a pub names none."""
        own = self._options.default_precision
        return self._job_precision if own is None else own

    @property
    def seed(self) -> Seed:
        """Seed of each task, or what draws them."""
        return self._options.seed_estimator

    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> PrimitiveJob:
        """Start the pubs as one task.

        Raises:
            TypeError, ValueError: a pub or a precision is none; the message says what is wrong.
        """
        shots = self._options.default_shots
        if shots is None and self._options.default_precision is None:
            shots = self._job_shots
        # Shots stand for a precision where neither a pub nor this call names one.
        default = None if shots else self.default_precision
        if precision is not None:
            default = numbers.precision(precision)
        asked = [_Asked.of(EstimatorPub.coerce(pub, default), shots) for pub in pubs]
        builder = TaskBuilder(self._circuits)
        for each in asked:
            each.add_to(builder)
        sent = self._sender.send(builder.task(self.seed))
        return PrimitiveJob(sent, lambda result: _convert(asked, result))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A pub, and the (parameter set, observable) pairs that broadcasting asks for."""

    pub: EstimatorPub
    shots: int | None
    precision: float
    """Standard error wanted; 0: exact, or as the shots make it."""
    distinct: tuple[Observable, ...]
    """Each observable once."""
    pairs: NDArray[np.int32]

    @classmethod
    def of(cls, pub: EstimatorPub, shots: int | None) -> _Asked:
        wanted = 0.0 if pub.precision is None else numbers.precision(pub.precision)
        shots = shots if pub.precision is None else None
        if not pub.shape:
            # What an optimiser asks for, turn after turn.
            return cls(pub, shots, wanted, (_paulis(pub.observables[()]),), _ONE_PAIR)
        sets = np.broadcast_to(np.arange(pub.parameter_values.size).reshape(pub.parameter_values.shape), pub.shape)
        distinct: dict[Observable, int] = {}
        indices = np.empty(pub.observables.shape, dtype=np.int32)
        for place in np.ndindex(pub.observables.shape):
            indices[place] = distinct.setdefault(_paulis(pub.observables[place]), len(distinct))
        pairs = np.stack([sets.ravel(), np.broadcast_to(indices, pub.shape).ravel()], axis=-1).astype(np.int32)
        if not pub.circuit.num_parameters and not wanted and shots is None:
            # All sets are the same, and what is exact need not be computed again.
            pairs[:, 0] = 0
        return cls(pub, shots, wanted, tuple(distinct), pairs)

    @property
    def rows(self) -> list[NDArray[np.intp]]:
        """Which of the pairs each pub of the task answers; one answers all where parameters tell the sets apart."""
        if not len(self.pairs):
            return []
        if len(self.pairs) == 1 or self.pub.circuit.num_parameters:
            return [np.arange(len(self.pairs))]
        return [np.flatnonzero(self.pairs[:, 0] == index) for index in np.unique(self.pairs[:, 0])]

    def add_to(self, builder: TaskBuilder) -> None:
        parameters = flat_parameters(self.pub.circuit, self.pub.parameter_values)
        for rows in self.rows:
            pairs = self.pairs[rows] if self.pub.shape else None
            if pairs is not None and not parameters:
                pairs[:, 0] = 0
            builder.add(
                self.pub.circuit,
                parameters=parameters,
                shots=self.shots,
                precision=self.precision or None,
                observables=self.distinct,
                pairs=pairs,
            )

    def result(self, answers: Iterator[messages.PubResult]) -> PubResult:
        values, errors = np.zeros(len(self.pairs)), np.zeros(len(self.pairs))
        metadata = {
            "target_precision": self.precision,
            "shots": self.shots,
            "circuit_metadata": self.pub.circuit.metadata,
            "method": "",
        }
        for rows in self.rows:
            answer = next(answers)
            assert answer.expectation_values is not None
            assert answer.standard_errors is not None
            values[rows], errors[rows] = answer.expectation_values.ravel(), answer.standard_errors.ravel()
            metadata |= {"shots": answer.shots, "method": answer.method}
        shape = self.pub.shape
        return PubResult(DataBin(evs=values.reshape(shape), stds=errors.reshape(shape), shape=shape), metadata)


def _paulis(observable: Mapping[str, float]) -> Observable:
    """Return the observable as a sum of Pauli terms; Qiskit's projectors (0, 1, +, -, r, l) are expanded."""
    if not any(_PROJECTORS.intersection(label) for label in observable):
        return tuple((label, float(coefficient.real)) for label, coefficient in observable.items())
    terms = SparsePauliOp.from_sparse_observable(SparseObservable.from_list(list(observable.items())).as_paulis())
    return tuple((label, float(coefficient.real)) for label, coefficient in terms.simplify().to_list())


def _convert(asked: Sequence[_Asked], result: TaskResult) -> PrimitiveResult[Any]:
    answers = iter(result.results)
    converted = [each.result(answers) for each in asked]
    if result.cached:
        for each in converted:
            each.metadata["cached"] = True
    return PrimitiveResult(converted, metadata={"version": 2, "engine": result.engine, "seed": result.seed})
