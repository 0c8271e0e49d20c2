"""What a backend's gauges show at a scrape, from what the server says of itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from qonverge.devices.noise import Noise
from qonverge.sites.link import Link
from qonverge.telemetry import Reading
from qonverge.telemetry import definitions as names
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.vendor import DeviceState


def readings(info: BackendInfo, noise: Noise | None) -> Iterator[Reading]:
    """Yield what is known; what is not has no reading.

    Args:
        info: what the server says of itself.
        noise: of the device that is imitated or driven.
    """
    yield Reading(names.QUEUE_LENGTH, info.queued)
    yield Reading(names.QUEUE_LIMIT, info.queue_limit)
    yield Reading(names.TASKS_RUNNING, info.running)
    if info.workers:
        # A device elsewhere may have more under way than it runs at once.
        yield Reading(names.UTILIZATION, min(1.0, info.running / info.workers))
    if noise is not None:
        of_noise = (
            (names.CALIBRATION_TIMESTAMP, noise.measured_at),
            (names.TWO_QUBIT_ERROR, noise.median_error(2)),
            (names.READOUT_ERROR, noise.median_readout_error),
        )
        yield from (Reading(metric, value) for metric, value in of_noise if value is not None)
    if info.device is not None:
        yield from _of_device(info.device)


def _of_device(device: DeviceState) -> Iterator[Reading]:
    yield Reading(names.DEVICE_ONLINE, float(device.online))
    figures = (
        (names.DEVICE_QUEUE_LENGTH, device.queue_length),
        (names.DEVICE_WAIT, device.wait_seconds),
        (names.DEVICE_ROUND_TRIP, device.round_trip_seconds),
    )
    yield from (Reading(metric, value) for metric, value in figures if value is not None)


def link_readings(links: Mapping[str, Link]) -> Iterator[Reading]:
    """Yield what is known of the links to other sites."""
    for site, link in links.items():
        figures = (
            (names.LINK_ROUND_TRIP, link.round_trip_seconds),
            (names.LINK_LOSS, link.loss_ratio),
            (names.LINK_BANDWIDTH, link.bytes_per_second),
        )
        yield from (Reading(metric, value, (site,)) for metric, value in figures if value is not None)
