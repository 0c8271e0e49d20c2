"""Making a circuit's profile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from qonverge.circuits.analysis.blocks import Block, blocks_of
from qonverge.circuits.analysis.gate_sequence import TooLong, steps_of
from qonverge.circuits.error_response.builder import respond, unknown
from qonverge.circuits.error_response.profile import CircuitProfile

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qonverge.circuits.analysis.analysis import Analysis

# More take seconds to follow; no device of today keeps a state through so many.
MOST_STEPS = 100_000


def profile(
    circuit: QuantumCircuit, analysis: Analysis, values: Mapping[str, float], *, elide_swaps: bool = True
) -> CircuitProfile | None:
    """Return the profile of a circuit with these parameter values; None where it is too long for any device.

    SWAPs are changes of names, unless they are not to be elided.
    """
    bound = circuit.assign_parameters({name: values[name] for name in analysis.parameters}) if values else circuit
    try:
        steps = steps_of(bound, MOST_STEPS, elide_swaps=elide_swaps)
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
