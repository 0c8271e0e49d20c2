"""Qiskit's SamplerV2 on a backend."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from qiskit.primitives import BaseSamplerV2, BitArray, DataBin, PrimitiveResult, SamplerPubResult
from qiskit.primitives.containers.sampler_pub import SamplerPub, SamplerPubLike

from qonverge.client.circuits import CircuitCache, flat_parameters
from qonverge.client.connect import Runner, connect
from qonverge.client.jobs import PrimitiveJob, Sender, new_id
from qonverge.wire.messages import Pub, Task, TaskResult

DEFAULT_SHOTS = 1024


class SamplerV2(BaseSamplerV2):  # type: ignore[misc]  # qiskit ships no types
    """Samples circuits; every pub may have parameters that broadcast and shots of its own."""

    def __init__(
        self, connection: Runner | None = None, *, default_shots: int | None = None, seed: int | None = None
    ) -> None:
        """Without arguments the job's environment says where to run, with how many shots and which seed."""
        self._sender = Sender(connection or connect())
        self._shots = default_shots or int(os.environ.get("QONVERGE_SHOTS", DEFAULT_SHOTS))
        self._seed = seed if seed is not None else seed_from_environment()
        self._circuits = CircuitCache()

    def run(self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None) -> PrimitiveJob:
        """Start the pubs as one task."""
        coerced = [SamplerPub.coerce(pub, shots or self._shots) for pub in pubs]
        circuits: dict[str, bytes] = {}
        sent = []
        for pub in coerced:
            if not pub.circuit.cregs:
                raise ValueError("a circuit has no classical register: measure into one, for example by measure_all()")
            digest, qpy = self._circuits.travel(pub.circuit)
            circuits[digest] = qpy
            sent.append(Pub(digest, flat_parameters(pub.circuit, pub.parameter_values), shots=pub.shots))
        task = Task(new_id(), tuple(sent), circuits, self._seed, memory=True)
        return PrimitiveJob(self._sender.send(task), lambda result: _convert(coerced, result))


def seed_from_environment() -> int | None:
    """Return the job's seed."""
    text = os.environ.get("QONVERGE_SEED")
    return int(text) if text else None


def _convert(pubs: list[SamplerPub], result: TaskResult) -> PrimitiveResult[Any]:
    converted = []
    for pub, data in zip(pubs, result.results, strict=True):
        arrays = {
            name: BitArray(raw.reshape(*pub.shape, *raw.shape[1:]), bits)
            for name, (bits, raw) in data.registers.items()
        }
        metadata = {"shots": data.shots, "circuit_metadata": pub.circuit.metadata, "method": data.method}
        converted.append(SamplerPubResult(DataBin(**arrays, shape=pub.shape), metadata))
    return PrimitiveResult(converted, metadata={"version": 2, "engine": result.engine, "seed": result.seed})
