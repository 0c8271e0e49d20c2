"""Snapshots of real devices, as published with qiskit-ibm-runtime 0.51.0 and cirq-google 1.7.0; ``make snapshots``.

Both are under the Apache License 2.0. Each snapshot names its source.
"""

from __future__ import annotations

import difflib
import gzip
from functools import cache, lru_cache
from importlib import resources

from qonverge.devices.calibration import Calibration

_ENDING = ".json.gz"


@cache
def names() -> tuple[str, ...]:
    """Return the devices of which there is a snapshot, sorted."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(file.name.removesuffix(_ENDING) for file in files if file.name.endswith(_ENDING)))


def load(name: str) -> Calibration:
    """Return a device's snapshot; a vendor's prefix such as ``ibm_`` or ``fake_`` may stand before the name.

    Raises:
        LookupError: there is none of this name.
    """
    plain = _plain(name)
    if plain not in names():
        raise LookupError(unknown(name))
    return _read(plain)


@lru_cache(maxsize=16)
def _read(plain: str) -> Calibration:
    data = (resources.files(__name__) / f"{plain}{_ENDING}").read_bytes()
    return Calibration.from_json(gzip.decompress(data).decode())


def unknown(name: str) -> str:
    """Return the sentence that says that there is no snapshot of this name, and which are near."""
    known = names()
    near = difflib.get_close_matches(_plain(name), known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"there is no snapshot of a device called {name}; {hint}"


def _plain(name: str) -> str:
    return name.lower().removeprefix("fake_").removeprefix("ibmq_").removeprefix("ibm_")
