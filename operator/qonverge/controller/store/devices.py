"""What is known of the device for which a backend's pod stands, and what its tasks cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from qonverge.accounting.conversion import prices_of, pricing_from
from qonverge.amounts import Prices
from qonverge.api import QuantumBackend
from qonverge.api.pricing import Pricing
from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.store.pods import BackendPod, BackendPods
from qonverge.forecast.task_power import TaskPowers
from qonverge.telemetry import definitions as names
from qonverge.telemetry.figures import Figure, fresh
from qonverge.wire.vendor import DeviceState

FIGURES = {
    "online": names.DEVICE_ONLINE,
    "queue_length": names.DEVICE_QUEUE_LENGTH,
    "wait_seconds": names.DEVICE_WAIT,
    "round_trip_seconds": names.DEVICE_ROUND_TRIP,
}
"""Figures of devices that decisions use and a Prometheus server may tell, by their field of ``DeviceState``."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A device elsewhere, with figures that are new enough."""

    device: DeviceState | None = None
    """None: no pod tells of it."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """Where those of ``FIGURES`` that it has come from."""
    former: Mapping[str, Figure] = field(default_factory=dict)
    """The newest of each that is known and too old: the device has None for them."""

    @property
    def stale(self) -> tuple[str, ...]:
        """The names of these."""
        return tuple(self.former)

    def last(self, name: str) -> float | None:
        """Return a figure of the device, or what it last was where that is too old; None where nothing was told."""
        value: float | None = None if self.device is None else getattr(self.device, name)
        return self.former[name].value if value is None and name in self.former else value


def measured_by(pod: BackendPod, now: float, stale_seconds: float) -> Measured:
    """Return the device for which a pod stands; ``now`` in Unix seconds.

    A figure that a Prometheus server has goes before what the pod said, while it is new enough. Whether the device is
    online is what was last known: one that was not is not believed to be.
    """
    told = None if pod.info is None else pod.info.device
    if told is None:
        return Measured()
    figures, former, values = dict[str, Figure](), dict[str, Figure](), dict[str, float | None]()
    for name in FIGURES:
        value, scraped = getattr(told, name), pod.scraped.get(name)
        direct = None if value is None or pod.told_at is None else Figure(float(value), pod.told_at, "Pod")
        found = fresh((scraped, direct), now, stale_seconds)
        values[name] = None if found is None else found.value
        if found is not None:
            figures[name] = found
        elif known := [figure for figure in (scraped, direct) if figure is not None]:
            former[name] = max(known, key=lambda figure: figure.at)
    length, online = values["queue_length"], values["online"]
    device = replace(
        told,
        online=told.online if online is None else bool(online),
        queue_length=None if length is None else round(length),
        wait_seconds=values["wait_seconds"],
        round_trip_seconds=values["round_trip_seconds"],
    )
    if device.online and not told.online:
        device = replace(device, reason="", available_at=None)
    return Measured(device, figures, former)


def measured(pods: BackendPods, backend: QuantumBackend, now: float) -> Measured:
    """Return the device elsewhere as ``measured_by`` its pod; nothing of a simulator, and while no pod tells."""
    if not backend.spec.source.elsewhere:
        return Measured()
    found = (measured_by(pod, now, pods.stale_seconds) for pod in pods.reachable(backend_selector(backend)))
    return next((each for each in found if each.device is not None), Measured())


def beyond(backend: QuantumBackend, found: Measured) -> float | None:
    """Return the round trip from a pod to the device for which it stands, or what it last was, seconds.

    It is 0 of a simulator, and None where nobody told it: such a device is not next to its pod.
    """
    return found.last("round_trip_seconds") if backend.spec.source.elsewhere else 0.0


def device_of(pods: BackendPods, backend: QuantumBackend) -> DeviceState | None:
    """Return how the device elsewhere is by its pod's word, for what does not change from minute to minute.

    A pod that does not answer now said it before. None of a simulator, and while no pod told.
    """
    if not backend.spec.source.elsewhere:
        return None
    told = sorted((pod for pod in pods.of(backend_selector(backend)) if pod.admitted), key=lambda pod: pod.silent)
    infos = (pod.info for pod in told)
    return next((info.device for info in infos if info is not None and info.device is not None), None)


def pricing_of(pods: BackendPods, backend: QuantumBackend) -> Pricing | None:
    """Return the prices in force: the specification's, or else the vendor's; None where none are known.

    While no pod tells the vendor's, they are those that the backend's status last said.
    """
    if backend.spec.pricing is not None:
        return backend.spec.pricing
    device, said = device_of(pods, backend), backend.status.pricing
    if device is not None and device.prices is not None:
        return pricing_from(device.prices)
    if said is None or said.source != "Vendor":
        return None
    # Not checked again: it is no person's input.
    return Pricing.model_construct(**said.model_dump(exclude={"source"}))


def prices_in_force(pods: BackendPods, backend: QuantumBackend | None) -> Prices:
    """Return the same as amounts know them; nothing costs where none are known, or the backend is gone (None)."""
    return prices_of(None if backend is None else pricing_of(pods, backend))


def task_watts(powers: TaskPowers, backend: QuantumBackend | None, now: float) -> tuple[float | None, Figure | None]:
    """Return what a task of the backend draws while it runs, watts, and the figure that it is where it was measured.

    Else it is what the specification says; None where that says nothing, or the backend is gone (None).
    """
    if backend is None:
        return None, None
    figure = powers.find(f"{backend.metadata.namespace}/{backend.metadata.name}", now)
    if figure is not None:
        return figure.value, figure
    return None if backend.spec.energy is None else backend.spec.energy.task_watts, None
