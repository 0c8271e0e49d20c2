"""What is known of the device for which a backend's pod stands, and what its tasks cost. Pure."""

from __future__ import annotations

from qonverge.amounts import Prices
from qonverge.api import QuantumBackend
from qonverge.api.pricing import Pricing
from qonverge.controller.objects import manifests
from qonverge.controller.store.pods import BackendPods
from qonverge.wire.messages import BackendInfo
from qonverge.wire.vendor import DeviceState


def infos(pods: BackendPods, backend: QuantumBackend) -> list[BackendInfo]:
    """Return what the backend's pods that answer say of themselves."""
    selector = f"{backend.metadata.namespace}/{manifests.backend_name(backend)}"
    return [pod.info for pod in pods.reachable(selector) if pod.info is not None]


def device_of(pods: BackendPods, backend: QuantumBackend) -> DeviceState | None:
    """Return how the device elsewhere is; None of a simulator, and while no pod tells."""
    return next((info.device for info in infos(pods, backend) if info.device is not None), None)


def pricing_of(pods: BackendPods, backend: QuantumBackend) -> Pricing | None:
    """Return the prices in force: the specification's, or else the vendor's; None where none are known.

    While no pod tells the vendor's, they are those that the backend's status last said.
    """
    if backend.spec.pricing is not None:
        return backend.spec.pricing
    device, said = device_of(pods, backend), backend.status.pricing
    if device is not None and device.prices is not None:
        return _pricing(device.prices)
    if said is None or said.source != "Vendor":
        return None
    # Not checked again: it is no person's input.
    return Pricing.model_construct(**said.model_dump(exclude={"source"}))


def _pricing(prices: Prices) -> Pricing:
    per_task, per_shot, per_second = (f"{price:f}" for price in (prices.task, prices.shot, prices.second))
    return Pricing.model_construct(
        currency=prices.currency, per_task=per_task, per_shot=per_shot, per_second=per_second
    )
