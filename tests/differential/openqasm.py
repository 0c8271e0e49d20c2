"""Programs as OpenQASM 2 and 3 text, in several spellings that mean the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.differential.program import (
    Angle,
    Barrier,
    BitIs,
    Both,
    Break,
    Compare,
    Condition,
    Continue,
    Either,
    For,
    Gate,
    If,
    Measure,
    Not,
    Program,
    Register,
    Reset,
    Statement,
    Switch,
    While,
)

_PIS = {
    math.pi: "pi",
    math.pi / 2: "pi/2",
    math.pi / 4: "pi/4",
    -math.pi / 2: "-pi/2",
    3 * math.pi / 2: "3*pi/2",
    2 * math.pi: "2*pi",
    -math.pi: "-pi",
}
# What a gate also is, as a modified gate of the standard header.
_MODIFIED = {
    "cx": "ctrl @ x",
    "cy": "ctrl @ y",
    "cz": "ctrl @ z",
    "ch": "ctrl @ h",
    "ccx": "ctrl(2) @ x",
    "cswap": "ctrl @ swap",
    "sdg": "inv @ s",
    "tdg": "inv @ t",
    "z": "pow(2) @ s",
    "s": "pow(2) @ t",
    "crx": "ctrl @ rx",
    "cry": "ctrl @ ry",
    "crz": "ctrl @ rz",
    "cp": "ctrl @ p",
}


@dataclass(frozen=True)
class Spelling:
    """How an OpenQASM 3 text is written; each field false is the plainest."""

    version_line: bool = True
    modified: bool = False
    """Gates as modified ones."""
    constants: bool = False
    """Angles as constants, declared before."""
    functions: bool = False
    """Gates inside subroutines."""
    gates: bool = False
    """Gates inside gates of the program's own."""
    negative: bool = False
    """Indices that count from the end."""
    aliases: bool = False
    """Qubit registers by another name."""
    compared: bool = False
    """Bits compared with numbers."""
    old_registers: bool = False
    """``qreg`` and ``creg``."""
    old_measure: bool = False
    """``measure q -> c;``."""
    declared_first: bool = True
    """Bits before qubits."""


def spellings() -> st.SearchStrategy[Spelling]:
    """Draw a spelling."""
    return st.builds(Spelling, **{name: st.booleans() for name in Spelling.__dataclass_fields__})


def openqasm(program: Program, spelling: Spelling | None = None) -> str:
    """Return the program as text of its version."""
    return _Writer(program, spelling or Spelling()).text()


