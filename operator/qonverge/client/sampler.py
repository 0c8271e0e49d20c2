"""Qiskit's SamplerV2 on a backend."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from qiskit.primitives import BaseSamplerV2, DataBin, PrimitiveResult, SamplerPubResult
from qiskit.primitives.containers.sampler_pub import SamplerPub, SamplerPubLike

from qonverge.circuits.final_operations import without_final_resets
from qonverge.circuits.runs import DEFAULT_SHOTS
from qonverge.client.bits import Bits
from qonverge.client.circuits import CircuitCache, flat_parameters
from qonverge.client.connect import Runner, connect
from qonverge.client.jobs import PrimitiveJob, Sender, new_id
from qonverge.client.seeds import seed_of_task
from qonverge.wire.messages import Pub, PubResult, Task, TaskResult


class SamplerV2(BaseSamplerV2):  # type: ignore[misc]  # qiskit ships no types
    """Samples circuits; every pub may have parameters that broadcast and shots of its own."""

    def __init__(
        self,
        connection: Runner | None = None,
        *,
        default_shots: int | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        """Without arguments the job's environment says where to run, with how many shots and which seed."""
        self._sender = Sender(connection or connect())
        self._shots = default_shots or int(os.environ.get("QONVERGE_SHOTS", DEFAULT_SHOTS))
        self._seed = seed
        self._circuits = CircuitCache(without_final_resets)

    @property
    def default_shots(self) -> int:
        """Runs of each parameter set where a pub names none."""
        return self._shots

    @property
    def seed(self) -> int | np.random.Generator | None:
        """Seed of each task, or what draws them."""
        return self._seed

    def run(self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None) -> PrimitiveJob:
        """Start the pubs as one task."""
        coerced = [SamplerPub.coerce(pub, self._shots if shots is None else shots) for pub in pubs]
        circuits: dict[str, bytes] = {}
        sent = []
        for pub in coerced:
            if not pub.circuit.cregs:
                warnings.warn(
                    f"the circuit {pub.circuit.name} has no classical register, so that its result is empty: measure "
                    "into one, for example by measure_all()",
                    stacklevel=2,
                )
                continue
            digest, qpy = self._circuits.travel(pub.circuit)
            circuits[digest] = qpy
            sent.append(Pub(digest, flat_parameters(pub.circuit, pub.parameter_values), shots=pub.shots))
        task = Task(new_id(), tuple(sent), circuits, seed_of_task(self._seed), memory=True)
        return PrimitiveJob(self._sender.send(task), lambda result: _convert(coerced, result))


def _convert(pubs: list[SamplerPub], result: TaskResult) -> PrimitiveResult[Any]:
    converted = []
    measured = iter(result.results)
    for pub in pubs:
        data = next(measured) if pub.circuit.cregs else PubResult(shots=pub.shots)
        arrays = {
            name: Bits(raw.reshape(*pub.shape, *raw.shape[1:]), bits) for name, (bits, raw) in data.registers.items()
        }
        metadata = {"shots": data.shots, "circuit_metadata": pub.circuit.metadata, "method": data.method}
        if result.cached:
            metadata["cached"] = True
        converted.append(SamplerPubResult(DataBin(**arrays, shape=pub.shape), metadata))
    return PrimitiveResult(converted, metadata={"version": 2, "engine": result.engine, "seed": result.seed})
