"""Snapshots of real devices, as published with qiskit-ibm-runtime 0.51.0 (Apache License 2.0); ``make snapshots``."""

from __future__ import annotations

import difflib
import gzip
from importlib import resources

from qonverge.devices.calibration import Calibration

_ENDING = ".json.gz"


def names() -> tuple[str, ...]:
    """Return the devices of which there is a snapshot, sorted."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(file.name.removesuffix(_ENDING) for file in files if file.name.endswith(_ENDING)))


def load(name: str) -> Calibration:
    """Return a device's snapshot; a vendor's prefix such as ``ibm_`` or ``fake_`` may stand before the name.

    Raises:
        LookupError: there is none of this name.
    """
    plain = name.lower().removeprefix("fake_").removeprefix("ibmq_").removeprefix("ibm_")
    known = names()
    if plain not in known:
        near = difflib.get_close_matches(plain, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise LookupError(f"there is no snapshot of a device called {name}; {hint}")
    data = (resources.files(__name__) / f"{plain}{_ENDING}").read_bytes()
    return Calibration.from_json(gzip.decompress(data).decode())