class _Writer:
    def __init__(self, program: Program, spelling: Spelling) -> None:
        self._program = program
        self._old = program.version == 2
        self._spelling = spelling
        self._head: list[str] = []
        self._constants: dict[float, str] = {}
        self._own = 0

    def text(self) -> str:
        body = self._block(self._program.body, "")
        lines = ["OPENQASM 2.0;", 'include "qelib1.inc";'] if self._old else ['include "stdgates.inc";']
        if not self._old and self._spelling.version_line:
            lines.insert(0, "OPENQASM 3.0;")
        lines += [f"input float {name};" for name in self._program.parameters]
        lines += self._head
        qubits = [self._declaration(register, "qubit", "qreg") for register in self._program.qubits]
        bits = [self._declaration(register, "bit", "creg") for register in self._program.bits]
        lines += [*qubits, *bits] if self._spelling.declared_first else [*bits, *qubits]
        if not self._old and self._spelling.aliases:
            lines += [f"let {register.name}_alias = {register.name};" for register in self._program.qubits]
        return "\n".join([*lines, *body]) + "\n"

    def _declaration(self, register: Register, new: str, old: str) -> str:
        if register.size is None:
            return f"{new} {register.name};"
        if self._old or self._spelling.old_registers:
            return f"{old} {register.name}[{register.size}];"
        return f"{new}[{register.size}] {register.name};"

    def _block(self, body: Sequence[Statement], indent: str) -> list[str]:
        return [indent + line for item in body for line in self._statement(item)]

    def _statement(self, item: Statement) -> list[str]:
        match item:
            case Gate():
                return [self._gate(item)]
            case Measure(qubit, bit):
                return [self._measure(qubit, bit)]
            case Reset(qubit):
                return [f"reset {self._qubit(qubit)};"]
            case Barrier(qubits):
                return [f"barrier {', '.join(map(self._qubit, qubits))};"]
            case If(condition, then, otherwise):
                if self._old:
                    assert isinstance(condition, Compare)
                    register = self._program.bits[condition.register].name
                    return [f"if ({register} == {condition.value}) {self._statement(then[0])[0]}"]
                lines = [f"if ({self._condition(condition)}) {{", *self._block(then, "  "), "}"]
                return lines if not otherwise else [*lines[:-1], "} else {", *self._block(otherwise, "  "), "}"]
            case For(turns, body, variable):
                head = f"for int {variable or 'unused'} in [0:{turns - 1}] {{"
                if not turns:
                    # A range that holds nothing.
                    head = f"for int {variable or 'unused'} in [1:0] {{"
                return [head, *self._block(body, "  "), "}"]
            case While(qubit, bit, body):
                toss = [
                    f"reset {self._qubit(qubit)};",
                    f"h {self._qubit(qubit)};",
                    self._measure(qubit, bit),
                ]
                inner = [f"  {line}" for line in toss]
                return [*toss, f"while ({self._condition(BitIs(bit))}) {{", *inner, *self._block(body, "  "), "}"]
            case Switch(register, cases, default):
                own = self._program.bits[register]
                lines = [f"switch (int[{max(own.width + 1, 2)}]({self._cast(own)})) {{"]
                for values, block in cases:
                    lines += [f"  case {', '.join(map(str, values))} {{", *self._block(block, "    "), "  }"]
                if default is not None:
                    lines += ["  default {", *self._block(default, "    "), "  }"]
                return [*lines, "}"]
            case Break():
                return ["break;"]
            case Continue():
                return ["continue;"]

    def _cast(self, register: Register) -> str:
        return f"uint[{register.width}]({register.name})"

    def _measure(self, qubit: int, bit: int) -> str:
        if self._old or self._spelling.old_measure:
            return f"measure {self._qubit(qubit)} -> {self._bit(bit)};"
        return f"{self._bit(bit)} = measure {self._qubit(qubit)};"

    def _gate(self, item: Gate) -> str:
        name = item.name
        if not self._old and self._spelling.modified:
            name = _MODIFIED.get(name, name)
        called = "".join(
            f"pow({modifier.power}) @ " if modifier.name == "pow" else f"{modifier.name} @ "
            for modifier in item.modifiers
        )
        turning = any((angle.parameter or "").startswith("turn") for angle in item.angles)
        fixed = not any(angle.parameter for angle in item.angles)
        angles = f"({', '.join(self._angle(angle) for angle in item.angles)})" if item.angles else ""
        called += name + angles
        qubits = list(map(self._qubit, item.qubits))
        if not self._old and self._spelling.gates and fixed:
            places = [f"a{index}" for index in range(len(qubits))]
            called = self._defined("gate own{} {} {{ {} }}", called, places)
        elif not self._old and self._spelling.functions and fixed and not turning:
            places = [f"a{index}" for index in range(len(qubits))]
            own = self._defined("def own{}({}) {{ {} }}", called, places, "qubit ")
            return f"{own}({', '.join(qubits)});"
        return f"{called} {', '.join(qubits)};"

    def _defined(self, form: str, called: str, places: list[str], kind: str = "") -> str:
        takes = ", ".join(kind + place for place in places)
        self._head.append(form.format(self._own, takes, f"{called} {', '.join(places)};"))
        self._own += 1
        return f"own{self._own - 1}"

    def _angle(self, angle: Angle) -> str:
        offset = _PIS.get(angle.offset, repr(angle.offset))
        if angle.parameter is None:
            if not self._old and self._spelling.constants and not self._spelling.gates:
                if angle.offset not in self._constants:
                    self._constants[angle.offset] = f"k{len(self._constants)}"
                    self._head.append(f"const float {self._constants[angle.offset]} = {offset};")
                return self._constants[angle.offset]
            return offset
        scaled = {1.0: "", -1.0: "-"}.get(angle.factor, f"{angle.factor!r} * ") + angle.parameter
        return scaled if not angle.offset else f"{scaled} + {offset}"

    def _condition(self, condition: Condition) -> str:
        match condition:
            case BitIs(bit, value):
                if self._spelling.compared:
                    return f"{self._bit(bit)} == {value}"
                return self._bit(bit) if value else f"!{self._bit(bit)}"
            case Compare(register, operator, value):
                own = self._program.bits[register]
                if own.size is None:
                    # A single bit is no register: as a number it is a cast one.
                    return f"uint[1]({own.name}) {operator} {value}"
                return f"{own.name} {operator} {value}"
            case Both(one, other):
                return f"({self._condition(one)}) && ({self._condition(other)})"
            case Either(one, other):
                return f"({self._condition(one)}) || ({self._condition(other)})"
            case Not(inner):
                return f"!({self._condition(inner)})"

    def _qubit(self, index: int) -> str:
        own = next(register for register in self._program.qubits if index in register)
        return self._place(own, index, own.name + "_alias" if self._spelling.aliases and not self._old else own.name)

    def _bit(self, index: int) -> str:
        own = next(register for register in self._program.bits if index in register)
        return self._place(own, index, own.name)

    def _place(self, register: Register, index: int, name: str) -> str:
        if register.size is None:
            return name
        place = index - register.first
        return f"{name}[{place - register.size if self._spelling.negative and not self._old else place}]"
