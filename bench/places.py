"""Clouds that fail as they are told, each with a QuantumBackend of it: what ``bench.chaos`` sends tasks to."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.faults import Fault
from tests.clouds.running import Service

Call = Literal["submit", "find", "status", "result", "cancel"]
When = Literal["before", "after"]
GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
_BRAKET = "braket"
# A call is caught within this, or is not made now.
_CATCH_SECONDS = 10.0
_SLOW_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Known:
    """A task that the cloud has, or had."""

    id: str
    shots: int
    state: str
    cost: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self.state in ("Completed", "Failed", "Cancelled")


class Place(Protocol):
    """A cloud, and the backend that stands for a device of it."""

    name: str
    section: dict[str, Any]
    """The backend's specification, but for what all backends have."""
    flags: tuple[str, ...]
    """Of its server, for what a kubelet would mount."""

    def storm(self, rate: float) -> None:
        """Let this part of all calls fail, before or after their effect."""

    def tasks(self) -> list[Known]:
        """Return all tasks that it ever began."""

    def faults(self) -> Counter[str]:
        """Return how many calls failed, by the kind of the fault."""

    def catch(self, call: Call, when: When) -> contextlib.AbstractContextManager[Callable[[], bool]]:
        """Hold the next such call during the block; what is given waits for it and returns whether it came."""


class VendorPlace:
    """The tests' own vendor, in a process."""

    def __init__(self, kind: str, service: Service, seconds: float) -> None:
        """Args: whether it takes a key twice, where it is, and how long its tasks take."""
        self.name, self._service = kind.lower(), service
        self.flags: tuple[str, ...] = ()
        self.section = {"plugin": {"provider": kind, "options": {"endpoint": service.url}}}
        service.control(settings={"seconds": seconds, "lag": 0.1})

    def storm(self, rate: float) -> None:
        """See ``Place``."""
        self._service.control(random=7, rate=rate)

    def tasks(self) -> list[Known]:
        """See ``Place``."""
        return [Known(each["id"], each["shots"], each["state"]) for each in self._service.tasks]

    def faults(self) -> Counter[str]:
        """See ``Place``."""
        return Counter(each["fault"] for each in self._service.control()["journal"] if each["fault"])

    @contextlib.contextmanager
    def catch(self, call: Call, when: When) -> Iterator[Callable[[], bool]]:
        """See ``Place``."""
        name = "tasks" if call == "status" else call
        self._service.fault(name, f"hold-{when}")
        try:
            yield lambda: _until(lambda: name in self._service.control()["held"])
        finally:
            self._service.control(mend=True, release=True)


class BraketPlace:
    """A device of Amazon Braket of dev-cloud."""

    _OPERATIONS: ClassVar[dict[Call, str]] = {
        "submit": "CreateQuantumTask",
        "find": "SearchQuantumTasks",
        "status": "GetQuantumTask",
        "cancel": "CancelQuantumTask",
    }

    def __init__(self, cloud: DevCloud, credentials: Path, device: str = GARNET, name: str = "braket") -> None:
        """Args: the clouds, the folder of what a Secret would have, the device's ARN, and the backend's name."""
        self.name, self._cloud, self._storm = name, cloud, list[Fault]()
        self._device = device.rpartition("/")[2]
        there = cloud.environment
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            (credentials / name).write_text(there[name])
        self.flags: tuple[str, ...] = ("--credentials", str(credentials))
        self.section = {
            "braket": {
                "device": device,
                "bucket": there["AMZN_BRAKET_OUT_S3_BUCKET"],
                "endpoint": there["AWS_ENDPOINT_URL_BRAKET"],
                "s3Endpoint": there["AWS_ENDPOINT_URL_S3"],
            }
        }

    def storm(self, rate: float) -> None:
        """See ``Place``."""
        kinds: tuple[dict[str, Any], ...] = (
            {"kind": "status", "when": "before", "status": 429},
            {"kind": "status", "when": "before", "status": 500},
            {"kind": "status", "when": "after", "status": 500},
            {"kind": "lostReply", "when": "before"},
            {"kind": "lostReply", "when": "after"},
        )
        self._storm = [Fault(cloud=_BRAKET, probability=rate / len(kinds), **kind) for kind in kinds if rate]
        self._cloud.set_faults(*self._storm)

    def tasks(self) -> list[Known]:
        """See ``Place``."""
        return [
            Known(each["arn"], each["shots"], each["status"].capitalize(), each["cost"])
            for each in self._cloud.tasks()
            if each["cloud"] == _BRAKET and each["device"] == self._device
        ]

    def faults(self) -> Counter[str]:
        """See ``Place``."""
        entries = self._cloud.journal.entries(_BRAKET)
        return Counter(f"{fault} {each.status or ''}".strip() for each in entries for fault in each.faults)

    @contextlib.contextmanager
    def catch(self, call: Call, when: When) -> Iterator[Callable[[], bool]]:
        """See ``Place``: the call is slow, and nobody sees whether it came, so that it never counts as caught."""
        before = self._seen()

        def wait() -> bool:
            # What changed may be the effect of another call.
            _until(lambda: self._seen() != before)
            return False

        slow = Fault(operation=self._OPERATIONS[call], kind="slow", when=when, seconds=_SLOW_SECONDS, calls=(1,))
        self._cloud.set_faults(*self._storm, slow)
        try:
            yield wait
        finally:
            self._cloud.set_faults(*self._storm)

    def _seen(self) -> Counter[bool]:
        return Counter(each.state == "Cancelled" for each in self.tasks())


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _CATCH_SECONDS
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return held
