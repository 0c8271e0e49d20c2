"""Gates that Amazon Braket has under a name of its own and that are the same as Qiskit's: qubits, order and angles.

Up to a phase of the whole circuit, which no measurement shows: ``sx`` and ``v`` are both a square root of X.
"""

from __future__ import annotations

from collections.abc import Mapping

BRAKET_NAMES: Mapping[str, str] = {
    "x": "x",
    "y": "y",
    "z": "z",
    "h": "h",
    "s": "s",
    "sdg": "si",
    "t": "t",
    "tdg": "ti",
    "sx": "v",
    "sxdg": "vi",
    "rx": "rx",
    "ry": "ry",
    "rz": "rz",
    "p": "phaseshift",
    "cx": "cnot",
    "cy": "cy",
    "cz": "cz",
    "cp": "cphaseshift",
    "swap": "swap",
    "iswap": "iswap",
    "rxx": "xx",
    "ryy": "yy",
    "rzz": "zz",
    "ccx": "ccnot",
    "cswap": "cswap",
}
"""Braket's names by Qiskit's."""
