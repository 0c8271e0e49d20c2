"""Which gates Braket's devices take in programs, by who made them.

They are those that Amazon's developer guide lists ("Submitting quantum tasks to QPUs") and a device's properties name
in ``supportedOperations``. The translator goes by this table, since it has no network to ask. Should a device have one
less, Braket refuses programs with that gate before anything is paid; without those that all others are made of the
server takes the device for unavailable.
"""

from __future__ import annotations

from collections.abc import Mapping

from qonverge.backend.engines.braket_names import BRAKET_NAMES

NAMES: Mapping[str, str] = {**BRAKET_NAMES, "id": "i"}
"""Braket's names by Qiskit's."""

_ALL = frozenset(NAMES)
_LACKING: Mapping[str, frozenset[str]] = {
    "amazon": frozenset(),
    "aqt": frozenset(),
    "iqm": frozenset(),
    "ionq": frozenset(("p", "cp", "cy", "cz", "iswap", "ccx", "cswap", "id")),
    "rigetti": frozenset(("sx", "sxdg", "cy", "rxx", "ryy", "rzz")),
}
COMMON = _ALL.difference(*_LACKING.values())
"""Qiskit's names of the gates that every device of today has; any circuit can be written with them."""


NATIVE: Mapping[str, tuple[str, ...]] = {
    "iqm": ("r", "cz"),
    "ionq": ("r", "rzz"),
    "rigetti": ("rx", "rz", "iswap"),
}
"""Qiskit's names of the gates that verbatim boxes may have, by who made the device; others take none of ours."""


def gates_of(family: str) -> frozenset[str]:
    """Return Qiskit's names of the gates that programs for such a device may have."""
    return _ALL - _LACKING[family] if family in _LACKING else COMMON
