"""The devices: those of IBM whose configuration and properties qiskit-ibm-runtime carries."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qonverge_dev_cloud.scenario import Drift

NAMES = ("ibm_fez", "ibm_brisbane")
_ERRORS = frozenset(("gate_error", "readout_error", "prob_meas0_prep1", "prob_meas1_prep0"))


@dataclass(frozen=True, slots=True)
class Device:
    """A device as the API describes it."""

    name: str
    configuration: Mapping[str, Any]
    properties: Mapping[str, Any]

    @property
    def width(self) -> int:
        """Its qubits."""
        return int(self.configuration["n_qubits"])


@lru_cache
def device(name: str) -> Device:
    """Return a device."""
    # The package itself is not loaded for its files.
    package = find_spec("qiskit_ibm_runtime")
    assert package is not None and package.origin is not None, "it is installed with this package"
    folder, short = Path(package.origin).parent / "fake_provider" / "backends", name.removeprefix("ibm_")
    configuration, properties = (
        json.loads((folder / short / f"{kind}_{short}.json").read_text(encoding="utf-8")) for kind in ("conf", "props")
    )
    return Device(name, {**configuration, "backend_name": name}, {**properties, "backend_name": name})


@lru_cache(maxsize=8)
def properties(name: str, drift: Drift | None, seed: int, start: float, epoch: int) -> Mapping[str, Any]:
    """Return the properties of a calibration: the first as published, later ones with other error rates.

    Args:
        name: of the device.
        drift: how calibrations differ.
        seed: of the scenario.
        start: when the clouds started, seconds since 1970.
        epoch: which one it is, from 0.
    """
    published = device(name).properties
    if drift is None or not epoch:
        return published
    found = copy.deepcopy(dict(published))
    when = datetime.fromtimestamp(start + epoch * drift.seconds, UTC).isoformat()
    found["last_update_date"] = when
    parts = [(f"qubit/{place}", own) for place, own in enumerate(found["qubits"])]
    parts += [(f"{gate['gate']}/{gate['qubits']}", gate["parameters"]) for gate in found["gates"]]
    for part, parameters in parts:
        factor = math.exp(random.Random(f"{seed}/{name}/{part}/{epoch}").gauss(0, drift.spread))  # noqa: S311
        for parameter in parameters:
            # An error of 1 says that it is out of order.
            if parameter["name"] in _ERRORS and parameter["value"] < 1:
                parameter["value"] = min(parameter["value"] * factor, 0.5)
                parameter["date"] = when
    return found
