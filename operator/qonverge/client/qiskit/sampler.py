"""Qiskit's SamplerV2 on a backend."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives import BaseSamplerV2, DataBin, PrimitiveResult, SamplerPubResult
from qiskit.primitives.containers.sampler_pub import SamplerPub, SamplerPubLike

from qonverge.circuits.analysis.final_operations import without_final_resets
from qonverge.circuits.analysis.measurement_plan import DEFAULT_SHOTS
from qonverge.client import numbers
from qonverge.client.qiskit.bits import Bits
from qonverge.client.qiskit.jobs import PrimitiveJob, Sender
from qonverge.client.qiskit.modes import runner_of
from qonverge.client.qiskit.options import SamplerOptions
from qonverge.client.qiskit.task_builder import TaskBuilder
from qonverge.client.seeds import Seed
from qonverge.client.transport.circuits import CircuitCache, flat_parameters, times
from qonverge.wire.messages import PubResult, TaskResult


class SamplerV2(BaseSamplerV2):  # type: ignore[misc]  # qiskit ships no types
    """Samples circuits; every pub may have parameters that broadcast and shots of its own."""

    def __init__(
        self,
        mode: Any = None,
        options: SamplerOptions | Mapping[str, Any] | None = None,
        *,
        default_shots: int | None = None,
        seed: Seed = None,
    ) -> None:
        """Without arguments the job's environment says where to run, with how many shots and which seed.

        Args:
            mode: a ``QonvergeBackend``, a ``Session`` or ``Batch``, or what ``connect`` returns.
            options: see ``SamplerOptions``.
            default_shots: the option of this name.
            seed: the option ``seed_simulator``.

        Raises:
            AttributeError, TypeError, ValueError: an argument or option is none; the message names it.
        """
        self._options = SamplerOptions.of(options)
        if default_shots is not None:
            self._options.default_shots = default_shots
        if seed is not None:
            self._options.seed_simulator = seed
        self._from_environment = numbers.shots_from_environment() or DEFAULT_SHOTS
        self._sender = Sender(runner_of(mode))
        self._circuits = CircuitCache(without_final_resets)

    @property
    def options(self) -> SamplerOptions:
        """Options, which may be set at any time and hold from the next run on."""
        return self._options

    @property
    def default_shots(self) -> int:
        """Runs of each parameter set where a pub names none."""
        return self._options.default_shots or self._from_environment

    @property
    def seed(self) -> Seed:
        """Seed of each task, or what draws them."""
        return self._options.seed_simulator

    def run(self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None) -> PrimitiveJob:
        """Start the pubs as one task.

        Raises:
            TypeError, ValueError: a pub or a number of shots is none; the message says what is wrong.
        """
        default = self.default_shots if shots is None else numbers.shots(shots)
        coerced = [SamplerPub.coerce(pub, default) for pub in pubs]
        builder = TaskBuilder(self._circuits)
        for pub in coerced:
            if not pub.circuit.cregs:
                warnings.warn(
                    f"the circuit {pub.circuit.name} has no classical register, so that its result is empty: measure "
                    "into one, for example by measure_all()",
                    stacklevel=2,
                )
            parameters, own = flat_parameters(pub.circuit, pub.parameter_values), numbers.shots(pub.shots)
            for _ in range(_runs(pub)):
                builder.add(pub.circuit, parameters=parameters, shots=own)
        task = builder.task(self.seed, memory=True)
        return PrimitiveJob(self._sender.send(task), lambda result: _convert(coerced, result))


def _runs(pub: SamplerPub) -> int:
    """Return how many pubs of the task answer a pub."""
    return times(pub.circuit, pub.parameter_values) if pub.circuit.cregs and pub.size else 0


def _convert(pubs: list[SamplerPub], result: TaskResult) -> PrimitiveResult[Any]:
    converted = []
    measured = iter(result.results)
    for pub in pubs:
        answers = [next(measured) for _ in range(_runs(pub))]
        arrays = {
            register.name: Bits(raw.reshape(*pub.shape, *raw.shape[1:]), register.size)
            for register, raw in zip(pub.circuit.cregs, _raw(pub.circuit, answers, pub.shots), strict=True)
        }
        metadata = {
            "shots": int(pub.shots),
            "circuit_metadata": pub.circuit.metadata,
            "method": answers[0].method if answers else "",
        }
        if result.cached:
            metadata["cached"] = True
        converted.append(SamplerPubResult(DataBin(**arrays, shape=pub.shape), metadata))
    return PrimitiveResult(converted, metadata={"version": 2, "engine": result.engine, "seed": result.seed})


def _raw(circuit: QuantumCircuit, answers: Sequence[PubResult], shots: int) -> Iterable[NDArray[np.uint8]]:
    """Yield each register's bytes, shape (sets, shots, bytes)."""
    for register in circuit.cregs:
        if not answers:
            yield np.zeros((0, shots, -(-register.size // 8)), dtype=np.uint8)
        elif len(answers) == 1:
            yield answers[0].registers[register.name][1]
        else:
            yield np.concatenate([answer.registers[register.name][1] for answer in answers])
