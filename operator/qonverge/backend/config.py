"""How a backend server is set up, and what the machine gives it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

# Python, numpy, Qiskit and Aer take this much in each process before the first circuit (measured: 140 to 150 MiB).
PROCESS_BYTES = 160 * 1024**2
_LEAST_BYTES = 64 * 1024**2
# From here on a process that only waits to replace another is worth its memory.
_SPARE_FROM_BYTES = 1024**3


def available_cpus() -> int:
    """Return the CPUs that this process may use: its affinity, or less where a cgroup's quota says so."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    v2 = _read("/sys/fs/cgroup/cpu.max").split()
    if len(v2) == 2 and v2[0] != "max":
        return max(1, min(cpus, -(-int(v2[0]) // int(v2[1]))))
    quota, period = _read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota and period and int(quota) > 0:
        return max(1, min(cpus, -(-int(quota) // int(period))))
    return cpus


def available_memory() -> int:
    """Return the bytes that this process and its children may use: the cgroup's limit, or the machine's memory."""
    total = int(psutil.virtual_memory().total)
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(path)
        if text.isdigit():
            return min(total, int(text))
    return total


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What an engine is and how much of the machine it takes."""

    provider: str = "Aer"
    method: str = "Automatic"
    """As in the API: Automatic, Statevector, DensityMatrix, MatrixProductState, Stabilizer."""
    concurrency: int = 1
    """Worker processes."""
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

    @property
    def spares(self) -> int:
        """Workers that are started and have no place yet."""
        return 1 if self.spare and self.memory_bytes >= _SPARE_FROM_BYTES else 0

    @property
    def circuit_bytes(self) -> int:
        """Memory that one circuit may take: an equal share for each worker, less what the processes need."""
        idle = (1 + self.spares) * PROCESS_BYTES
        return max(_LEAST_BYTES, (self.memory_bytes - idle) // self.concurrency - PROCESS_BYTES)
