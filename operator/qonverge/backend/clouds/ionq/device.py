"""IonQ's description of a device, as the executor of cloud tasks knows it. Pure.

Source: ``GET /backends/{backend}``, ``/backends/{backend}/characterizations/{id}`` and ``/sessions/{id}`` of API v0.4.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from qonverge.amounts import Prices
from qonverge.backend.clouds.ionq.options import IonqOptions
from qonverge.backend.clouds.protocol import Device
from qonverge.devices import Calibration, InvalidCalibration
from qonverge.devices.ionq import from_characterization

logger = logging.getLogger(__name__)


def described(
    backend: Mapping[str, Any],
    characterization: Mapping[str, Any] | None,
    session: Mapping[str, Any] | None,
    options: IonqOptions,
) -> Device:
    """Return the device.

    Args:
        backend: what IonQ says of it.
        characterization: the one in force; None: there is none.
        session: that of the options; None: they name none.
        options: the backend's own.
    """
    reason = _reason(backend, session, options)
    wait = backend.get("average_queue_time")
    return Device(
        online=not reason,
        reason=reason,
        num_qubits=int(backend["qubits"]),
        max_shots=options.most_shots if options.splits else None,
        calibration=_calibration(characterization, options),
        ideal=options.exact,
        prices=_prices(options),
        wait_seconds=None if wait is None else max(0.0, float(wait) / 1000),
    )


def _reason(backend: Mapping[str, Any], session: Mapping[str, Any] | None, options: IonqOptions) -> str:
    """Return why it runs none of our tasks; empty where it does."""
    name, status = options.backend, str(backend["status"])
    if status == "retired":
        return f"{name} is retired: use a backend with another device"
    if status != "available":
        return f"{name} is {status}"
    if session is not None and session.get("backend") not in (None, name):
        return f"the session {options.session} is one of {session['backend']}, and not of {name}"
    if session is not None and not session["active"]:
        return f"the session {options.session} has ended: name another in the field session, or leave it out"
    known = backend.get("supported_gates" if options.gateset == "QIS" else "supported_native_gates")
    lacking = sorted(options.written_gates - set(known)) if known else []
    if lacking:
        return f"{name} takes no gate {', '.join(lacking)}: choose another gateset, or another version of Qonverge"
    return ""


def _prices(options: IonqOptions) -> Prices | None:
    """Return what a task costs at most; None: that is not known.

    IonQ's prices are for each gate of each shot, with a minimum, so what a task costs depends on its circuit.
    """
    if options.simulated:
        return Prices()
    return None if options.limit is None else Prices(task=options.limit)


def _calibration(characterization: Mapping[str, Any] | None, options: IonqOptions) -> Calibration | None:
    if characterization is None:
        return None
    try:
        return from_characterization(characterization, options.backend, options.pair_gate)
    except InvalidCalibration as error:
        logger.warning("the characterization of %s cannot be read: %s", options.backend, error)
        return None
