"""Backends' noise: where the figures come from, and what the status says of them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any

from qonverge.api import QuantumBackend
from qonverge.api.conditions import Verdict
from qonverge.api.noise import CalibrationStatus
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.store.state import Calibrated
from qonverge.devices import InvalidCalibration
from qonverge.devices.noise import Noise, noise_from_data, noise_from_dict
from qonverge.wire.backend_info import BackendInfo

LOOK_SECONDS = 15.0
"""How often a ConfigMap is read again."""
_DAY = 86_400.0


def is_stale(backend: QuantumBackend, known: Calibrated | None, now: float, named: str | None = None) -> bool:
    """Return whether the backend's noise is to be read: it was never, it is another now, or a ConfigMap may differ.

    ``named`` is the digest that the pod of a device elsewhere names, None while none does.
    """
    if backend.spec.source.elsewhere:
        return named is not None and named != ("" if known is None else known.told)
    noise = backend.spec.source.noise
    if noise is None:
        return known is not None
    if known is None or known.spec != noise:
        return True
    return noise.config_map_key_ref is not None and now - known.looked >= LOOK_SECONDS


async def look(backend: QuantumBackend, known: Calibrated | None, kube: Kube, now: float) -> Calibrated | None:
    """Return what is known of the backend's noise now; None where it has none."""
    noise = backend.spec.source.noise
    if noise is None:
        return None
    reference = noise.config_map_key_ref
    if reference is None:
        return Calibrated(noise, noise.known(), None, now)
    former = known.noise if known is not None and known.spec == noise else None
    try:
        found = await kube.get("ConfigMap", backend.metadata.namespace, reference.name)
    except KubeError as error:
        # The pods have it all the same, so that this stops nothing.
        return Calibrated(noise, former, ("Unreadable", str(error)), now)
    if found is None:
        return Calibrated(noise, former, ("Missing", f"there is no ConfigMap {reference.name}"), now)
    # The API server has checked the base64.
    binary = {key: base64.b64decode(coded) for key, coded in (found.get("binaryData") or {}).items()}
    data: dict[str, str | bytes] = {**(found.get("data") or {}), **binary}
    where = f"the ConfigMap {reference.name}"
    if reference.key not in data:
        has = ", ".join(data) or "none"
        return Calibrated(noise, former, ("Missing", f"{where} has no key {reference.key}; it has {has}"), now)
    try:
        return Calibrated(noise, noise_from_data(data[reference.key]), None, now)
    except InvalidCalibration as error:
        return Calibrated(noise, former, ("Invalid", f"the key {reference.key} of {where}: {error}"), now)


async def told(digest: str, data: Mapping[str, Any] | None, known: Calibrated | None, now: float) -> Calibrated:
    """Return what the pod of a device elsewhere tells of its calibration.

    Args:
        digest: that the pod names.
        data: the figures; None: it has none after all.
        known: what was known before.
        now: Unix seconds.
    """
    former = None if known is None else known.noise
    if data is None:
        return Calibrated(None, former, ("Missing", "the pod tells no calibration"), now, digest)
    try:
        # That of a large device takes a while.
        return Calibrated(None, await asyncio.to_thread(noise_from_dict, data), None, now, digest)
    except InvalidCalibration as error:
        return Calibrated(None, former, ("Invalid", f"the pod's calibration: {error}"), now, digest)


def verdict(known: Calibrated, infos: Sequence[BackendInfo], now: float) -> Verdict:
    """Return the condition Calibrated: whether the calibration is good and all serving pods have it; pure."""
    if known.problem is not None:
        return Verdict("False", *known.problem)
    assert known.noise is not None
    if not infos:
        return Verdict("Unknown", "NotServing", "no pod serves that could have the calibration")
    if known.spec is None:
        return Verdict("True", "Calibrated", _described(known.noise, now))
    having = sum(1 for info in infos if info.calibration_digest == known.noise.digest)
    if having < len(infos):
        message = f"{having} of {len(infos)} pods have the calibration; a new one takes the kubelet a minute or so"
        return Verdict("False", "Updating", message)
    return Verdict("True", "Calibrated", _described(known.noise, now))


def in_short(known: Calibrated | None) -> CalibrationStatus | None:
    """Return the figures for the status."""
    return None if known is None or known.noise is None else CalibrationStatus.of(known.noise)


def _described(noise: Noise, now: float) -> str:
    if noise.measured_at is None:
        return f"{noise.name} does not age"
    days = max(0, int((now - noise.measured_at) // _DAY))
    return f"{noise.name} was measured {days} {'day' if days == 1 else 'days'} ago"
