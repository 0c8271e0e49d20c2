"""What a worker process does: it opens QPY and runs circuits, one task at a time.

The first message is the configuration: a device's calibration is too long for an argument.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.opening import nothing, opened
from qonverge.backend.engines.protocol import load
from qonverge.backend.executors.peak_memory import PeakMemory
from qonverge.backend.task_parts import Block, Costs, Merge, cut, run_blocks
from qonverge.devices import Layout
from qonverge.wire.child_side import limit_memory, serve_requests
from qonverge.wire.errors import UnknownCircuit, engine_error
from qonverge.wire.messages import Observable, Pub, PubResult, Task

_PREPARED = 512


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A circuit as the provider runs it, and what the shape of its answers depends on."""

    runnable: Any
    num_qubits: int
    registers: Mapping[str, int]
    """Bits of each classical register."""


class Worker:
    """Runs tasks on a provider; prepared circuits are kept, the least recently used go first."""

    def __init__(self, config: EngineConfig) -> None:
        """Load the provider."""
        self._provider = load(config)
        self._prepared: OrderedDict[tuple[str, Layout | None], _Prepared] = OrderedDict()
        self.peak = PeakMemory()

    @property
    def calibration(self) -> str:
        """Digest of the calibration that the provider imitates; empty without one."""
        return self._provider.noise.digest if self._provider.noise is not None else ""

    def describe(self) -> dict[str, Any]:
        """Return what the provider can do."""
        provider = self._provider
        return {
            "version": provider.version,
            "methods": provider.methods,
            "basis_gates": provider.basis_gates,
            "calibration": None if provider.noise is None else provider.noise.to_dict(),
        }

    def run(self, task: Task, seed: int, threads: int) -> tuple[PubResult, ...]:
        """Run a whole task; as the workers of a server together would, with the same seeds."""
        (pieces,) = cut(task, seed, 1, Costs())
        own = replace(task, pubs=tuple(piece.pub for piece in pieces))
        merge, done = Merge(task.pubs), self.run_pubs(own, [piece.blocks for piece in pieces], threads)
        for piece, (result, _) in zip(pieces, done, strict=True):
            merge.put(piece, result)
        return merge.results()

    def run_pubs(self, task: Task, blocks: Sequence[Sequence[Block]], threads: int) -> list[tuple[PubResult, float]]:
        """Run a task's pubs in order; each in blocks that have seeds of their own, on so many threads.

        Returns:
            For each its result and the seconds that it took.
        """
        needed = dict.fromkeys((pub.circuit, pub.layout) for pub in task.pubs)
        if missing := [key[0] for key in needed if key not in self._prepared and key[0] not in task.circuits]:
            raise UnknownCircuit(f"{len(missing)} circuits are not known here", missing=missing)
        for digest, layout in needed:
            self._prepare(digest, layout, task.circuits)
        with self.peak.measured():
            results = [self._run_pub(task, pub, own, threads) for pub, own in zip(task.pubs, blocks, strict=True)]
        while len(self._prepared) > _PREPARED:
            self._prepared.popitem(last=False)
        return results

    def _run_pub(self, task: Task, pub: Pub, own: Sequence[Block], threads: int) -> tuple[PubResult, float]:
        began = time.perf_counter()
        prepared = self._prepared[pub.circuit, pub.layout]
        if pub.empty:
            return nothing(pub, prepared.num_qubits, prepared.registers, memory=task.memory), 0.0

        def run(block: Pub, seed: int) -> PubResult:
            if prepared.num_qubits:
                return self._provider.run(prepared.runnable, block, seed=seed, memory=task.memory, threads=threads)
            wide = replace(block, observables=tuple(_beside_idle(terms) for terms in block.observables))
            result = self._provider.run(prepared.runnable, wide, seed=seed, memory=task.memory, threads=threads)
            states = result.statevectors
            return result if states is None else replace(result, statevectors=states[:, :1])

        return run_blocks(pub, own, run), time.perf_counter() - began

    def _prepare(self, digest: str, layout: Layout | None, circuits: Any) -> None:
        if (digest, layout) in self._prepared:
            self._prepared.move_to_end((digest, layout))
            return
        circuit = opened(digest, circuits[digest])
        registers, num_qubits = {register.name: register.size for register in circuit.cregs}, circuit.num_qubits
        if not num_qubits:
            from qiskit.circuit import Qubit

            # Engines want a qubit: an idle one changes no answer.
            circuit.add_bits([Qubit()])
        runnable = self._provider.prepare(circuit, layout)
        self._prepared[digest, layout] = _Prepared(runnable, num_qubits, registers)


def _beside_idle(observable: Observable) -> Observable:
    """Return the observable of a circuit without qubits for the same one with an idle qubit."""
    return tuple((label + "I", coefficient) for label, coefficient in observable)


def serve(loaded: Callable[[], None]) -> None:
    """Serve until standard input ends; ``loaded`` is called once the provider is there."""
    worker: Worker | None = None

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal worker
        if "config" not in request:
            assert worker is not None, "the configuration is the first message"
            return _run(worker, request)
        config, first = EngineConfig.from_dict(request["config"]), worker is None
        try:
            worker = Worker(config)
            said = worker.describe()
        except LookupError as error:
            said = {"refused": str(error.args[0])}
        if first:
            loaded()
        if first and config.device == "CPU":
            # The second net below the estimates. A driver maps a GPU's memory into the process, which is none of
            # its own.
            limit_memory(config.circuit_bytes, config.cpus)
        return said

    serve_requests(answer, _failed)


def _failed(error: Exception) -> dict[str, Any]:
    return {"error": engine_error(error).to_dict()}


def _run(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    try:
        done = worker.run_pubs(Task.trusted(request["task"]), request["blocks"], request["threads"])
    except Exception as error:  # a task that trips a defect must not take the worker, and be repeated on the next
        return _failed(error)
    return {
        "results": [result.to_dict() for result, _ in done],
        "seconds": [seconds for _, seconds in done],
        "calibration": worker.calibration,
        "peak_bytes": worker.peak.bytes,
    }
