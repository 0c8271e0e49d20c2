"""What the engine tells of processors, as cirq-google's own virtual ones have it."""

from __future__ import annotations

from functools import cache
from typing import Any

from cirq_google.engine import virtual_engine_factory
from google.protobuf import json_format

from qonverge.devices import Calibration
from qonverge.devices.google import from_specification


@cache
def specification(processor: str) -> Any:
    return virtual_engine_factory.create_device_spec_from_processor_id(processor)


@cache
def metrics(processor: str) -> Any:
    return virtual_engine_factory.load_median_device_calibration(processor)


def documents(processor: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the specification and the metrics, as JSON has them."""
    return (
        json_format.MessageToDict(specification(processor)),
        {
            **json_format.MessageToDict(metrics(processor).to_proto()),
            "timestampMs": str(metrics(processor).timestamp),
        },
    )


@cache
def calibration(processor: str) -> Calibration:
    return from_specification(*documents(processor), processor)
