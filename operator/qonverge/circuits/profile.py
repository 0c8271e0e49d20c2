"""What a forecast needs to know of a circuit: small, made once where the circuit is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from qonverge.circuits.response import Response, respond, unknown
from qonverge.circuits.steps import Step, TooLong, steps_of

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
    idle: tuple[int, ...]
    """For each qubit, layers of CX between its first step and the end in which it waits; each step as late as can
    be."""
    measured: tuple[tuple[int, int], ...]
    """Qubit, and how often it is measured; every qubit once where a program measures none."""
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
        return {**asdict(self), "response": self.response.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the profile that ``to_dict`` gave."""
        return cls(
            data["num_qubits"],
            tuple(data["pulses"]),
            tuple((a, b, count) for a, b, count in data["pairs"]),
            (data["depth"][0], data["depth"][1]),
            tuple(data["idle"]),
            tuple((qubit, times) for qubit, times in data["measured"]),
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
    read = Counter(step.qubits[0] for step in steps if step.matrix is None and len(step.qubits) == 1)
    measured = tuple(sorted(read.items())) or tuple((qubit, 1) for qubit in range(n))
    dynamic = analysis.mid_circuit or analysis.control_flow
    bits = [qubit for qubit, _ in measured]
    depth, idle = _layers(steps, n)
    pulses = Counter[int]()
    for step in steps:
        pulses[step.qubits[0]] += step.pulses
    pairs = Counter((min(step.qubits), max(step.qubits)) for step in steps if len(step.qubits) == 2)
    return CircuitProfile(
        n,
        tuple(pulses[qubit] for qubit in range(n)),
        tuple((a, b, count) for (a, b), count in sorted(pairs.items())),
        depth,
        idle,
        measured,
        dynamic,
        unknown(len(bits)) if dynamic else respond(steps, bits, n, exact=analysis.clifford),
    )


def _layers(steps: Sequence[Step], n: int) -> tuple[tuple[int, int], tuple[int, ...]]:
    """Return depth and idle layers, from the end backwards."""
    level = [(0, 0)] * n
    busy = [0] * n
    for step in reversed(steps):
        if len(step.qubits) == 2:
            a, b = step.qubits
            cx, pulses = max(level[a], level[b])
            level[a] = level[b] = (cx + 1, pulses)
            busy[a] += 1
            busy[b] += 1
        else:
            cx, pulses = level[step.qubits[0]]
            level[step.qubits[0]] = (cx, pulses + step.pulses)
    return max(level, default=(0, 0)), tuple(layers - own for (layers, _), own in zip(level, busy, strict=True))
