"""The backends that are offered: their state, their queues and their characterizations."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

from qonverge_dev_cloud.calibration import Calibration
from qonverge_dev_cloud.calibration import calibration as drawn
from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.ionq.catalogue import BACKENDS, Backend
from qonverge_dev_cloud.ionq.circuits import NATIVE, QIS
from qonverge_dev_cloud.ionq.errors import Refused
from qonverge_dev_cloud.ionq.jobs import Job
from qonverge_dev_cloud.scenario import DeviceScenario, Scenario
from qonverge_dev_cloud.work import DeviceQueue

NAMESPACE = uuid.UUID("0f1f4c1e-6a55-4b77-8a35-5a1b0a4cfe02")


@dataclass(frozen=True, slots=True)
class Offered:
    """A backend, how it behaves, and what waits for it."""

    backend: Backend
    scenario: DeviceScenario
    queue: DeviceQueue[Job]


class Backends:
    """All backends."""

    def __init__(self, scenario: Scenario, clock: Clock, lock: threading.RLock) -> None:
        """Args: how backends behave, the time, and what guards queues."""
        self._seed, self._clock, self._lock = scenario.seed, clock, lock
        self._offered: dict[str, Offered] = {}
        for backend in BACKENDS:
            own = scenario.ionq.backends.get(backend.name, DeviceScenario())
            queue: DeviceQueue[Job] = DeviceQueue(own, start=clock.start, parallel=backend.kind == "SIMULATOR")
            self._offered[backend.name] = Offered(backend, own, queue)

    def of(self, job: Job) -> Offered:
        """Return the backend of a job."""
        return self._offered[job.backend.name]

    def all(self) -> list[dict[str, Any]]:
        """Return all backends."""
        return [self.one(name) for name in self._offered]

    def one(self, name: str) -> dict[str, Any]:
        """Return a backend."""
        offered = self.find(name, 404)
        with self._lock:
            now = self._clock.now()
            closed = offered.queue.closed(now) is not None
            waits = max(0.0, offered.queue.next_times(now, 1)[0] - now)
            found = self.calibration(offered.backend, now)
        return {
            "backend": name,
            "status": "retired" if offered.scenario.retired else "unavailable" if closed else "available",
            "degraded": False,
            "qubits": offered.backend.width,
            "average_queue_time": round(1000 * waits),
            "last_updated": moment(now),
            "characterization_id": None if found is None else self._identity(offered.backend, found),
            "supported_gates": list(QIS),
            "supported_native_gates": list(NATIVE),
        }

    def characterizations(self, name: str) -> dict[str, Any]:
        """Return the characterization in force, which is the one that is known."""
        backend = self.find(name, 404).backend
        found = self.calibration(backend, self._clock.now())
        return {"characterizations": [] if found is None else [self._characterized(backend, found)]}

    def characterization(self, name: str, identity: str) -> dict[str, Any]:
        """Return a characterization by its id, or the one in force as ``current``."""
        backend = self.find(name, 404).backend
        newest = self.calibration(backend, self._clock.now())
        last = -1 if newest is None else newest.epoch
        for epoch in range(last, -1, -1):
            drift = self._offered[name].scenario.drift
            seconds = 0.0 if drift is None else epoch * drift.seconds
            found = drawn(backend, drift, self._seed, seconds)
            if identity in ("current", self._identity(backend, found)):
                return self._characterized(backend, found)
        raise Refused(404, "NotFoundError", f"{name} has no characterization {identity}")

    def calibration(self, backend: Backend, time: float) -> Calibration | None:
        """Return the calibration at a time, seconds since 1970; None for a simulator."""
        if backend.kind == "SIMULATOR":
            return None
        drift = self._offered[backend.name].scenario.drift
        return drawn(backend, drift, self._seed, time - self._clock.start)

    def _identity(self, backend: Backend, found: Calibration) -> str:
        return str(uuid.uuid5(NAMESPACE, f"{self._seed}/{backend.name}/characterization/{found.epoch}"))

    def _characterized(self, backend: Backend, found: Calibration) -> dict[str, Any]:
        single, pair, readout = backend.durations
        return {
            "id": self._identity(backend, found),
            "backend": backend.name,
            "date": moment(self._clock.start + found.time),
            "qubits": backend.width,
            "connectivity": [list(edge) for edge in backend.edges],
            "fidelity": {
                "1q": {"median": round(fmean(found.single.values()), 6)},
                "2q": {"median": round(fmean(found.pairs.values()), 6)},
                "spam": {"median": round(fmean(found.readout.values()), 6)},
            },
            "timing": {
                "1q": single,
                "2q": pair,
                "readout": readout,
                "reset": 50e-6,
                "t1": backend.coherence[0],
                "t2": backend.coherence[1],
            },
        }

    def find(self, name: str, status: int) -> Offered:
        """Return a backend by its name.

        Raises:
            Refused: with this HTTP status; there is none.
        """
        if name not in self._offered:
            error = "NotFoundError" if status == 404 else "BadRequestError"
            raise Refused(status, error, f"no backend {name!r}: use {', '.join(self._offered)}")
        return self._offered[name]


def moment(seconds: float) -> str:
    """Return a time as replies carry it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
