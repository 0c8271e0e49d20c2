"""Qiskit's EstimatorV2 on a backend."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from qiskit.primitives import BaseEstimatorV2, DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.quantum_info import SparseObservable, SparsePauliOp

from qonverge.client.circuits import CircuitCache, before_measurements, flat_parameters
from qonverge.client.connect import Runner, connect
from qonverge.client.jobs import PrimitiveJob, Sender, new_id
from qonverge.client.seeds import seed_of_task
from qonverge.wire.messages import Observable, Pub, Task, TaskResult

_PROJECTORS = frozenset("01+-rl")


class EstimatorV2(BaseEstimatorV2):  # type: ignore[misc]  # qiskit ships no types
    """Estimates expectation values; parameters and observables broadcast against each other.

    A precision of 0, the default, asks for exact values, which simulators have. As in jobs, values are about the state
    before the measurements that end a circuit; those that act on what follows stay.
    """

    def __init__(
        self,
        connection: Runner | None = None,
        *,
        default_precision: float | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        """Without arguments the job's environment says where to run, how precisely and with which seed."""
        self._sender = Sender(connection or connect())
        self._shots = int(os.environ["QONVERGE_SHOTS"]) if os.environ.get("QONVERGE_SHOTS") else None
        environment = float(os.environ.get("QONVERGE_PRECISION") or 0.0)
        self._precision = environment if default_precision is None else default_precision
        if default_precision is not None:
            self._shots = None
        self._seed = seed
        self._circuits = CircuitCache(before_measurements)

    @property
    def default_precision(self) -> float:
        """Standard error wanted where a pub names none."""
        return self._precision

    @property
    def seed(self) -> int | np.random.Generator | None:
        """Seed of each task, or what draws them."""
        return self._seed

    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> PrimitiveJob:
        """Start the pubs as one task."""
        default = self._precision if precision is None else precision
        coerced = [EstimatorPub.coerce(pub, default) for pub in pubs]
        circuits: dict[str, bytes] = {}
        sent = []
        for pub in coerced:
            digest, qpy = self._circuits.travel(pub.circuit)
            circuits[digest] = qpy
            sent.append(self._pub(digest, pub))
        task = Task(new_id(), tuple(sent), circuits, seed_of_task(self._seed))
        return PrimitiveJob(self._sender.send(task), lambda result: _convert(coerced, result))

    def _pub(self, digest: str, pub: EstimatorPub) -> Pub:
        """Return the pub with each distinct observable once, and the pairs that broadcasting asks for."""
        parameters = flat_parameters(pub.circuit, pub.parameter_values)
        exact = not pub.precision
        shots = self._shots if exact else None
        precision = None if exact else pub.precision
        if not pub.shape:
            # What an optimiser asks for, turn after turn.
            return Pub(digest, parameters, shots, precision, (_paulis(pub.observables[()]),))
        sets = np.broadcast_to(np.arange(pub.parameter_values.size).reshape(pub.parameter_values.shape), pub.shape)
        distinct: dict[Observable, int] = {}
        indices = np.empty(pub.observables.shape, dtype=np.int32)
        for place in np.ndindex(pub.observables.shape):
            observable = _paulis(pub.observables[place])
            indices[place] = distinct.setdefault(observable, len(distinct))
        wanted = np.broadcast_to(indices, pub.shape)
        pairs = np.stack([sets.ravel(), wanted.ravel()], axis=-1).astype(np.int32)
        return Pub(digest, parameters, shots, precision, tuple(distinct), pairs)


def _paulis(observable: Mapping[str, float]) -> Observable:
    """Return the observable as a sum of Pauli terms; Qiskit's projectors (0, 1, +, -, r, l) are expanded."""
    if not any(_PROJECTORS.intersection(label) for label in observable):
        return tuple((label, float(coefficient.real)) for label, coefficient in observable.items())
    terms = SparsePauliOp.from_sparse_observable(SparseObservable.from_list(list(observable.items())).as_paulis())
    return tuple((label, float(coefficient.real)) for label, coefficient in terms.simplify().to_list())


def _convert(pubs: list[EstimatorPub], result: TaskResult) -> PrimitiveResult[Any]:
    converted = []
    for pub, data in zip(pubs, result.results, strict=True):
        assert data.expectation_values is not None
        assert data.standard_errors is not None
        values = data.expectation_values.reshape(pub.shape)
        errors = data.standard_errors.reshape(pub.shape)
        metadata = {
            "target_precision": pub.precision,
            "shots": data.shots,
            "circuit_metadata": pub.circuit.metadata,
            "method": data.method,
        }
        if result.cached:
            metadata["cached"] = True
        converted.append(PubResult(DataBin(evs=values, stds=errors, shape=pub.shape), metadata))
    return PrimitiveResult(converted, metadata={"version": 2, "engine": result.engine, "seed": result.seed})
