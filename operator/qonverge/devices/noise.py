"""What makes a simulator noisy: the calibration of a device, or rates that hold everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from qonverge.devices import ibm, snapshots
from qonverge.devices.calibration import Calibration, InvalidCalibration
from qonverge.devices.rates import RATES_FORMAT, Rates
from qonverge.documents import strict_json
from qonverge.documents.faults import Unreadable

Noise: TypeAlias = Calibration | Rates
"""Both have ``name``, ``digest``, ``measured_at``, ``num_qubits`` (None: any), ``basis_gates``, ``dt``,
``qubit(index)``, ``gate(name, qubits)`` and ``to_dict()``."""


def noise_from_dict(data: Any) -> Noise:
    """Return the noise in one of the forms: a calibration, rates, or IBM's configuration and properties.

    Raises:
        InvalidCalibration: it is none of them; the message names the field that is wrong.
    """
    if isinstance(data, Mapping) and data.get("format") == RATES_FORMAT:
        return Rates.from_dict(data)
    if isinstance(data, Mapping) and set(data) == {"configuration", "properties"}:
        return ibm.from_properties(data["configuration"], data["properties"], "IBM's properties")
    return Calibration.from_dict(data)


def noise_from_json(text: str) -> Noise:
    """Return the noise in a JSON text; see ``noise_from_dict``.

    Raises:
        InvalidCalibration: it is none.
    """
    try:
        data = strict_json.loads(text)
    except Unreadable as error:
        raise InvalidCalibration(f"the calibration is not JSON: {error}") from None
    return noise_from_dict(data)


def noise_named(text: str) -> Noise:
    """Return the noise that a short text stands for: the name of a snapshot, or JSON.

    Raises:
        InvalidCalibration: the JSON is no calibration.
        LookupError: there is no snapshot of this name.
    """
    return noise_from_json(text) if text.lstrip().startswith("{") else snapshots.load(text)
