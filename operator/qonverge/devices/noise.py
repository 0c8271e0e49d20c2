"""What makes a simulator noisy: the calibration of a device, or rates that hold everywhere."""

from __future__ import annotations

import re
import zlib
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

# Python writes so what was not measured, and JSON has no such number.
_NAN = re.compile(r"(?<=[:\s,\[])NaN(?=[\s,\]}])")
_GZIP = b"\x1f\x8b"
MAX_BYTES = 64 * 1024**2
"""Of a calibration's text. IBM's properties of 156 qubits take 0.7 MB."""


def noise_from_dict(data: Any) -> Noise:
    """Return the noise in one of the forms: a calibration, rates, or IBM's properties, with or without configuration.

    Raises:
        InvalidCalibration: it is none of them; the message names the field that is wrong.
    """
    if isinstance(data, Mapping) and data.get("format") == RATES_FORMAT:
        return Rates.from_dict(data)
    if isinstance(data, Mapping) and set(data) == {"configuration", "properties"}:
        return ibm.from_properties(data["properties"], data["configuration"])
    if isinstance(data, Mapping) and ibm.is_properties(data):
        return ibm.from_properties(data)
    return Calibration.from_dict(data)


def noise_from_json(text: str) -> Noise:
    """Return the noise in a JSON text; see ``noise_from_dict``.

    Raises:
        InvalidCalibration: it is none.
    """
    try:
        data = strict_json.loads(_NAN.sub("null", text))
    except Unreadable as error:
        raise InvalidCalibration(f"the calibration is not JSON: {error}") from None
    return noise_from_dict(data)


def noise_from_data(data: str | bytes) -> Noise:
    """Return the noise in a text or in a file's bytes: JSON, plain or compressed by gzip; see ``noise_from_dict``.

    Raises:
        InvalidCalibration: it is none.
    """
    if isinstance(data, str):
        return noise_from_json(data)
    if data.startswith(_GZIP):
        unzip = zlib.decompressobj(wbits=31)
        try:
            data = unzip.decompress(data, MAX_BYTES)
        except zlib.error as error:
            raise InvalidCalibration(f"the calibration is damaged: gzip says {error}") from None
        if unzip.unconsumed_tail:
            raise InvalidCalibration(f"the calibration takes more than {MAX_BYTES >> 20} MiB when it is unpacked")
        if not unzip.eof:
            raise InvalidCalibration("the calibration is damaged: its end is missing")
    try:
        return noise_from_json(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidCalibration(f"the calibration is neither UTF-8 nor compressed by gzip: {error}") from None


def noise_named(text: str) -> Noise:
    """Return the noise that a short text stands for: the name of a snapshot, or JSON.

    Raises:
        InvalidCalibration: the JSON is no calibration.
        LookupError: there is no snapshot of this name.
    """
    return noise_from_json(text) if text.lstrip().startswith("{") else snapshots.load(text)
