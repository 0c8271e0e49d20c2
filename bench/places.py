"""Clouds that fail as they are told, each with a QuantumBackend of it: what ``bench.chaos`` sends tasks to."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from qonverge.amounts import Money
from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.faults import Fault
from tests.clouds.running import Service

Call = Literal["submit", "find", "status", "result", "cancel"]
When = Literal["before", "after"]
_CALLS: tuple[Call, ...] = get_args(Call)
# By the clouds of dev-cloud. Where a key is taken twice nothing is looked for, and Braket's results are files in S3.
_OPERATIONS: Mapping[str, Mapping[Call, str]] = {
    "braket": {"submit": "CreateQuantumTask", "status": "GetQuantumTask", "cancel": "CancelQuantumTask"},
    "ionq": {
        "submit": "CreateJob",
        "find": "GetJobs",
        "status": "GetJobs",
        "result": "GetProbabilities",
        "cancel": "CancelJob",
    },
    "ibm": {
        "submit": "CreateJob",
        "find": "ListJobs",
        "status": "GetJob",
        "result": "GetJobResults",
        "cancel": "CancelJob",
    },
    "google": {
        "submit": "CreateQuantumJob",
        "status": "GetQuantumJob",
        "result": "GetQuantumResult",
        "cancel": "CancelQuantumJob",
    },
}
# What the clouds call a task that has ended, in small letters.
_ENDS = {
    "completed": "Completed",
    "success": "Completed",
    "failed": "Failed",
    "failure": "Failed",
    "cancelled": "Cancelled",
    "canceled": "Cancelled",
}
_STORM: tuple[Mapping[str, Any], ...] = (
    {"kind": "status", "when": "before", "status": 429},
    {"kind": "status", "when": "before", "status": 500},
    {"kind": "status", "when": "after", "status": 500},
    {"kind": "lostReply", "when": "before"},
    {"kind": "lostReply", "when": "after"},
)
# More than a cloud gets between two changes of the faults.
_STORM_CALLS = 10_000
_SEED = 7
_NOTHING = Money(Decimal(0))
# A call is caught within this, or is not made now.
_CATCH_SECONDS = 10.0
_SLOW_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Known:
    """A task that the cloud has, or had."""

    id: str
    shots: int
    state: str
    cost: Money = _NOTHING
    """What the cloud bills for it."""

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
    calls: tuple[Call, ...]
    """Those that can be caught: the cloud has them, and the proxy makes them."""

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
        self.calls = tuple(call for call in _CALLS if call != "find" or kind != "Keyed")
        self.section = {"plugin": {"provider": kind, "options": {"endpoint": service.url}}}
        service.control(settings={"seconds": seconds, "lag": 0.1})

    def storm(self, rate: float) -> None:
        """See ``Place``."""
        self._service.control(random=_SEED, rate=rate)

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


class DevCloudPlace:
    """A device of one of the clouds of dev-cloud."""

    def __init__(self, site: DevCloudSite, cloud: str, device: str, section: Mapping[str, Any], secret: Path) -> None:
        """Take what it is.

        Args:
            site: where the cloud is.
            cloud: as dev-cloud calls it, and as the backend and its section are called.
            device: as dev-cloud calls it.
            section: what the backend's section has.
            secret: the folder with what a Secret would have.
        """
        self.name, self.section = cloud, {cloud: dict(section)}
        self.flags: tuple[str, ...] = ("--credentials", str(secret))
        self.calls = tuple(_OPERATIONS[cloud])
        self._site, self._device = site, device

    def storm(self, rate: float) -> None:
        """See ``Place``."""
        self._site.storm(self.name, rate)

    def tasks(self) -> list[Known]:
        """See ``Place``."""
        return [
            Known(
                each.get("arn") or each["id"],
                each["shots"],
                _ENDS.get(each["status"].lower(), each["status"].capitalize()),
                # Google tells no prices.
                Money(Decimal(str(each.get("cost", 0))), each.get("currency", "USD")),
            )
            for each in self._site.cloud.tasks()
            if (each["cloud"], each["device"]) == (self.name, self._device)
        ]

    def faults(self) -> Counter[str]:
        """See ``Place``."""
        entries = self._site.cloud.journal.entries(self.name)
        return Counter(f"{fault} {each.status or ''}".strip() for each in entries for fault in each.faults)

    @contextlib.contextmanager
    def catch(self, call: Call, when: When) -> Iterator[Callable[[], bool]]:
        """See ``Place``: the call is slow, and nobody sees whether it came, so that it never counts as caught."""
        before = self._seen()

        def wait() -> bool:
            # What changed may be the effect of another call.
            _until(lambda: self._seen() != before)
            return False

        slow = Fault(
            cloud=self.name,
            operation=_OPERATIONS[self.name][call],
            kind="slow",
            when=when,
            seconds=_SLOW_SECONDS,
            calls=(1,),
        )
        self._site.set_faults(slow)
        try:
            yield wait
        finally:
            self._site.set_faults()

    def _seen(self) -> Counter[bool]:
        return Counter(each.state == "Cancelled" for each in self.tasks())


class DevCloudSite:
    """The clouds of a dev-cloud with their faults, and devices there as places."""

    def __init__(self, cloud: DevCloud, folder: Path) -> None:
        """Args: the clouds, and where the folders are to be that Secrets would be mounted as."""
        self.cloud, self._folder = cloud, folder
        self._rates: dict[str, float] = {}
        self._random = random.Random(_SEED)

    def storm(self, cloud: str, rate: float) -> None:
        """Let this part of all calls of a cloud fail, before or after their effect."""
        self._rates[cloud] = rate
        self.set_faults()

    def set_faults(self, *more: Fault) -> None:
        """Set these faults and those of the storms, whose calls are drawn anew: they are counted from 1 again."""
        storms = (self._drawn(cloud, kind, rate) for cloud, rate in self._rates.items() for kind in _STORM)
        self.cloud.set_faults(*more, *(fault for fault in storms if fault.calls))

    def _drawn(self, cloud: str, kind: Mapping[str, Any], rate: float) -> Fault:
        part = rate / len(_STORM)
        calls = tuple(call for call in range(1, _STORM_CALLS + 1) if self._random.random() < part)
        return Fault(cloud=cloud, calls=calls, **kind)

    def braket(self) -> DevCloudPlace:
        """Return Garnet at Amazon Braket."""
        there = self.cloud.environment
        section = {
            "device": "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet",
            "bucket": there["AMZN_BRAKET_OUT_S3_BUCKET"],
            "endpoint": there["AWS_ENDPOINT_URL_BRAKET"],
            "s3Endpoint": there["AWS_ENDPOINT_URL_S3"],
        }
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        return self._place("braket", "Garnet", section, {key: there[key] for key in keys})

    def ionq(self, **options: Any) -> DevCloudPlace:
        """Return Aria at IonQ, without error mitigation; ``options`` are further ones of the section."""
        there, device = self.cloud.environment, "qpu.aria-1"
        section = {"backend": device, "debiasing": False, "endpoint": there["IONQ_API_URL"], **options}
        return self._place("ionq", device, section, {"IONQ_API_KEY": there["IONQ_API_KEY"]})

    def ibm(self) -> DevCloudPlace:
        """Return ibm_fez at IBM Quantum."""
        there, device = self.cloud.environment, "ibm_fez"
        section = {"backend": device, "endpoint": there["QISKIT_IBM_URL"], "iamEndpoint": there["IAM_URL"]}
        keys = ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE")
        return self._place("ibm", device, section, {key: there[key] for key in keys})

    def google(self) -> DevCloudPlace:
        """Return rainbow at Google's Quantum Engine."""
        there, device, key = self.cloud.environment, "rainbow", "GOOGLE_APPLICATION_CREDENTIALS"
        section = {
            "project": there["GOOGLE_CLOUD_PROJECT"],
            "processor": device,
            "endpoint": there["QONVERGE_GOOGLE_ENDPOINT"],
        }
        # The Secret has the file itself.
        return self._place("google", device, section, {key: Path(there[key]).read_text(encoding="utf-8")})

    def _place(
        self, cloud: str, device: str, section: Mapping[str, Any], credentials: Mapping[str, str]
    ) -> DevCloudPlace:
        secret = self._folder / f"secret-{cloud}"
        secret.mkdir()
        for key, value in credentials.items():
            (secret / key).write_text(value, encoding="utf-8")
        return DevCloudPlace(self, cloud, device, section, secret)


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _CATCH_SECONDS
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return held
