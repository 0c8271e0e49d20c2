"""OpenQASM text to circuits. Only the standard headers can be included; nothing is read from disk.

OpenQASM 2 is read by Qiskit's own parser, OpenQASM 3 by the OpenQASM reference parser and qiskit-qasm3-import.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from qonverge.circuits.errors import InvalidProgram

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

_VERSION = re.compile(r"\A(?:\s|//[^\n]*\n|/\*.*?\*/)*OPENQASM\s+(\d+)(?:\.\d+)?\s*;", re.DOTALL)
_INCLUDE = re.compile(r'^[ \t]*include\s+"([^"\n]*)"', re.MULTILINE)
_HEADERS = {"2": "qelib1.inc", "3": "stdgates.inc"}
_REGISTER = re.compile(r"\b(?:qubit|bit)\s*\[\s*(\d+)\s*\]|\b[qc]reg\s+\w+\s*\[\s*(\d+)\s*\]")
_MAX_REGISTER = 100_000
_PLACED = re.compile(r"^'?\"?(?:<input>:)?(\d+),(\d+): (.*?)\"?'?$", re.DOTALL)


def parse_openqasm(text: str) -> QuantumCircuit:
    """Return the circuit that an OpenQASM 2 or 3 text describes.

    Raises:
        InvalidProgram: with line and column, counted from 1, and what was expected where the parser knows it.
    """
    if not text.strip():
        raise InvalidProgram("the program is empty", line=1, column=1, expected="OPENQASM 3.0;")
    if (null := text.find("\0")) >= 0:
        line, column = _place(text, null)
        raise InvalidProgram("the text has a NUL character", line=line, column=column)
    found = _VERSION.match(text)
    if found is None:
        raise InvalidProgram("the version is missing", line=1, column=1, expected='"OPENQASM 3.0;" or "OPENQASM 2.0;"')
    version = found.group(1)
    if version not in _HEADERS:
        line, column = _place(text, found.start(1))
        raise InvalidProgram(f"OpenQASM {version} is not known", line=line, column=column, expected="2.0 or 3.0")
    for include in _INCLUDE.finditer(text):
        if include.group(1) != _HEADERS[version]:
            line, column = _place(text, include.start(1))
            raise InvalidProgram(
                f'"{include.group(1)}" cannot be included', line=line, column=column, expected=f'"{_HEADERS[version]}"'
            )
    for register in _REGISTER.finditer(text):
        # Refused here since building it would take minutes and all the memory there is.
        if len(size := register.group(1) or register.group(2)) > 6 or int(size) > _MAX_REGISTER:
            line, column = _place(text, register.start())
            raise InvalidProgram(
                f"a register of {size} bits", line=line, column=column, expected=f"at most {_MAX_REGISTER}"
            )
    circuit = _parse2(text) if version == "2" else _parse3(text)
    # Names that Qiskit counts up would make equal programs differ.
    circuit.name = "circuit"
    return circuit


def _place(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def _parse2(text: str) -> QuantumCircuit:
    from qiskit import qasm2

    try:
        return qasm2.loads(text, include_path=(), custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    except qasm2.QASM2ParseError as error:
        raise _located(str(getattr(error, "message", error)), (None, None)) from None


def _located(message: str, fallback: tuple[int | None, int | None]) -> InvalidProgram:
    """Return the error with the place that the message begins with, its column made to count from 1."""
    message = message.strip()
    line, column = fallback
    if placed := _PLACED.match(message):
        line, column, message = int(placed.group(1)), int(placed.group(2)) + 1, placed.group(3)
    if wanted := re.match(r"needed (.*), but instead (?:saw|got) (.*)", message):
        return InvalidProgram(f"found {wanted.group(2)}", line=line, column=column, expected=wanted.group(1))
    return InvalidProgram(message.rstrip("."), line=line, column=column)


def _parse3(text: str) -> QuantumCircuit:
    import openqasm3
    from openqasm3.parser import QASM3ParsingError
    from qiskit_qasm3_import import ConversionError
    from qiskit_qasm3_import.converter import ConvertVisitor

    class Located(ConvertVisitor):
        """Remembers where it is, since not every error of the library says it."""

        place: tuple[int | None, int | None] = (None, None)

        def visit(self, node: Any, context: Any = None) -> Any:
            span = getattr(node, "span", None)
            if span is not None:
                self.place = (span.start_line, span.start_column + 1)
            return super().visit(node, context)

    try:
        tree = openqasm3.parse(text)
    except QASM3ParsingError as error:
        raise _syntax_error(text, error) from None
    except RecursionError:
        raise InvalidProgram("the program is nested too deeply") from None
    visitor = Located()
    try:
        return visitor.convert(tree).circuit
    except ConversionError as error:
        raise _located(error.message, visitor.place) from None
    except RecursionError:
        raise InvalidProgram("the program is nested too deeply", line=visitor.place[0]) from None
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # the library lets errors of every kind out for programs that it did not foresee
        raise _located(str(error) or type(error).__name__, visitor.place) from None


def _syntax_error(text: str, error: Exception) -> InvalidProgram:
    recognition = error.__cause__.args[0] if error.__cause__ is not None and error.__cause__.args else None
    token = getattr(recognition, "offendingToken", None)
    if token is None:
        placed = re.match(r"L(\d+):C(\d+): (.*)", str(error), re.DOTALL)
        if placed:
            return InvalidProgram(placed.group(3), line=int(placed.group(1)), column=int(placed.group(2)) + 1)
        return InvalidProgram(str(error) or "the text is no OpenQASM 3 program", line=1, column=1)
    found = "the end of the program" if token.type == -1 else f"{token.text!r}"
    return InvalidProgram(
        f"unexpected {found}", line=token.line, column=token.column + 1, expected=_expected(recognition)
    )


def _expected(recognition: Any) -> str | None:
    parser = recognition.recognizer
    try:
        tokens = recognition.getExpectedTokens()
    except Exception:  # the state that the parser was in is gone for some errors; the place is still true
        return None
    names = []
    for interval in tokens.intervals if tokens is not None else ():
        for index in interval:
            literal = parser.literalNames[index] if 0 <= index < len(parser.literalNames) else "<INVALID>"
            names.append(parser.symbolicNames[index].lower() if literal == "<INVALID>" else literal)
    # More than a handful of tokens helps nobody.
    return " or ".join(names) if 0 < len(names) <= 4 else None
