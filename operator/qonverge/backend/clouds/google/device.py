"""What Google tells of a processor, as the executor of cloud tasks knows it. Pure.

Sources: ``QuantumProcessor``, ``QuantumProcessorConfig``, ``QuantumCalibration`` and ``QuantumTimeSlot`` of
``google.cloud.quantum.v1alpha1``, in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from qonverge.backend.clouds.google.options import GoogleOptions
from qonverge.backend.clouds.protocol import Device
from qonverge.devices import Calibration, InvalidCalibration
from qonverge.devices.google import from_specification

# Repetitions of a job, as Cirq's validator of programs for the engine has it.
MAX_SHOTS = 5_000_000
_HEALTHY = ("OK", "HEALTH_UNSPECIFIED")


def described(
    processor: Mapping[str, Any],
    specification: Mapping[str, Any],
    metrics: Mapping[str, Any] | None,
    slots: Sequence[Mapping[str, Any]],
    options: GoogleOptions,
    now: float,
) -> Device:
    """Return the device.

    Args:
        processor: ``QuantumProcessor``.
        specification: ``DeviceSpecification`` in force.
        metrics: ``MetricsSnapshot``; None where there is none.
        slots: ``QuantumTimeSlot``, from now on.
        options: the backend's own.
        now: Unix seconds.
    """
    name, health = options.processor, str(processor.get("health") or _HEALTHY[1])
    reason, available_at = "", None
    calibration, misfit = _calibration(specification, metrics, name)
    online = health in _HEALTHY and not misfit
    if misfit:
        reason = misfit
    elif not online:
        recovers = moment(processor.get("expectedRecoveryTime"))
        available_at = recovers if recovers is not None and recovers > now else None
        until = "" if available_at is None else f", until about {_text(available_at)}"
        reason = f"{name} is {health.lower()}{until}"
    elif (blocked := _blocked(slots, options.project, now)) is not None:
        # It takes jobs, and runs them afterwards.
        why, available_at = blocked
        reason = f"{name} {why} until {_text(available_at)}"
    jobs = (processor.get("activityStats") or {}).get("activeJobsCount")
    return Device(
        online=online,
        reason=reason,
        available_at=available_at,
        num_qubits=None if calibration is None else calibration.num_qubits,
        max_shots=MAX_SHOTS,
        calibration=calibration,
        queue_length=None if jobs is None else int(jobs),
    )


def moment(text: Any) -> float | None:
    """Return a time stamp of protocol buffers as Unix seconds; None where there is none."""
    # Python takes six digits of a second's part, and Google may write nine.
    return None if not text else datetime.fromisoformat(_micros(str(text))).timestamp()


def _micros(text: str) -> str:
    head, dot, rest = text.partition(".")
    digits = rest.rstrip("Z")
    return f"{head}{dot}{digits[:6]}+00:00" if dot and rest.endswith("Z") else text


def _calibration(
    specification: Mapping[str, Any], metrics: Mapping[str, Any] | None, name: str
) -> tuple[Calibration | None, str]:
    """Return the calibration, or why no circuit can be made for the processor."""
    try:
        return from_specification(specification, metrics, name), ""
    except InvalidCalibration as error:
        return None, f"no circuits can be made for {name}: {error}"


def _blocked(slots: Sequence[Mapping[str, Any]], project: str, now: float) -> tuple[str, float] | None:
    """Return why nothing of the project runs now, and until when."""
    why, until = "", now
    for slot in sorted(slots, key=lambda each: moment(each.get("startTime")) or 0.0):
        start, end = moment(slot.get("startTime")) or 0.0, moment(slot.get("endTime"))
        kind, holder = slot.get("timeSlotType"), (slot.get("reservationConfig") or {}).get("projectId")
        taken = kind == "MAINTENANCE" or (kind == "RESERVATION" and holder != project)
        if end is not None and start <= until < end and taken:
            why = why or ("is in maintenance" if kind == "MAINTENANCE" else "is reserved for another project")
            until = end
    return (why, until) if why else None


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
