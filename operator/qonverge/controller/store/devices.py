"""What is known of the device for which a backend's pod stands, and what its tasks cost. Pure."""

from __future__ import annotations

from qonverge.accounting.conversion import prices_of, pricing_from
from qonverge.amounts import Prices
from qonverge.api import QuantumBackend
from qonverge.api.pricing import Pricing
from qonverge.controller.objects.manifests import backend_selector
from qonverge.controller.store.pods import BackendPods
from qonverge.wire.vendor import DeviceState


def device_of(pods: BackendPods, backend: QuantumBackend) -> DeviceState | None:
    """Return how the device elsewhere is; None of a simulator, and while no pod tells."""
    if not backend.spec.source.elsewhere:
        return None
    infos = (pod.info for pod in pods.reachable(backend_selector(backend)))
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
