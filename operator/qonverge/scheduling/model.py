"""What placement sees and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qonverge.api.base import LabelSelector


@dataclass(frozen=True, slots=True)
class Needs:
    """What a job's circuit asks of a backend; a program's circuits are not known beforehand."""

    num_qubits: int
    shots: int
    clifford: bool
    statevector_bytes: int
    """Memory of the full state, bytes: 16 * 2**num_qubits."""
    compact_bytes: int | None = None
    """Memory of a matrix product state, bytes; None where it may entangle too much for one."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job that waits for a backend."""

    key: str
    """Namespace and name, ``namespace/name``."""
    namespace: str
    created: float
    """Creation time, Unix seconds."""
    needs: Needs | None = None
    """None for programs."""
    backend_name: str | None = None
    backend_namespace: str | None = None
    backend_selector: LabelSelector | None = None


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend as it is now."""

    name: str
    namespace: str
    admits_all_namespaces: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    method: str = "Automatic"
    """Simulation method, as in the API."""
    serving: bool = True
    """Whether at least one pod takes tasks."""
    not_serving_reason: str = ""
    load: float = 0.0
    """Tasks queued and running, per worker, in the least loaded pod."""
    room: int | None = None
    """Tasks that its queues still take; None: not known, taken as enough."""
    max_qubits: int | None = None
    max_shots: int | None = None
    memory_bytes: int | None = None
    """Memory for one circuit; None: not known yet."""

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"

    def label_for(self, namespace: str) -> str:
        """Return the name as people of this namespace write it."""
        return self.name if namespace == self.namespace else self.key


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one round of placement knows."""

    jobs: tuple[Job, ...]
    backends: tuple[Backend, ...]
    now: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a job goes, or why it stays."""

    job: str
    """The job's key."""
    backend: Backend | None
    reason: str
    """One sentence with the numbers."""
    impossible: bool = False
    """True when no backend that exists could ever run it, however long it waits."""
    rejected: Mapping[str, str] = field(default_factory=dict)
    """Why not, by backend."""
