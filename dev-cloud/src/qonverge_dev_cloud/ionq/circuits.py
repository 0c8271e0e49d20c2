"""Circuits in IonQ's JSON, as OpenQASM for Braket's simulators.

Rotations of the gate set qis are radians. Phases and angles of native gates are turns: gpi(p) is X turned by p about Z,
gpi2(p) half of it, ms(p0, p1, a) is exp(-i pi a A(x)B) with A and B being gpi(p0) and gpi(p1), and zz(a) is
exp(-i pi a Z(x)Z). A control may stand before any gate of qis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

_TURN = 2 * math.pi
_PLAIN = {name: name for name in ("x", "y", "z", "h", "s", "si", "t", "ti", "v", "vi", "swap")} | {
    "not": "x",
    "cnot": "x",
}
_ROTATIONS = ("rx", "ry", "rz", "xx", "yy", "zz")
QIS = (*_PLAIN, *_ROTATIONS)
NATIVE = ("gpi", "gpi2", "ms", "zz")
_PAIRS = ("swap", "xx", "yy", "zz", "ms")
Index = Annotated[int, Field(ge=0)]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Gate(_Sent):
    """A gate, as it is sent."""

    gate: str
    target: Index | None = None
    targets: tuple[Index, ...] = ()
    control: Index | None = None
    controls: tuple[Index, ...] = ()
    rotation: float | None = None
    phase: float | None = None
    phases: tuple[float, float] | None = None
    angle: float | None = None

    @property
    def on(self) -> tuple[int, ...]:
        """The qubits that it acts on, without controls."""
        return self.targets or (() if self.target is None else (self.target,))

    @property
    def controlled(self) -> tuple[int, ...]:
        """The qubits that control it."""
        return self.controls or (() if self.control is None else (self.control,))


class Input(_Sent):
    """A circuit, as it is sent."""

    qubits: int | None = Field(None, ge=1)
    gateset: Literal["qis", "native"]
    circuit: tuple[Gate, ...]

    @property
    def width(self) -> int:
        """How many qubits there are."""
        used = max((qubit for gate in self.circuit for qubit in (*gate.on, *gate.controlled)), default=-1) + 1
        return used if self.qubits is None else self.qubits

    @model_validator(mode="after")
    def _readable(self) -> Input:
        for place, gate in enumerate(self.circuit):
            qubits = (*gate.on, *gate.controlled)
            if not gate.on:
                raise ValueError(f"gate {place} ({gate.gate}) has no target")
            if len(set(qubits)) != len(qubits):
                raise ValueError(f"gate {place} ({gate.gate}) has a qubit twice")
            if self.qubits is not None and max(qubits) >= self.qubits:
                raise ValueError(f"gate {place} ({gate.gate}) acts on qubit {max(qubits)} of {self.qubits}")
            _statements(gate, self.gateset, place)
        if not self.width:
            raise ValueError("a circuit without gates says how many qubits it has")
        return self


@dataclass(frozen=True, slots=True)
class GateCounts:
    """How many gates act on one qubit, and on two or more."""

    single: int
    pairs: int


def counts(circuit: Input) -> GateCounts:
    """Return how many gates there are."""
    sizes = [
        size
        for gate in circuit.circuit
        for size in ([2] if gate.gate in _PAIRS or gate.controlled else [1] * len(gate.on))
    ]
    return GateCounts(sizes.count(1), sizes.count(2))


def qasm(circuit: Input) -> str:
    """Return the circuit as OpenQASM 3 that measures all qubits, qubit k into bit k."""
    lines = [f"OPENQASM 3.0;\nbit[{circuit.width}] b;\nqubit[{circuit.width}] q;"]
    for place, gate in enumerate(circuit.circuit):
        lines += _statements(gate, circuit.gateset, place)
    # A qubit without gates is one of the circuit too.
    lines += [f"i q[{qubit}];" for qubit in range(circuit.width) if qubit not in _touched(circuit)]
    lines += [f"b[{qubit}] = measure q[{qubit}];" for qubit in range(circuit.width)]
    return "\n".join(lines)


def _touched(circuit: Input) -> set[int]:
    return {qubit for gate in circuit.circuit for qubit in (*gate.on, *gate.controlled)}


def _statements(gate: Gate, gateset: str, place: int) -> list[str]:
    """Return the statements that a gate is; one on a single qubit acts on each of its targets."""
    word = _native(gate, place) if gateset == "native" else _qis(gate, place)
    wanted = 2 if gate.gate in _PAIRS else 1
    if wanted == 2 and len(gate.on) != 2:
        raise ValueError(f"gate {place} ({gate.gate}) takes 2 targets, not {len(gate.on)}")
    control = f"ctrl({len(gate.controlled)}) @ " if gate.controlled else ""
    groups = [gate.on] if wanted == 2 else [(qubit,) for qubit in gate.on]
    return [f"{control}{word} {', '.join(f'q[{qubit}]' for qubit in (*gate.controlled, *group))};" for group in groups]


def _qis(gate: Gate, place: int) -> str:
    _only(gate, place, "rotation" if gate.gate in _ROTATIONS else None)
    if gate.gate in _ROTATIONS:
        return f"{gate.gate}({_number(gate.rotation, gate, place, 'rotation')})"
    if gate.gate == "cnot" and not gate.controlled:
        raise ValueError(f"gate {place} (cnot) has no control")
    if gate.gate in _PLAIN:
        return _PLAIN[gate.gate]
    known = ", ".join(sorted(QIS))
    raise ValueError(f"gate {place}: the gate set qis has no {gate.gate!r}: use {known}")


def _native(gate: Gate, place: int) -> str:
    if gate.controlled:
        raise ValueError(f"gate {place} ({gate.gate}) is native and has no controls")
    if gate.gate in ("gpi", "gpi2"):
        _only(gate, place, "phase")
        return f"{gate.gate}({_TURN * _number(gate.phase, gate, place, 'phase')})"
    if gate.gate == "ms":
        _only(gate, place, "phases", "angle")
        if gate.phases is None:
            raise ValueError(f"gate {place} (ms) needs phases")
        first, second = gate.phases
        return f"ms({_TURN * first}, {_TURN * second}, {_TURN * (0.25 if gate.angle is None else gate.angle)})"
    if gate.gate == "zz":
        # Cirq's client names it a phase.
        _only(gate, place, "phase", "angle")
        return f"zz({_TURN * _number(gate.phase if gate.angle is None else gate.angle, gate, place, 'angle')})"
    raise ValueError(f"gate {place}: the gate set native has no {gate.gate!r}: use {', '.join(NATIVE)}")


def _only(gate: Gate, place: int, *known: str | None) -> None:
    given = gate.model_fields_set & {"rotation", "phase", "phases", "angle"}
    if surplus := sorted(given - set(known)):
        raise ValueError(f"gate {place} ({gate.gate}) has no {surplus[0]}")


def _number(value: float | None, gate: Gate, place: int, name: str) -> float:
    if value is None or not math.isfinite(value):
        raise ValueError(f"gate {place} ({gate.gate}) needs {name}")
    return value


def plain(problem: Any) -> str:
    """Return one of pydantic's problems in a sentence."""
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}"
