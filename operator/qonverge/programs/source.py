"""A job's program as it was given: inline, or a ConfigMap's key. The same with and without a cluster. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

from qonverge.api import HybridJob
from qonverge.api.base import ConfigMapKeyRef
from qonverge.circuits import InvalidProgram

Program = str | bytes
"""A text, or bytes that the checker tells apart: QPY, or a compressed circuit."""


def inline(job: HybridJob) -> Program | None:
    """Return the program that stands in the job itself, None where it names a ConfigMap.

    Raises:
        InvalidProgram: it is not in base64.
    """
    circuit, python = job.spec.program.circuit, job.spec.program.python
    if circuit is None:
        assert python is not None
        return python.source
    return circuit.openqasm if circuit.qpy is None else _decoded(circuit.qpy, "qpy")


def reference(job: HybridJob) -> ConfigMapKeyRef | None:
    """Return the ConfigMap's key that holds the program, None where it stands in the job itself."""
    chosen = job.spec.program.circuit or job.spec.program.python
    assert chosen is not None
    return chosen.config_map_key_ref


def value(config_map: Mapping[str, Any], key: str) -> Program | None:
    """Return what a ConfigMap's key holds, None where it has no such key.

    Raises:
        InvalidProgram: it is not in base64.
    """
    text: str | None = (config_map.get("data") or {}).get(key)
    if text is not None:
        return text
    coded = (config_map.get("binaryData") or {}).get(key)
    return None if coded is None else _decoded(coded, f"the key {key}")


def keys(config_map: Mapping[str, Any]) -> str:
    """Return the names of a ConfigMap's keys for a message."""
    return ", ".join([*(config_map.get("data") or {}), *(config_map.get("binaryData") or {})]) or "none"


def digest(program: Program) -> str:
    """Return the program's SHA-256, in hex."""
    return hashlib.sha256(program.encode() if isinstance(program, str) else program).hexdigest()


def text(program: Program) -> str:
    """Return a Python program's text.

    Raises:
        InvalidProgram: it is none.
    """
    if isinstance(program, bytes):
        raise InvalidProgram("the ConfigMap's key holds binary data", expected="a Python program as UTF-8 text")
    return program


def _decoded(coded: str, what: str) -> bytes:
    try:
        # The command base64 breaks its lines.
        return base64.b64decode("".join(coded.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidProgram(f"{what} is not in base64", expected='what "base64 FILE" prints') from None
