"""OpenQASM text to circuits. Only the standard headers can be included; nothing is read from disk."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.qasm.parsed import Parsed
from qonverge.circuits.qasm.source import Source

_VERSION = re.compile(r"\s*OPENQASM\s+((\d+)(?:\.(\d+))?)\s*;")
# Words that begin a statement of OpenQASM 3, in which the version may be left out.
_STATEMENTS = frozenset(
    [
        *(
            "include",
            "pragma",
            "#pragma",
            "@",
            "qubit",
            "bit",
            "bool",
            "int",
            "uint",
            "float",
            "angle",
            "complex",
            "array",
        ),
        *("duration", "stretch", "const", "input", "output", "let", "gate", "def", "extern", "cal", "defcal", "box"),
        *(
            "defcalgrammar",
            "U",
            "gphase",
            "ctrl",
            "negctrl",
            "inv",
            "pow",
            "reset",
            "measure",
            "barrier",
            "delay",
            "if",
        ),
        *("for", "while", "switch", "end"),
    ]
)
_VERSIONS = '"OPENQASM 3.0;" or "OPENQASM 2.0;"'


def parse_openqasm(text: str, parameters: Mapping[str, float] | None = None) -> Parsed:
    """Return the circuit that an OpenQASM 2 or 3 text describes, in canonical form.

    Args:
        text: the program.
        parameters: values of inputs; those of type float and angle stay free unless they have to be known.

    Raises:
        InvalidProgram: with line and column, counted from 1, and what was expected.
    """
    source = Source(text.removeprefix("\ufeff"))
    version = _version(source)
    try:
        from qonverge.circuits.analysis.canonical import canonical

        if version == 2:
            from qonverge.circuits.qasm import openqasm2

            return Parsed(canonical(openqasm2.parse(source)), openqasm2.warnings(source))
        from qonverge.circuits.qasm import openqasm3

        parsed = openqasm3.parse(source, parameters or {})
        return replace(parsed, circuit=canonical(parsed.circuit))
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
        if word in _STATEMENTS and "qelib1.inc" not in source.uncommented:
            return 3
        if word != "OPENQASM":
            raise source.invalid(start, f"the version is missing: the program begins with {word!r}", _VERSIONS)
        raise source.invalid(start, "the version cannot be read", _VERSIONS)
    if found[2] not in ("2", "3") or (found[2] == "2" and int(found[3] or 0)):
        raise source.invalid(found.start(1), f"OpenQASM {found[1]} is not known", "2.0 or 3.0")
    return int(found[2])
