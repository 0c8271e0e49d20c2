"""A job's program as it was given: inline, or a ConfigMap's key. The same with and without a cluster. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

from qonverge.circuits import InvalidProgram

Program = str | bytes
"""A text, or bytes that the checker tells apart: QPY, or a compressed circuit."""


def value(config_map: Mapping[str, Any], key: str) -> Program | None:
    """Return what a ConfigMap's key holds, None where it has no such key.

    Raises:
        InvalidProgram: it is not in base64.
    """
    text: str | None = (config_map.get("data") or {}).get(key)
    if text is not None:
        return text
    coded = (config_map.get("binaryData") or {}).get(key)
    return None if coded is None else decoded(coded, f"the key {key}")


def keys(config_map: Mapping[str, Any]) -> str:
    """Return the names of a ConfigMap's keys for a message."""
    return ", ".join([*(config_map.get("data") or {}), *(config_map.get("binaryData") or {})]) or "none"


def digest(program: Program) -> str:
    """Return the program's SHA-256, in hex."""
    return hashlib.sha256(program.encode() if isinstance(program, str) else program).hexdigest()


def decoded(coded: str, what: str) -> bytes:
    """Return what a text in base64 holds.

    Raises:
        InvalidProgram: it is not in base64; ``what`` names it.
    """
    try:
        # The command base64 breaks its lines.
        return base64.b64decode("".join(coded.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidProgram(f"{what} is not in base64", expected='what "base64 FILE" prints') from None
