"""A worker process: ``python -m qonverge.backend.worker CONFIG_JSON``. Opens QPY, runs circuits, one task at a time."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import resource
import signal
import sys
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qonverge.backend import providers
from qonverge.backend.config import PROCESS_BYTES, EngineConfig
from qonverge.backend.split import Block, Costs, Merge, cut, run_blocks
from qonverge.wire.child import read_frame, serve_pipes, write_frame
from qonverge.wire.errors import CircuitTooLarge, EngineFailed, InvalidCircuit, UnknownCircuit, WireError
from qonverge.wire.messages import Pub, PubResult, Task

_PREPARED = 512


class Worker:
    """Runs tasks on a provider; prepared circuits are kept, the least recently used go first."""

    def __init__(self, config: EngineConfig) -> None:
        """Load the provider."""
        self._provider = providers.load(config)
        self._prepared: OrderedDict[str, Any] = OrderedDict()

    def describe(self) -> dict[str, Any]:
        """Return what the provider can do."""
        provider = self._provider
        return {
            "version": provider.version,
            "methods": provider.methods,
            "basis_gates": provider.basis_gates,
            "target": provider.target,
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
        needed = dict.fromkeys(pub.circuit for pub in task.pubs)
        if missing := [digest for digest in needed if digest not in self._prepared and digest not in task.circuits]:
            raise UnknownCircuit(f"{len(missing)} circuits are not known here", missing=missing)
        for digest in needed:
            self._prepare(digest, task.circuits)
        results = []
        for pub, own in zip(task.pubs, blocks, strict=True):
            began = time.perf_counter()
            prepared = self._prepared[pub.circuit]

            def run(block: Pub, seed: int, prepared: Any = prepared) -> PubResult:
                return self._provider.run(prepared, block, seed=seed, memory=task.memory, threads=threads)

            result = run_blocks(pub, own, run)
            results.append((result, time.perf_counter() - began))
        while len(self._prepared) > _PREPARED:
            self._prepared.popitem(last=False)
        return results

    def _prepare(self, digest: str, circuits: Any) -> None:
        if digest in self._prepared:
            self._prepared.move_to_end(digest)
            return
        from qiskit import qpy

        data = circuits[digest]
        if hashlib.sha256(data).hexdigest() != digest:
            raise InvalidCircuit(f"the QPY sent as {digest[:12]} has another digest: it was damaged on its way")
        try:
            (circuit,) = qpy.load(io.BytesIO(data))
        except Exception as error:  # hostile or damaged QPY raises errors of every kind
            raise InvalidCircuit(f"the QPY cannot be read: {error or type(error).__name__}") from None
        self._prepared[digest] = self._provider.prepare(circuit)


def main() -> None:
    """Serve until standard input ends."""
    # The parent decides when to stop; a signal to the whole group must not cut a running circuit short.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    requests, answers = serve_pipes()
    _end_with_parent()
    config = EngineConfig(**json.loads(sys.argv[1]))
    try:
        worker = Worker(config)
    except LookupError as error:
        sys.exit(f"qonverge.backend.worker: {error.args[0]}")
    # The second net below the estimates: what they miss fails here, in this process alone.
    limit = _reserved_bytes() + config.circuit_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    while (request := read_frame(requests)) is not None:
        write_frame(answers, _answer(worker, request))


def _answer(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    if "task" not in request:
        return worker.describe()
    try:
        done = worker.run_pubs(Task.from_dict(request["task"]), request["blocks"], request["threads"])
    except WireError as error:
        return {"error": error.to_dict()}
    except MemoryError:
        return {"error": CircuitTooLarge("the task needs more memory than a worker has here").to_dict()}
    except Exception as error:  # a task that trips a defect must not take the worker, and be repeated on the next
        return {"error": EngineFailed(f"the task failed: {type(error).__name__}: {error}").to_dict()}
    return {"results": [result.to_dict() for result, _ in done], "seconds": [seconds for _, seconds in done]}


def _end_with_parent() -> None:
    """Ask Linux to end this process when its parent is killed: a running circuit would not notice for itself."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _reserved_bytes() -> int:
    """Return the private memory that is reserved before the first task; threads' stacks count and are hardly used."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return PROCESS_BYTES


def arguments(config: EngineConfig) -> str:
    """Return the configuration as the worker's argument."""
    return json.dumps(dataclasses.asdict(config))


if __name__ == "__main__":
    main()
