"""Whether the backend on which a program runs still serves it. Pure."""

from __future__ import annotations

from qonverge.api import HybridJob
from qonverge.controller.store.cluster import Cluster
from qonverge.controller.store.state import State


def withdrawn(job: HybridJob, backend: str, state: State, cluster: Cluster) -> tuple[str, str] | None:
    """Return the reason and a sentence where a backend serves a job's program no more, None where it does.

    Args:
        job: the job.
        backend: the backend's key.
        state: what is known.
        cluster: labels of namespaces.
    """
    namespace, found = job.metadata.namespace, state.backends.get(backend)
    label = backend.removeprefix(f"{namespace}/")
    if found is None:
        # One that this version cannot read is there.
        return (
            None if f"QuantumBackend {backend}" in state.unread else ("BackendLost", f"the backend {label} was deleted")
        )
    if found.metadata.deletion_timestamp:
        return "BackendLost", f"the backend {label} is being deleted"
    if cluster.withdrawn(found, namespace):
        return "AccessWithdrawn", f"the backend {label} does not admit jobs of namespace {namespace} any more"
    return None
