"""OpenQASM 3, read by the OpenQASM reference parser; ``qasm3`` makes circuits of what it read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import openqasm3
from openqasm3.parser import QASM3ParsingError

from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.qasm import diagnostics
from qonverge.circuits.qasm.limits import MAX_REGISTER
from qonverge.circuits.qasm.parsed import Parsed
from qonverge.circuits.qasm.qasm3.program import Program
from qonverge.circuits.qasm.qasm3.statements import Statements
from qonverge.circuits.qasm.source import Source

_PHYSICAL = re.compile(r"\$(\d+)")
_LEXER = re.compile(r"L(\d+):C(\d+): token recognition error at: '(.*)'", re.DOTALL)
_PARSER = re.compile(r"L(\d+):C(\d+): (.*)", re.DOTALL)


def parse(source: Source, parameters: Mapping[str, float]) -> Parsed:
    """Return the circuit, not yet in canonical form.

    Args:
        source: the text.
        parameters: values of inputs. Those of type float and angle stay free in the circuit, unless what depends on
            them has to be known before the run.

    Raises:
        InvalidProgram: when the text is no valid OpenQASM 3, has what no circuit can hold, includes anything but the
            standard header, declares registers that are too large or unfolds to too much.
        RecursionError: when it is nested too deeply.
    """
    if (unclosed := source.code.find("/*")) >= 0:
        raise source.invalid(unclosed, "the comment is not closed", "*/ after it")
    for qubit in _PHYSICAL.finditer(source.code):
        if int(qubit[1][:12]) >= MAX_REGISTER:
            raise source.invalid(qubit.start(), f"no device has a qubit {qubit[0]}", f"less than ${MAX_REGISTER}")
    try:
        tree = openqasm3.parse(source.text)
    except QASM3ParsingError as error:
        raise _syntax_error(source, error) from None
    program = Program(source, parameters)
    Statements(program).whole(tree)
    return Parsed(program.finish(), tuple(program.warnings), tuple(sorted(program.fixed)))


def _syntax_error(source: Source, error: QASM3ParsingError) -> InvalidProgram:
    if lexed := _LEXER.fullmatch(str(error)):
        offset = source.offset(int(lexed[1]), int(lexed[2]) + 1)
        return source.invalid(offset, *diagnostics.of_character(source, offset))
    recognition = error.__cause__.args[0] if error.__cause__ is not None and error.__cause__.args else None
    token = getattr(recognition, "offendingToken", None)
    if recognition is None or token is None:
        if said := _PARSER.fullmatch(str(error)):
            return source.invalid(source.offset(int(said[1]), int(said[2]) + 1), *diagnostics.of_circuit(said[3]))
        return source.invalid(0, "this is no OpenQASM 3 program", "statements that end with ';'")
    ended = token.type == -1
    offset = len(source.text.rstrip()) if ended else token.start
    return source.invalid(
        offset,
        "unexpected end of the program" if ended else f"unexpected {token.text!r}",
        _expected(recognition) or diagnostics.of_unexpected(source, offset, token.text),
    )


def _expected(recognition: Any) -> str | None:
    """Return the tokens that the parser would have taken, where they are few."""
    parser = recognition.recognizer
    try:
        tokens = recognition.getExpectedTokens()
    except Exception:  # the state that the parser was in is gone for some errors
        return None
    names = []
    for interval in tokens.intervals if tokens is not None else ():
        for index in interval:
            literal = parser.literalNames[index] if 0 <= index < len(parser.literalNames) else "<INVALID>"
            names.append(parser.symbolicNames[index] if literal == "<INVALID>" else literal)
    plain = [diagnostics.TOKENS.get(name, name) for name in names]
    # More than a handful of tokens helps nobody, nor does the parser's own name for one.
    return " or ".join(plain) if 0 < len(plain) <= 4 and not any(name.isalpha() for name in plain) else None
