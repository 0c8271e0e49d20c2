"""IBM's description of a device, as the executor of cloud tasks knows it. Pure.

Source: ``/backends/NAME/status``, ``/configuration`` and ``/properties`` of IBM Quantum's API, as qiskit-ibm-runtime
reads them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from qonverge.backend.clouds.protocol import Device
from qonverge.devices import Calibration, InvalidCalibration
from qonverge.devices.ibm import from_properties

logger = logging.getLogger(__name__)

# IBM publishes none for jobs, where the configuration has none: so are results and requests of a size that fits here.
_MOST_SETS = 1000
# Shots times parameter sets of a job of the Sampler ("Job limits" of IBM's guides, read on 2026-11-30).
_MOST_EXECUTIONS = 10_000_000
# Angles of these must lie within [0, pi/2], which parameters need not.
_FRACTIONAL = frozenset(("rx", "rzz"))


def described(
    name: str, status: Mapping[str, Any], configuration: Mapping[str, Any], properties: Mapping[str, Any]
) -> Device:
    """Return the device.

    Args:
        name: of the device.
        status: whether it takes jobs, and how many wait.
        configuration: its qubits, gates and limits.
        properties: its errors.

    Raises:
        ValueError, TypeError, LookupError: something is of another form.
    """
    calibration = _calibration(name, configuration, properties)
    online, word = bool(status.get("state")), str(status.get("status") or "")
    reason = ""
    if not online or word not in ("", "active"):
        more = str(status.get("message") or "")
        reason = f"{name} is {word or 'offline'}" + (f": {more}" if more else "")
    if calibration is None:
        online, reason = False, f"IBM tells no properties of {name} that can be read, and circuits are laid out by them"
    shots, programs, length = (
        given.get(name)
        for given, name in ((configuration, "max_shots"), (configuration, "max_experiments"), (status, "length_queue"))
    )
    return Device(
        online=online,
        reason=reason,
        num_qubits=int(configuration["n_qubits"]),
        max_shots=None if shots is None else int(shots),
        max_programs=_MOST_SETS if programs is None else max(1, min(_MOST_SETS, int(programs))),
        max_total_shots=_MOST_EXECUTIONS,
        # The Estimator may choose its shots.
        min_total_shots=0,
        calibration=calibration,
        queue_length=None if length is None else max(0, int(length)),
    )


def _calibration(name: str, configuration: Mapping[str, Any], properties: Mapping[str, Any]) -> Calibration | None:
    gates = [gate for gate in configuration["basis_gates"] if gate not in _FRACTIONAL]
    try:
        return from_properties({**properties, "backend_name": name}, {**configuration, "basis_gates": gates}, name)
    except InvalidCalibration as error:
        logger.warning("the properties of %s cannot be read: %s", name, error)
        return None
