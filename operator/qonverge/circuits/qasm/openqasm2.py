"""OpenQASM 2, read by Qiskit's own parser."""

from __future__ import annotations

import re

from qiskit import QuantumCircuit, qasm2

from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.qasm.limits import check_register_size
from qonverge.circuits.qasm.source import Source
from qonverge.documents.excerpt import bounded

_HEADER = "qelib1.inc"
_INCLUDE = re.compile(r"""\binclude\s*(["'])([^\n]*?)\1""")
_REGISTER = re.compile(r"\b[qc]reg\s+(\w+)\s*\[\s*(\d+)")
_CONDITION = re.compile(r"\bif\s*\(\s*(\w+)\s*==\s*(\d+)\s*\)")
_DEFINED = re.compile(r"\bgate\s+(\w+)")
_OPAQUE = re.compile(r"\bopaque\s+(\w+)")
_PLACED = re.compile(r"<input>:(\d+),(\d+): (.*)", re.DOTALL)
# As many as Python reads at once: no register that may be declared and compared needs them.
_MOST_DIGITS = 4000
_PRINTED_BITS = 64
_VERSION_3 = frozenset(
    ["qubit", "bit", "let", "def", "defcal", "input", "output", "const", "for", "while", "ctrl", "inv"]
)

# What the parser says, what is said for it, and what was expected. ``{word}`` is the text at the place.
_SAID: tuple[tuple[str, str, str], ...] = (
    (r"needed (?P<a>.*), but instead (?:saw|got) (?:.*)", "unexpected {word!r}", "{a}"),
    (r"unexpected end-of-file when expecting to see (?P<a>.*)", "unexpected the end of the program", "{a}"),
    (
        r"cannot use non-builtin custom instruction '(?P<a>.*)' before definition",
        "gate {a!r} is not defined",
        'include "qelib1.inc"; above it',
    ),
    (r"'(?P<a>.*)' is not defined in this scope", "{a!r} is not declared", "a declaration above it"),
    (r"'(?P<a>.*)' is already defined", "{a!r} is defined twice", "another name, or one of the two left out"),
    (
        r"'(?P<a>.*)' takes (?P<b>\d+) quantum arguments?, but got (?P<c>\d+)",
        "wrong number of qubits for gate {a!r}: {c}",
        "{b}",
    ),
    (
        r"'(?P<a>.*)' takes (?P<b>\d+) parameters?, but got (?P<c>\d+)",
        "wrong number of angles for gate {a!r}: {c}",
        "{b}",
    ),
    (
        r"index (?P<a>\d+) is out-of-range for register '(?P<b>.*)' of size (?P<c>\d+)",
        "index {a} is out of range: register {b!r} has the size {c}",
        "an index below {c}",
    ),
    (r"duplicate qubits in gate application", "a gate is given the same qubit twice", "different qubits"),
    (r"'(?P<a>.*)' is a (?P<b>.*), not an? (?P<c>.*)", "{a!r} is a {b}", "a {c}"),
    (r"cannot resolve broadcast in .*", "the registers have different sizes", "registers of one size, or single bits"),
    (
        r"'(?P<a>.*)' is not a parameter or custom instruction.*",
        "{a!r} is no function",
        "sin, cos, tan, exp, ln or sqrt",
    ),
    (
        r"identifiers cannot start with capital letters.*",
        "{word!r} begins with a capital letter",
        "a name that begins with a small letter",
    ),
    (r"encountered '.*', which doesn't match any valid tokens", "unexpected character {word!r}", "OpenQASM 2"),
    (r"encountered a non-ASCII byte.*", "unexpected character {word!r}", "ASCII characters only"),
    (r"cannot divide by zero", "a division by zero", "another divisor"),
)
_PLAIN = {
    "a start-of-statement token": 'a statement such as "h q[0];"',
    "a valid identifier": "a name",
    "an identifier": "a name",
    "a filename string": "a file name in quotes",
}


def parse(source: Source) -> QuantumCircuit:
    """Return the circuit.

    Raises:
        InvalidProgram: when the text is no valid OpenQASM 2, includes anything but its header or declares registers
            that are too large.
    """
    _check_before(source)
    # The parser would put Qiskit's gate in place of a definition of the same name.
    own = {found[1] for found in _DEFINED.finditer(source.code)}
    known = [gate for gate in qasm2.LEGACY_CUSTOM_INSTRUCTIONS if gate.name not in own]
    try:
        return qasm2.loads(source.text, include_path=(), custom_instructions=known)
    except qasm2.QASM2ParseError as error:
        raise _explained(source, error.message) from None
    except TypeError:
        # A gate without its angles is found only when it is built, where nobody knows the place any more.
        angles = "|".join(gate.name for gate in known if gate.num_params)
        bare = re.search(rf"\b({angles})\s*(?:\(\s*\)\s*)?\s[a-z]", source.code)
        raise (
            InvalidProgram("a gate is given no angles", expected="as many as it takes")
            if bare is None
            else source.invalid(
                bare.start(), f"gate {bare[1]!r} is given no angles", f'some in brackets, as in "{bare[1]}(0.5) ..."'
            )
        ) from None


def warnings(source: Source) -> tuple[str, ...]:
    """Return what is valid in a text that was parsed and may mislead, with line and column."""
    sizes = {name: int(size) for name, size in _REGISTER.findall(source.code)}
    found = []
    for condition in _CONDITION.finditer(source.code):
        name, value = condition[1], int(condition[2][:_MOST_DIGITS])
        if name in sizes and value >> sizes[name]:
            line, column = source.place(condition.start())
            size = sizes[name]
            most = (1 << size) - 1 if size <= _PRINTED_BITS else f"2^{size} - 1"
            problem = f"the condition is never true: creg {name}[{size}] holds 0 to {most}, not {condition[2]}"
            found.append(bounded(f"line {line}, column {column}: {problem}"))
    return tuple(found)


def _check_before(source: Source) -> None:
    for include in _INCLUDE.finditer(source.uncommented):
        if include[2] != _HEADER and source.code.startswith("include", include.start()):
            raise source.invalid(include.start(), f'"{include[2]}" cannot be included', f'"{_HEADER}" only')
    for register in _REGISTER.finditer(source.code):
        # More digits than any limit has need no reading.
        check_register_size(source, register.start(), int(register[2][:12]))
    for opaque in _OPAQUE.finditer(source.code):
        if used := re.compile(rf"\b{opaque[1]}\b").search(source.code, opaque.end()):
            raise source.invalid(
                used.start(), f"gate {opaque[1]!r} is opaque, so nothing can run it", "a definition of it with gate"
            )


def _explained(source: Source, message: str) -> InvalidProgram:
    """Return the parser's error in plain words."""
    if (placed := _PLACED.fullmatch(message.strip())) is None:
        return InvalidProgram(message)
    offset = source.offset(int(placed[1]), int(placed[2]) + 1)
    if placed[3].startswith("unexpected end-of-file"):
        offset = len(source.text.rstrip())
    for pattern, problem, expected in _SAID:
        if said := re.fullmatch(pattern, placed[3].strip().rstrip("."), re.DOTALL):
            values = {"word": source.word(offset), **said.groupdict()}
            wanted = expected.format(**values)
            if values.get("a") in _VERSION_3:
                wanted = "OpenQASM 2, or OPENQASM 3.0; in the first line"
            return source.invalid(offset, problem.format(**values), _PLAIN.get(wanted, wanted))
    return source.invalid(offset, placed[3])
