"""The devices that are offered: their state, their documents and their queues."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from qonverge_dev_cloud.braket.api import Refused
from qonverge_dev_cloud.braket.calls import Call, Reply
from qonverge_dev_cloud.braket.capabilities import capabilities
from qonverge_dev_cloud.braket.catalogue import DEVICES, Device
from qonverge_dev_cloud.braket.prices import Tariff
from qonverge_dev_cloud.braket.search import page
from qonverge_dev_cloud.braket.storage import ACCOUNT
from qonverge_dev_cloud.braket.tasks import Task
from qonverge_dev_cloud.calibration import Calibration
from qonverge_dev_cloud.calibration import calibration as drawn
from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.scenario import BraketDevice, Scenario
from qonverge_dev_cloud.work import DeviceQueue


@dataclass(frozen=True, slots=True)
class Offered:
    """A device, how it behaves, what waits for it, and what that costs."""

    device: Device
    scenario: BraketDevice
    queue: DeviceQueue[Task]
    tariff: Tariff


class Offers:
    """All devices."""

    def __init__(self, scenario: Scenario, clock: Clock, lock: threading.RLock) -> None:
        """Args: how devices behave, the time, and what guards queues."""
        self._scenario, self._clock, self._lock = scenario, clock, lock
        self._offered: dict[str, Offered] = {}
        for device in DEVICES:
            own = scenario.braket.devices.get(device.name, BraketDevice())
            queue: DeviceQueue[Task] = DeviceQueue(
                own,
                start=clock.start,
                parallel=device.kind == "SIMULATOR",
                reserved={
                    name: (clock.start + window.start, clock.start + window.end)
                    for name, window in scenario.braket.reservations.items()
                    if window.device == device.name
                },
            )
            self._offered[device.arn] = Offered(device, own, queue, Tariff.of(device, own.price))
        self._documents: dict[tuple[str, int], str] = {}

    def of(self, task: Task) -> Offered:
        """Return the device of a task."""
        return self._offered[task.request["deviceArn"]]

    def get_device(self, call: Call) -> Reply:
        """Return a device, with its document and its queues."""
        offered = self.find(call.members["deviceArn"], call.region, "ResourceNotFoundException")
        with self._lock:
            now = self._clock.now()
            closed = offered.queue.closed(now)
            values = self._summary(offered, now) | {
                "deviceCapabilities": self._document(offered, now),
                "deviceQueueInfo": [
                    {
                        "queue": "QUANTUM_TASKS_QUEUE",
                        "queueSize": str(offered.queue.size(now)),
                        "queuePriority": "Normal",
                    },
                    {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": "0", "queuePriority": "Priority"},
                    {"queue": "JOBS_QUEUE", "queueSize": "0"},
                ],
            }
        if closed:
            begin, end = closed
            values["deviceStatusReason"] = {
                "reason": "MAINTENANCE",
                "startedAt": moment(begin),
                "estimatedEndAt": moment(end),
                "updatedAt": moment(begin),
            }
        return Reply(values)

    def search_devices(self, call: Call) -> Reply:
        """Return the devices of a region."""
        wanted: set[str] | None = None
        for own in call.members["filters"]:
            if own["name"] != "deviceArn":
                raise Refused("ValidationException", f"devices have no filter {own['name']!r}: use deviceArn")
            wanted = set(own["values"]) if wanted is None else wanted & set(own["values"])
        with self._lock:
            now = self._clock.now()
            found = [
                self._summary(offered, now)
                for arn, offered in self._offered.items()
                if call.region in offered.device.regions and (wanted is None or arn in wanted)
            ]
        devices, token = page(found, call.members)
        return Reply({"devices": devices} | token)

    def _summary(self, offered: Offered, now: float) -> dict[str, Any]:
        device = offered.device
        status = "RETIRED" if offered.scenario.retired else "OFFLINE" if offered.queue.closed(now) else "ONLINE"
        return {
            "deviceArn": device.arn,
            "deviceName": device.name,
            "providerName": device.provider,
            "deviceType": device.kind,
            "deviceStatus": status,
        }

    def _document(self, offered: Offered, now: float) -> str:
        found = self.calibration(offered, now)
        key = (offered.device.arn, 0 if found is None else found.epoch)
        if key not in self._documents:
            updated = self._clock.start + (0.0 if found is None else found.time)
            self._documents[key] = capabilities(offered.device, offered.tariff, found, updated).json()
        return self._documents[key]

    def calibration(self, offered: Offered, time: float) -> Calibration | None:
        """Return the calibration at a time, seconds since 1970; None for a simulator."""
        if offered.device.kind == "SIMULATOR":
            return None
        return drawn(offered.device, offered.scenario.drift, self._scenario.seed, time - self._clock.start)

    def reservation(self, offered: Offered, region: str, associations: Sequence[Mapping[str, str]]) -> str:
        """Return the name of the reservation in which a task is to run; empty for none.

        Raises:
            Refused: the account has none of this device by the ARN.
        """
        if not associations:
            return ""
        arn = associations[0]["arn"]
        head, _, name = arn.rpartition("/")
        own = self._scenario.braket.reservations.get(name)
        if head != f"arn:aws:braket:{region}:{ACCOUNT}:reservation" or own is None or own.device != offered.device.name:
            raise Refused("ValidationException", f"there is no reservation {arn} of {offered.device.name}")
        return name

    def find(self, arn: str, region: str, code: str) -> Offered:
        """Return a device by its ARN.

        Raises:
            Refused: with this code; there is none in the region.
        """
        offered = self._offered.get(arn)
        if offered is None or region not in offered.device.regions:
            raise Refused(code, f"no device {arn} in {region}")
        return offered


def moment(seconds: float) -> datetime:
    """Return a time as replies carry it."""
    return datetime.fromtimestamp(seconds, UTC)
