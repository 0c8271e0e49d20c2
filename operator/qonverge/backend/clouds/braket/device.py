"""Braket's description of a device, as the executor of cloud tasks knows it. Pure.

Source: ``GetDevice`` of Braket's API, and the documents of amazon-braket-schemas in its ``deviceCapabilities``. They
are read as plain JSON: a field more or another version of a schema must not stop a backend.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from qonverge.amounts import Prices
from qonverge.backend.clouds.braket.gates import COMMON, NAMES
from qonverge.backend.clouds.braket.options import BraketOptions
from qonverge.backend.clouds.braket.windows import next_opening
from qonverge.backend.clouds.protocol import Device
from qonverge.devices import Calibration, InvalidCalibration
from qonverge.devices.braket import from_capabilities

logger = logging.getLogger(__name__)

_ACTION = "braket.ir.openqasm.program"
_SETS = "braket.ir.openqasm.program_set"
_QUEUE = "QUANTUM_TASKS_QUEUE"
# Amazon's price list has it, the same for all QPUs; the properties of a device have the price of a shot only.
TASK_FEE = Decimal("0.30")
# A simulator charges at least so long for each task. That much is taken as a fee, so that no estimate is too low.
_LEAST_SECONDS = 3
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


def described(reply: Mapping[str, Any], options: BraketOptions, now: float) -> Device:
    """Return the device.

    Args:
        reply: what ``GetDevice`` returned.
        options: the backend's own.
        now: Unix seconds.

    Raises:
        ValueError: the capabilities are no JSON.
    """
    properties = json.loads(reply["deviceCapabilities"])
    service = properties.get("service") or {}
    reason, available_at = _availability(reply, service, options, now)
    offline = reply.get("deviceStatus") != "ONLINE"
    if misfit := _misfit(properties, options):
        offline, reason, available_at = True, misfit, None
    shots = (options.reservation and service.get("reservationShotsRange")) or service.get("shotsRange") or (1, None)
    actions = properties.get("action") or {}
    sets = actions.get(_SETS) or {}
    results = (actions.get(_ACTION) or {}).get("supportedResultTypes") or ()
    exact = {each.get("name") for each in results if each.get("minShots") == 0}
    return Device(
        online=not offline,
        reason=reason,
        available_at=available_at,
        num_qubits=(properties.get("paradigm") or {}).get("qubitCount"),
        max_shots=shots[1],
        max_programs=max(1, sets.get("maximumExecutables") or 1),
        max_total_shots=sets.get("maximumTotalShots"),
        min_total_shots=sets.get("minimumTotalShots") or 1,
        calibration=_calibration(properties, options),
        # No on-demand simulator errs unless the program says how, and none of ours does.
        ideal=reply.get("deviceType") == "SIMULATOR",
        exact="Expectation" in exact and options.exact,
        states="StateVector" in exact and options.gives_states,
        prices=prices(service.get("deviceCost"), reply.get("deviceType", ""), reserved=bool(options.reservation)),
        queue_length=queue_length(reply.get("deviceQueueInfo") or ()),
    )


def _availability(
    reply: Mapping[str, Any], service: Mapping[str, Any], options: BraketOptions, now: float
) -> tuple[str, float | None]:
    """Return why the device runs nothing now, and when it does again."""
    name, status, told = options.device_name, str(reply.get("deviceStatus")), reply.get("deviceStatusReason") or {}
    opens = None
    # A reservation has times of its own.
    if not options.reservation:
        try:
            opens = next_opening(service.get("executionWindows") or (), now)
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("execution windows of %s cannot be read: %s", name, error)
    opens = None if opens == now else opens
    if status == "ONLINE":
        return ("", None) if opens is None else (f"{name} runs tasks from {_time(opens)} on, its next window", opens)
    if status == "RETIRED":
        return f"{name} is retired: use a backend with another device", None
    why = f" for {str(told['reason']).lower().replace('_', ' ')}" if "reason" in told else ""
    ends = told.get("estimatedEndAt")
    until = ends.timestamp() if isinstance(ends, datetime) else opens
    until = until if until is not None and until > now else None
    return f"{name} is {status.lower()}{why}" + (f", until about {_time(until)}" if until else ""), until


def _misfit(properties: Mapping[str, Any], options: BraketOptions) -> str:
    """Return why no program of ours can run on the device; empty where they can."""
    action = (properties.get("action") or {}).get(_ACTION)
    if action is None:
        return f"{options.device_name} runs no circuits, of which Braket says that it takes no {_ACTION}"
    known = {str(name).lower() for name in action.get("supportedOperations") or ()}
    lacking = sorted(NAMES[gate] for gate in COMMON if NAMES[gate] not in known)
    if lacking:
        return (
            f"{options.device_name} takes no gate {', '.join(lacking)} any more, of which programs are made: another "
            "version of Qonverge is needed"
        )
    return ""


def _calibration(properties: Mapping[str, Any], options: BraketOptions) -> Calibration | None:
    try:
        return from_capabilities(properties, options.device_name)
    except InvalidCalibration as error:
        logger.warning("the calibration of %s cannot be read: %s", options.device_name, error)
        return None


def prices(cost: Mapping[str, Any] | None, kind: str, *, reserved: bool = False) -> Prices | None:
    """Return what tasks cost; None: that is not told.

    Args:
        cost: ``deviceCost`` of the device's service properties, in US dollars.
        kind: ``deviceType``: QPU or SIMULATOR.
        reserved: whether tasks run in a reservation, whose time is charged and not they.
    """
    if reserved:
        return Prices()
    if not cost:
        return None
    price, unit = Decimal(str(cost["price"])), str(cost["unit"]).lower()
    if unit == "shot":
        return Prices(task=TASK_FEE if kind == "QPU" else Decimal(0), shot=price)
    if unit == "task":
        return Prices(task=price)
    if unit not in _SECONDS:
        return None
    second = price / _SECONDS[unit]
    return Prices(task=second * _LEAST_SECONDS, second=second)


def queue_length(queues: Iterable[Mapping[str, Any]]) -> int | None:
    """Return how many tasks wait, those with priority too; at least so many where Braket says "more than"."""
    sizes = [number(queue.get("queueSize")) for queue in queues if queue.get("queue") == _QUEUE]
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None


def number(text: Any) -> int | None:
    """Return the number in a text such as ``12`` or ``>2000``; None where there is none."""
    digits = str(text or "").lstrip("> ").strip()
    return int(digits) if digits.isdigit() else None


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
