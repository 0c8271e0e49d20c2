"""How a backend server is set up, and what the machine gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from qonverge.devices.noise import Noise, noise_from_dict

# Python, numpy, Qiskit and Aer take this much in each process before the first circuit (measured: 140 to 150 MiB).
PROCESS_BYTES = 160 * 1024**2
_LEAST_BYTES = 64 * 1024**2
# From here on a process that only waits to replace another is worth its memory.
_SPARE_FROM_BYTES = 1024**3


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What an engine is and how much of the machine it takes."""

    provider: str = "Aer"
    """Name of its descriptor."""
    options: Mapping[str, Any] | None = None
    """The provider's own options."""
    method: str = "Automatic"
    """As in the API, one of the provider's."""
    concurrency: int = 1
    """Worker processes; of a cloud its tasks that may be under way at once."""
    cpus: int = 1
    """Threads that one wide circuit may use."""
    memory_bytes: int = 4 * 1024**3
    """For the server and all its workers together."""
    queue_limit: int = 10_000
    max_shots: int = 1_000_000
    max_qubits: int | None = None
    seed: int | None = None
    """For tasks that bring none; without it each draws its own."""
    result_cache_bytes: int = 0
    """Memory for results that are given again to the same namespace for a task that would give the same; 0: none."""
    spare: bool = False
    """Keep one more worker started, which takes a lost or cancelled one's place at once, where memory allows."""
    device: str = "CPU"
    """Where the engine computes, as in the API: CPU or GPU."""
    keep_layouts: bool = False
    """Whether qubit i of a circuit without a layout lies on the device's qubit i, rather than where it lies best."""
    quiet: bool = False
    """Drop what libraries print in workers: a terminal is for people."""
    credentials: str = ""
    """Folder with a file for each key of the Secret for a cloud; empty: the pod's own identity."""
    noise: Noise | None = None
    """What a provider imitates: a ``Calibration``, or ``Rates`` that hold everywhere; None: it is ideal."""

    @property
    def widest(self) -> int | None:
        """Qubits of the widest circuit, by what was set and by the device; None where only memory bounds it."""
        of_device = None if self.noise is None else self.noise.num_qubits
        return min((limit for limit in (self.max_qubits, of_device) if limit is not None), default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the form that a worker gets."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**values, "noise": None if self.noise is None else self.noise.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the configuration that ``to_dict`` gave."""
        return cls(**{**data, "noise": None if data["noise"] is None else noise_from_dict(data["noise"])})

    @property
    def spares(self) -> int:
        """Workers that are started and have no place yet."""
        return 1 if self.spare and self.memory_bytes >= _SPARE_FROM_BYTES else 0

    @property
    def circuit_bytes(self) -> int:
        """Memory that one circuit may take: an equal share for each worker, less what the processes need."""
        idle = (1 + self.spares) * PROCESS_BYTES
        return max(_LEAST_BYTES, (self.memory_bytes - idle) // self.concurrency - PROCESS_BYTES)
