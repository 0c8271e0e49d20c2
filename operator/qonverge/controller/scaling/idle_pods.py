"""Backends' pods go while none of them has anything to do."""

from __future__ import annotations

from qonverge.controller.objects.manifests import backend_selector
from qonverge.controller.store.pods import BackendPod
from qonverge.controller.store.state import State


class IdlePods:
    """A Remover that waits until no pod of a backend has a task or keeps a result: any of them may go then."""

    def __init__(self, state: State) -> None:
        """Look at the pods that ``state`` has."""
        self._state = state

    async def remove(self, key: str, wanted: int) -> tuple[int, str]:
        """Return how many pods the backend's Deployment may have now, and why more than wanted."""
        backend = self._state.backends[key]
        there = self._state.replicas_of(backend)
        if wanted >= there:
            return wanted, ""
        busy = [pod.key for pod in self._state.pods.of(backend_selector(backend)) if _busy(pod)]
        return (there, f"{', '.join(sorted(busy))} may be needed still") if busy else (wanted, "")


def _busy(pod: BackendPod) -> bool:
    if pod.assigned:
        return True
    if not pod.admitted:
        return False
    info = pod.info
    return info is None or bool(info.queued + info.running + info.kept_results)
