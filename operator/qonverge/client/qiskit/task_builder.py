"""Several pubs as one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qonverge.client.qiskit.jobs import new_id
from qonverge.client.seeds import Seed, seed_of_task
from qonverge.client.transport.circuits import CircuitCache
from qonverge.wire.messages import Pub, Task

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


class TaskBuilder:
    """Collects pubs; a circuit that several of them run travels once."""

    def __init__(self, circuits: CircuitCache) -> None:
        """``circuits`` remembers what was serialized before."""
        self._cache = circuits
        self._circuits: dict[str, bytes] = {}
        self._pubs: list[Pub] = []

    def add(self, circuit: QuantumCircuit, **options: Any) -> None:
        """Add a circuit with the options of ``Pub``."""
        digest, qpy = self._cache.travel(circuit)
        self._circuits[digest] = qpy
        self._pubs.append(Pub(digest, **options))

    def task(self, seed: Seed, *, memory: bool = False) -> Task:
        """Return the task; with ``memory`` it returns the bits of every shot."""
        return Task(new_id(), tuple(self._pubs), self._circuits, seed_of_task(seed), memory)
