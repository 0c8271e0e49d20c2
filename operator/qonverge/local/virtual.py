"""Devices elsewhere to which there is no access here: imitated by a simulator with the figures that are published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from qonverge.api import QuantumBackend
from qonverge.api.backend import QuantumBackendSpec
from qonverge.api.source import Source
from qonverge.devices import snapshots
from qonverge.execution.placement import abilities
from qonverge.providers.installed import find


@dataclass(frozen=True, slots=True)
class VirtualDevice:
    """A simulator in the place of a device."""

    backend: QuantumBackend
    """With a simulator as its source. It costs nothing."""
    features: frozenset[str]
    """What circuits may ask of the device itself: what it would refuse is refused here too."""
    calibration: str
    """Name, date and source of the figures."""
    why: str
    """What there would have to be for the device itself."""


def virtual_device(backend: QuantumBackend, environment: Mapping[str, str]) -> VirtualDevice | None:
    """Return what stands for a backend's device; None: the backend itself is used.

    Args:
        backend: any.
        environment: variables of the process.
    """
    source = backend.spec.source
    try:
        rule = find(source.provider).virtual
    except LookupError:
        return None
    options = source.options or {}
    if rule is None or environment.get(rule.access) or "endpoint" in options:
        return None
    name = str(options.get(rule.option))
    if name not in snapshots.names():
        return None
    figures = snapshots.load(name)
    measured = "" if figures.measured_at is None else f" of {datetime.fromtimestamp(figures.measured_at, UTC):%Y-%m-%d}"
    return VirtualDevice(
        _simulator(backend, name),
        abilities(source).features,
        f"{name}{measured}, published in {figures.source}",
        f"{rule.access} is not set",
    )


def _simulator(backend: QuantumBackend, device: str) -> QuantumBackend:
    given = backend.spec.model_dump(by_alias=True, exclude_unset=True)
    kept = {key: value for key, value in given.items() if key not in (backend.spec.chosen, "pricing")}
    # Tasks that are under way at once are worker processes of a simulator.
    capacity = {key: value for key, value in kept.pop("capacity", {}).items() if key != "concurrency"}
    spec = {**kept, "simulator": {"noise": {"device": device}}, "capacity": capacity}
    return backend.model_copy(update={"spec": QuantumBackendSpec.model_validate(spec)})


def without_access(source: Source) -> str:
    """Return what to do where a vendor's device does not answer as it should, to be added to the reason.

    Empty where the source is no vendor's device.
    """
    try:
        vendor = bool(find(source.provider).cloud)
    except LookupError:
        return ""
    if not vendor:
        return ""
    return (
        "; credentials are read from the environment here. Without an account use qonverge dev-cloud, or a simulator "
        "with noise.device"
    )
