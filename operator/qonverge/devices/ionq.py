"""Calibrations from IonQ's characterizations.

Source: ``GET /backends/{backend}/characterizations/{id}`` of API v0.4. There are medians only, which stand for each
qubit and pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from qonverge.devices.calibration import MAX_QUBITS, Calibration, Gate, InvalidCalibration, Qubit

SOURCE = "IonQ"
# Qiskit's gates that do what the native ones do.
_PAIRS = {"ms": "rxx", "zz": "rzz"}
_DIGITS = 5


def from_characterization(given: Mapping[str, Any], name: str, pair_gate: Literal["ms", "zz"]) -> Calibration:
    """Return the calibration of a device.

    Args:
        given: the JSON of the characterization.
        name: the device's own.
        pair_gate: its native gate on two qubits.

    Raises:
        InvalidCalibration: it is of another form.
    """
    try:
        count, timing = int(given["qubits"]), given.get("timing") or {}
        if not 0 < count <= MAX_QUBITS:
            raise ValueError(f"{count} qubits")
        fidelity = given["fidelity"]
        read = _error(fidelity.get("spam"))
        qubit = Qubit(_time(timing.get("t1")), _time(timing.get("t2")), read, read, _time(timing.get("readout")))
        single, pair = _error(fidelity.get("1q")), _error(fidelity.get("2q"))
        pairs = {(int(one), int(other)) for one, other in given["connectivity"]}
        pairs |= {(other, one) for one, other in pairs}
        gates = [
            *(Gate("r", (place,), single, _time(timing.get("1q"))) for place in range(count)),
            # A change of the frame takes no pulse and does not err.
            *(Gate("rz", (place,), 0.0, 0.0) for place in range(count)),
            *(Gate(_PAIRS[pair_gate], places, pair, _time(timing.get("2q"))) for places in pairs),
        ]
        measured_at = datetime.fromisoformat(str(given["date"])).timestamp()
        return Calibration(
            name,
            (qubit,) * count,
            tuple(sorted(gates, key=lambda gate: (gate.name, gate.qubits))),
            measured_at,
            SOURCE,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidCalibration(f"this is no characterization of IonQ: {error!r}") from None


def _error(given: Mapping[str, Any] | None) -> float | None:
    """Return the error of a median fidelity."""
    median = None if given is None else given.get("median")
    return None if median is None else float(f"{min(1.0, max(0.0, 1 - float(median))):.{_DIGITS}g}")


def _time(given: Any) -> float | None:
    """Return a time that was measured, seconds; nothing or less is none."""
    return float(f"{float(given):.{_DIGITS}g}") if given is not None and float(given) > 0 else None
