"""The devices that are offered: their state, their queues, and how well they work at a time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.ibm.catalogue import NAMES, Device, device, properties
from qonverge_dev_cloud.ibm.errors import Refused
from qonverge_dev_cloud.ibm.jobs import Job
from qonverge_dev_cloud.scenario import DeviceScenario, Scenario
from qonverge_dev_cloud.work import DeviceQueue

# US dollars, as IBM publishes it for paying by use.
PER_MINUTE = 96.0


@dataclass(frozen=True, slots=True)
class Offered:
    """A device, how it behaves, and what waits for it."""

    device: Device
    scenario: DeviceScenario
    queue: DeviceQueue[Job]

    @property
    def per_second(self) -> float:
        """US dollars for a second of the device."""
        given = self.scenario.price.per_minute
        return (PER_MINUTE if given is None else given) / 60


class Backends:
    """All devices. They are read when they are first asked for: their descriptions are long."""

    def __init__(self, scenario: Scenario, clock: Clock, lock: threading.RLock) -> None:
        """Args: how devices behave, the time, and what guards queues."""
        self._scenario, self._clock, self._lock = scenario, clock, lock
        self._offered: dict[str, Offered] = {}

    def find(self, name: str, status: int = 404) -> Offered:
        """Return a device.

        Raises:
            Refused: there is none, with this status.
        """
        with self._lock:
            if name not in NAMES:
                raise Refused(status, f"no backend {name}: use {', '.join(NAMES)}", 1233)
            if name not in self._offered:
                own = self._scenario.ibm.backends.get(name, DeviceScenario())
                queue: DeviceQueue[Job] = DeviceQueue(own, start=self._clock.start, parallel=False)
                self._offered[name] = Offered(device(name), own, queue)
            return self._offered[name]

    def all(self) -> dict[str, Any]:
        """Return all devices."""
        return {"devices": [self._listed(self.find(name)) for name in NAMES]}

    def configuration(self, name: str) -> Mapping[str, Any]:
        """Return the qubits, gates and limits of a device."""
        return self.find(name).device.configuration

    def properties(self, name: str) -> Mapping[str, Any]:
        """Return the errors of a device as they are now."""
        return self.properties_at(name, self._clock.now())

    def properties_at(self, name: str, time: float) -> Mapping[str, Any]:
        """Return the errors of a device at a time, seconds since 1970."""
        drift = self.find(name).scenario.drift
        epoch = 0 if drift is None else int((time - self._clock.start) // drift.seconds)
        return properties(name, drift, self._scenario.seed, self._clock.start, epoch)

    def status(self, name: str) -> dict[str, Any]:
        """Return whether a device takes jobs, and how many wait."""
        offered = self.find(name)
        with self._lock:
            now = self._clock.now()
            closed, waiting = offered.queue.closed(now), offered.queue.size(now)
        status, message = "active", ""
        if offered.scenario.retired:
            status, message = "retired", "the device is retired"
        elif closed is not None:
            status, message = "maintenance", f"until {moment(closed[1])}"
        return {
            "state": status == "active",
            "status": status,
            "message": message,
            "length_queue": waiting,
            "backend_version": str(offered.device.configuration["backend_version"]),
        }

    def _listed(self, offered: Offered) -> dict[str, Any]:
        status = self.status(offered.device.name)
        return {
            "name": offered.device.name,
            "status": {"name": "online" if status["state"] else "offline", "reason": status["message"]},
            "is_simulator": False,
            "qubits": offered.device.width,
            "processor_type": offered.device.configuration.get("processor_type"),
            "queue_length": status["length_queue"],
        }


def moment(seconds: float) -> str:
    """Return a time as the API has it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
