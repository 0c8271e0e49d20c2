"""What backends' pods drew, by a Prometheus server, and how long tasks ran meanwhile, by what the pods say."""

from __future__ import annotations

from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.pods.prometheus import Watts
from qonverge.controller.store.pods import BackendPod
from qonverge.controller.store.state import State
from qonverge.forecast.task_power import NOTHING, Draw

_LONGEST_SECONDS = 60.0


class PowerMeters:
    """Follows all pods."""

    def __init__(self, state: State) -> None:
        """Learn into the state's ``powers``."""
        self._state = state
        # When a pod's server was last looked at, Unix seconds, and for how long tasks had run there.
        self._before: dict[tuple[str, str], tuple[float, float]] = {}

    def take(self, watts: Watts, now: float) -> None:
        """Take what pods and tasks draw now; ``now`` in Unix seconds."""
        self._state.powers.tell(watts.tasks, now)
        before, self._before = self._before, {}
        # What the pod of a device elsewhere draws says nothing of the device.
        simulators = {
            backend_selector(backend): key
            for key, backend in self._state.backends.items()
            if not backend.spec.source.elsewhere
        }
        drawn = dict[str, Draw]()
        for pod in self._state.pods.serving():
            own, key = watts.pods.get(pod.key), simulators.get(pod.endpoint.backend)
            if own is not None and key is not None:
                drawn[key] = drawn.get(key, NOTHING) + self._drawn(pod, own, before)
        for key, draw in drawn.items():
            self._state.powers.observe(key, draw, now)

    def _drawn(self, pod: BackendPod, watts: float, before: dict[tuple[str, str], tuple[float, float]]) -> Draw:
        """Return what a pod drew between the last two times that it told of itself."""
        info, at = pod.info, pod.told_at
        if info is None or info.task_seconds is None or at is None:
            return NOTHING
        server = (pod.uid, info.boot)
        self._before[server] = (at, info.task_seconds)
        since, ran = before.get(server, (at, info.task_seconds))
        if not 0 < at - since <= _LONGEST_SECONDS:
            return NOTHING
        return Draw(watts * (at - since), at - since, max(0.0, info.task_seconds - ran))
