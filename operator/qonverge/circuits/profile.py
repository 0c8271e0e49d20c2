"""What a forecast needs to know of a circuit: small, made once where the circuit is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from qonverge.circuits.response import Response, respond, unknown
from qonverge.circuits.blocks import Block, blocks_of
from qonverge.circuits.steps import TooLong, steps_of

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qonverge.circuits.analysis import Analysis

# More take seconds to follow; no device of today keeps a state through so many.
MOST_STEPS = 100_000


@dataclass(frozen=True, slots=True)
class CircuitProfile:
    """A circuit as CX and unitaries on one qubit, counted."""

    num_qubits: int
    pulses: tuple[int, ...]
    """For each qubit, pulses on it alone."""
    pairs: tuple[tuple[int, int, int], ...]
    """Two qubits, the lower first, and how many CX they share; sorted."""
    depth: tuple[int, int]
    """CX and pulses on the longest path, counted in CX."""
    alive: tuple[int, ...]
    """For each qubit, layers of CX from its first step to the end, each step as late as can be."""
    measured: tuple[tuple[int, int], ...]
    """Qubit and classical bit of each measurement, by bit; every qubit where a program measures none."""
    dynamic: bool
    """Whether it has control flow, resets, or measurements before the end: one way through it was counted, and what
    errors do to its outcomes is not known."""
    response: Response
    """Of the outcomes to errors; its bits are those of ``measured``."""

    @property
    def cx(self) -> int:
        """CX in all."""
        return sum(count for _, _, count in self.pairs)

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON and msgpack carry."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the profile that ``to_dict`` gave."""
        return cls(
            data["num_qubits"],
            tuple(data["pulses"]),
            tuple((a, b, count) for a, b, count in data["pairs"]),
            (data["depth"][0], data["depth"][1]),
            tuple(data["alive"]),
            tuple((qubit, bit) for qubit, bit in data["measured"]),
            data["dynamic"],
            Response.from_dict(data["response"]),
        )


def profile(circuit: QuantumCircuit, analysis: Analysis, values: Mapping[str, float]) -> CircuitProfile | None:
    """Return the profile of a circuit with these parameter values; None where it is too long for any device."""
    bound = circuit.assign_parameters({name: values[name] for name in analysis.parameters}) if values else circuit
    try:
        steps = steps_of(bound, MOST_STEPS)
    except TooLong:
        return None
    n = analysis.num_qubits
    read = sorted((step.bit, step.qubits[0]) for step in steps if step.bit is not None)
    dynamic = analysis.mid_circuit or analysis.control_flow
    bits = [qubit for _, qubit in read]
    blocks = blocks_of(steps)
    depth, alive = _layers(blocks, n)
    pulses = Counter[int]()
    for step in steps:
        pulses[step.qubits[0]] += step.pulses
    pairs = Counter[tuple[int, int]]()
    for block in blocks:
        if len(block.qubits) == 2:
            pairs[(min(block.qubits), max(block.qubits))] += block.cx
    return CircuitProfile(
        n,
        tuple(pulses[qubit] for qubit in range(n)),
        tuple((a, b, count) for (a, b), count in sorted(pairs.items())),
        depth,
        alive,
        tuple((qubit, bit) for bit, qubit in read),
        dynamic,
        unknown(len(bits)) if dynamic else respond(steps, bits, n, exact=analysis.clifford),
    )


def _layers(blocks: Sequence[Block], n: int) -> tuple[tuple[int, int], tuple[int, ...]]:
    """Return depth and layers of each qubit, from the end backwards."""
    level = [(0, 0)] * n
    for block in reversed(blocks):
        cx, pulses = max(level[qubit] for qubit in block.qubits)
        for qubit in block.qubits:
            level[qubit] = (cx + block.cx, pulses + block.pulses)
    return max(level, default=(0, 0)), tuple(cx for cx, _ in level)
