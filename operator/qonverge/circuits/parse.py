"""OpenQASM text to circuits. Only the standard headers can be included; nothing is read from disk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.source import Source

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

_VERSION = re.compile(r"\s*OPENQASM\s+((\d+)(?:\.(\d+))?)\s*;")
_VERSIONS = '"OPENQASM 3.0;" or "OPENQASM 2.0;"'


def parse_openqasm(text: str) -> QuantumCircuit:
    """Return the circuit that an OpenQASM 2 or 3 text describes, in canonical form.

    Raises:
        InvalidProgram: with line and column, counted from 1, and what was expected.
    """
    source = Source(text.removeprefix("\ufeff"))
    version = _version(source)
    try:
        if version == 2:
            from qonverge.circuits.openqasm2 import parse as parse_version
        else:
            from qonverge.circuits.openqasm3 import parse as parse_version
        from qonverge.circuits.canonical import canonical

        return canonical(parse_version(source))
    except RecursionError:
        raise InvalidProgram(
            "the program is nested too deeply", expected="fewer brackets, blocks or gates inside each other"
        ) from None


def _version(source: Source) -> int:
    if not source.text.strip():
        raise source.invalid(0, "the program is empty", _VERSIONS)
    if unprintable := re.search(r"[\x00-\x08\x0e-\x1f\x7f]", source.text):
        raise source.invalid(
            unprintable.start(),
            f"the text has the character U+{ord(unprintable[0]):04X}, so this is no text or it was damaged",
            "OpenQASM as plain text",
        )
    found = _VERSION.match(source.code)
    if found is None:
        start = len(source.code) - len(source.code.lstrip())
        word = source.word(start)
        if not word:
            raise source.invalid(0, "the program has only comments", _VERSIONS)
        if word != "OPENQASM":
            raise source.invalid(start, f"the version is missing: the program begins with {word!r}", _VERSIONS)
        raise source.invalid(start, "the version cannot be read", _VERSIONS)
    if found[2] not in ("2", "3") or (found[2] == "2" and int(found[3] or 0)):
        raise source.invalid(found.start(1), f"OpenQASM {found[1]} is not known", "2.0 or 3.0")
    return int(found[2])
