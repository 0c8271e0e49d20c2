"""What a person is told of a mistake in OpenQASM 3: the problem, and what was expected."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

from qonverge.circuits.qasm.source import Source

Advice = tuple[str, str | None]
"""The problem and what was expected."""

TOKENS = {"Identifier": "a name", "StringLiteral": "a file name in quotes", "EOF": "the end of the program"}
"""The grammar's tokens in plain words."""

# OpenQASM 3 specification, "Standard library".
_STANDARD_GATES = frozenset(
    [
        *(
            "p",
            "x",
            "y",
            "z",
            "h",
            "s",
            "sdg",
            "t",
            "tdg",
            "sx",
            "rx",
            "ry",
            "rz",
            "cx",
            "cy",
            "cz",
            "cp",
            "crx",
            "cry",
        ),
        *("crz", "ch", "swap", "ccx", "cswap", "cu", "CX", "phase", "cphase", "id", "u1", "u2", "u3"),
    ]
)
_STATEMENT = 'a statement such as "h q[0];" or "c = measure q;"'
_SUPPORTED = "gates, measurements, classical variables, control flow and subroutines"
_STATEMENTS = {
    "CalibrationDefinition": "defcal",
    "CalibrationGrammarDeclaration": "defcalgrammar",
    "CalibrationStatement": "cal",
    "ExternDeclaration": "extern",
}
_INSTEAD = {
    "CalibrationDefinition": "a gate definition",
    "ExternDeclaration": "gates and measurements; Python programs can compute",
}
_TYPES = {"stretch": "a duration such as 100ns: nothing here knows how long gates take"}

_CIRCUITS: tuple[tuple[str, str, str | None], ...] = (
    (r"duplicate bit arguments", "a gate is given the same qubit twice", "different qubits"),
    (
        r"The amount of qubit\((\d+)\)/clbit\(\d+\) arguments does not match the gate expectation \((\d+)\)",
        "wrong number of qubits: {0}",
        "{1}",
    ),
    (r"register size error", "the registers have different sizes", "as many bits as qubits"),
    (r"register name \"(.*)\" already exists", "the name {0!r} is taken", "another name"),
    (
        r"integer division or modulo by zero|.*division by zero.*|.*[Zz]ero ?[Dd]ivision.*",
        "a division by zero",
        "another divisor",
    ),
    (r"cannot have a non-unitary '(.*)' instruction in a gate", "{0} inside a gate definition", "gates only"),
    (r"'(break|continue|return)' statement outside (loop|subroutine)", "{0} outside a {1}", "it inside a {1} only"),
)


def of_unsupported(kind: str) -> Advice:
    """Return what to say of a node that no circuit can hold."""
    name = _STATEMENTS.get(kind, kind)
    return f"{name} is not supported", _INSTEAD.get(kind, _SUPPORTED)


def of_unknown_gate(name: str, known: Collection[str]) -> str:
    """Return what was expected in place of a gate that nobody defined."""
    if name in _STANDARD_GATES:
        return 'include "stdgates.inc"; above it'
    return _like(name, known) or f'a gate of "stdgates.inc" or a definition such as "gate {name} q {{ ... }}" above it'


def of_unknown_name(name: str, known: Iterable[str]) -> str:
    """Return what was expected in place of a name that stands for nothing."""
    return _like(name, known) or "a declaration above it"


def of_type(name: str) -> Advice:
    """Return what to say of a type that no circuit can hold."""
    return f"variables of type {name} are not supported", _TYPES.get(
        name, "bit, int, uint, bool, float, angle or duration"
    )


def of_circuit(message: str) -> Advice:
    """Return Qiskit's message in plain words."""
    message = message.strip().rstrip(".")
    for pattern, problem, expected in _CIRCUITS:
        if said := re.fullmatch(pattern, message, re.DOTALL):
            return problem.format(*said.groups()), expected and expected.format(*said.groups())
    return message, None


def of_character(source: Source, offset: int) -> Advice:
    """Return what to say of a character that begins no token."""
    if re.search(r"\binclude\s*$", source.code[:offset]):
        return f"unexpected {source.word(offset)!r}", '"stdgates.inc" in quotes'
    found = source.text[offset]
    if found in "\"'":
        return "the quotation is not closed", f"{found} at its end, in the same line"
    return f"unexpected character {found!r}", '"//" before a comment' if found == "#" else _STATEMENT


def of_unexpected(source: Source, offset: int, found: str) -> str:
    """Return what was expected in place of a token, by what is open before it."""
    closing = source.open_bracket(offset)
    if closing == "}":
        return "'}'" if offset >= len(source.text.rstrip()) else _STATEMENT
    if closing is not None:
        return "a value" if found == closing else f"an operator or {closing!r}"
    return "a '{' before it" if found == "}" else _STATEMENT


def _like(name: str, known: Iterable[str]) -> str | None:
    close = [item for item in known if item.lower() == name.lower()] or difflib.get_close_matches(
        name, sorted(known), n=1, cutoff=0.75
    )
    return f"a name that is declared, perhaps {close[0]!r}" if close else None
