"""What a person is told of a mistake in OpenQASM 3: the problem, and what was expected."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from qonverge.circuits.source import Source

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
_SUPPORTED = "gates, measurements, resets, barriers, if, for and while"
_STATEMENTS = {
    "CalibrationDefinition": "defcal",
    "CalibrationGrammarDeclaration": "defcalgrammar",
    "CalibrationStatement": "cal",
    "CompoundStatement": "a block of its own",
    "ConstantDeclaration": "const",
    "ClassicalAssignment": "an assignment to classical variables",
    "EndStatement": "end",
    "ExpressionStatement": "a call or an expression for itself",
    "ExternDeclaration": "extern",
    "Pragma": "pragma",
    "ReturnStatement": "return",
    "SubroutineDefinition": "def",
    "SwitchStatement": "switch",
}
_INSTEAD = {
    "CalibrationDefinition": "a gate definition",
    "ConstantDeclaration": "the value itself where it is used",
    "ClassicalAssignment": 'bits that measurements write, as in "c = measure q;"',
    "ExternDeclaration": "gates and measurements; Python programs can compute",
    "SubroutineDefinition": "a gate definition",
    "SwitchStatement": "if",
}

_CONVERSIONS: tuple[tuple[str, str, str | None], ...] = (
    (r"declarations of type '(.*)' are not supported", "variables of type {0} are not supported", "bit or qubit"),
    (r"the 'output' keyword is not supported", "output is not supported", "bit: every register of bits is a result"),
    (r"only 'float' and 'angle' inputs are supported", "an input of this type is not supported", "float or angle"),
    (r"required a qubit or qubit register", "{word!r} is no qubit", "a qubit or a register of qubits"),
    (r"required a bit or bit register", "{word!r} is no bit", "a bit or a register of bits"),
    (r"required an angle-like value", "{word!r} is no angle", "a number, pi, or an input of type float or angle"),
    (r"required a constant integer", "this is no constant integer", "an integer such as 2"),
    (r"required a constant floating-point number", "this is no constant number", "a number such as 0.5"),
    (r"measurements must save their result.*", "the result of this measurement goes nowhere", '"c = measure q;"'),
    (r"initialisation of classical bits.*", "a value at the declaration of bits", "no value: bits begin with 0"),
    (r"gates with durations are not supported", "a gate with a duration is not supported", "the gate without it"),
    (r"mismatched lengths in gate broadcast", "the registers have different sizes", "registers of one size"),
    (r"'FunctionCall' cannot be resolved.*", "functions are not supported", "the value itself as a number"),
    (r"'(.*)' cannot be resolved.*", "this kind of value is not supported", "a number, a name or an index"),
    (r"unsupported binary operation '(.*)'", "the operator {0} is not supported here", "+, -, * or /"),
    (r"unhandled (?:binary|unary) operator '(.*)'", "the operator {0} is not supported here", "== or !"),
    (r"unary '-' is supported.*", "a minus before what is no number", "a number or an angle"),
    (r"only '==' is supported in register comparisons", "a register is compared with !=", "=="),
    (
        r"conditions must be .*",
        "this is no condition that a circuit can hold",
        'a bit, as in "if (c[0])", a bit compared with true or false, or a register compared with an integer',
    ),
    (r"only integer loop variables are supported", "a loop over this type is not supported", "int or uint"),
    (r"for-loop ranges must have a start and end", "the range has no end", 'a range such as "[0:3]"'),
    (r"only ranges and discrete integer sets.*", "a loop over this is not supported", '"[0:3]" or "{{1, 2}}"'),
    (r"can only handle constant ranges", "the range is not constant", "integers"),
    (r"[Pp]hysical qubit referenced in virtual.*", "{word!r} beside declared qubits", "one of the two kinds only"),
    (r"[Vv]irtual qubit declared in physical.*", "declared qubits beside $0, $1, ...", "one of the two kinds only"),
    (r"Illegal qubit reference.*", "a qubit of the device inside a gate definition", "the gate's own qubits"),
    (r"Symbol (\w+) is not visible in the scope of a gate", "{0!r} cannot be used in a gate", "the gate's own names"),
    (r"gates can only be declared globally", "a gate is defined inside a block", "the definition outside of it"),
    (r"only global declarations are supported", "a declaration inside a block", "the declaration outside of it"),
    (r"only indexing \(qu\)bit arrays is supported.*", "an index to what is no register", "a register"),
    (r"unsupported index type: '(.*)'", "an index of type {0}", "an integer or a range of them"),
    (r"aliases must be of registers.*", "let names what is no register", "registers of bits or of qubits"),
    (r"type error", "these types do not go together", "values of one kind"),
)
_TAKEN = (r"Symbol '(.*)' already inserted in symbol table.*", r"'(.*)' is already defined.*")
_CIRCUITS: tuple[tuple[str, str, str | None], ...] = (
    (r"duplicate bit arguments", "a gate is given the same qubit twice", "different qubits"),
    (
        r"The amount of qubit\((\d+)\)/clbit\(\d+\) arguments does not match the gate expectation \((\d+)\)",
        "wrong number of qubits: {0}",
        "{1}",
    ),
    (
        r"index must be int, slice or list",
        "an index is computed from a loop's variable",
        "the variable itself as the index, or the operations written one by one",
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


def of_conversion(message: str, word: str, names: Mapping[str, Any]) -> Advice:
    """Return the importer's message in plain words; ``word`` is the text at its place."""
    message = message.strip().rstrip(".")
    if unknown := re.fullmatch(r"Undefined symbol '(.*)'", message):
        values = [name for name, symbol in names.items() if type(symbol.type).__name__ != "Gate"]
        return f"{unknown[1]!r} is not declared", _like(unknown[1], values) or "a declaration above it"
    for pattern in _TAKEN:
        if taken := re.fullmatch(pattern, message):
            return f"the name {taken[1]!r} is taken {_by_whom(names.get(taken[1]))}", "another name"
    if said := re.fullmatch(r"'(\w+)' is a '(.*)', not a gate.*", message):
        return f"{said[1]!r} is of type {said[2]}", "a gate"
    return _said(_CONVERSIONS, message, word)


def of_circuit(message: str) -> Advice:
    """Return Qiskit's message in plain words."""
    return _said(_CIRCUITS, message.strip().rstrip("."), "")


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


def _said(table: Iterable[tuple[str, str, str | None]], message: str, word: str) -> Advice:
    for pattern, problem, expected in table:
        if said := re.fullmatch(pattern, message, re.DOTALL):
            return problem.format(*said.groups(), word=word), expected and expected.format(*said.groups())
    return message, None


def _like(name: str, known: Iterable[str]) -> str | None:
    close = [item for item in known if item.lower() == name.lower()] or difflib.get_close_matches(
        name, sorted(known), n=1, cutoff=0.75
    )
    return f"a name that is declared, perhaps {close[0]!r}" if close else None


def _by_whom(symbol: Any) -> str:
    definer = getattr(symbol, "definer", None)
    if definer is None:
        return "by OpenQASM itself"
    by = 'by "stdgates.inc", included in' if type(definer).__name__ == "Include" else "in"
    return f"{by} line {definer.span.start_line}"
