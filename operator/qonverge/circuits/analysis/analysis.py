"""What can be told of a circuit without running it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from qonverge.circuits.analysis.product_terms import ProductTerms, Untracked

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import CircuitInstruction, Operation, Qubit

# Clifford gates that a stabilizer simulation takes as they are.
_CLIFFORD = frozenset(
    [
        *("id", "x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "pauli"),
        *("cx", "cy", "cz", "dcx", "ecr", "iswap", "swap"),
    ]
)
# Gates on two qubits that are sums of two products of gates on one.
_SCHMIDT_RANK_2 = frozenset(
    [
        *("cx", "cy", "cz", "ch", "cs", "csdg", "csx", "cp", "crx", "cry", "crz", "cu", "cu1", "cu3"),
        *("rxx", "ryy", "rzz", "rzx", "ecr"),
    ]
)
# From this width on, circuits are followed for their entanglement where counting gates does not do: below it a full
# state is small, and up to these bits the bound is good enough for every choice.
_WIDE = 20
_FEW_BOND_BITS = 4
# Beyond it a single step of a matrix product state takes minutes, whatever the memory.
_MOST_BOND_BITS = 9
_ANGLE_TOLERANCE = 1e-12
# Qiskit's classes that say nothing of what an operation does.
_UNNAMED = frozenset(["Instruction", "Gate", "ControlledGate", "AnnotatedOperation"])
STRUCTURE = frozenset(
    [
        *("measure", "reset", "barrier", "delay", "break_loop", "continue_loop", "store"),
        *("if_else", "while_loop", "for_loop", "switch_case", "box"),
    ]
)
"""Operations that are no gates."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """Properties of a circuit."""

    num_qubits: int
    num_clbits: int
    depth: int
    """Longest path of operations, as ``QuantumCircuit.depth`` counts it: control flow is one operation."""
    size: int
    """Operations in all, measurements included: control flow is one operation."""
    two_qubit_gates: int
    """Gates on exactly two qubits; those inside control flow count once."""
    clifford: bool
    """Whether a stabilizer simulation can run it: only the gates id, x, y, z, h, s, sdg, sx, sxdg, cx, cy, cz, dcx,
    ecr, iswap, swap and pauli, rz at multiples of pi/2, gates defined in the text by such, measurements and resets."""
    measured_bits: int
    """Different classical bits that a measurement writes."""
    registers: tuple[tuple[str, int], ...]
    """Classical registers: name and bits."""
    parameters: tuple[str, ...]
    """Names of the free parameters, sorted."""
    mid_circuit: bool
    """Whether a qubit is used again after it was measured, or is reset."""
    control_flow: bool
    """Whether it has if, while, for or switch, or assigns to bits."""
    bond_bits: int
    """Bound on the entanglement: with the qubits in a line, the state across any cut has a Schmidt rank of at most
    ``2**bond_bits``, the bond dimension that a matrix product state needs."""
    operations: tuple[tuple[str, int], ...]
    """How often each operation occurs, by name; those inside control flow count once."""

    @property
    def statevector_bytes(self) -> int:
        """Memory of the full state in double precision, bytes: ``16 * 2**num_qubits``."""
        return 16 << self.num_qubits

    @property
    def deferrable_resets(self) -> int:
        """Fresh qubits with which a statevector gives exact values in place of a density matrix; 0 where it does not.

        As many as there are resets: with more than there are qubits, the density matrix is the smaller one.
        """
        resets = dict(self.operations).get("reset", 0)
        return 0 if self.control_flow or self.measured_bits or resets > self.num_qubits else resets

    @property
    def compact_bytes(self) -> int | None:
        """Memory of a matrix product state, bytes; None where its bond dimension may be beyond what runs in time.

        Each site has two matrices of at most ``2**bond_bits`` rows and columns; a step holds about three copies.
        """
        return 3 * self.num_qubits * (32 << 2 * self.bond_bits) if self.bond_bits <= _MOST_BOND_BITS else None

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON and msgpack carry."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the analysis that ``to_dict`` gave."""
        pairs = {name: tuple((key, value) for key, value in data[name]) for name in ("registers", "operations")}
        return cls(**{**data, **pairs, "parameters": tuple(data["parameters"])})


def analyse(circuit: QuantumCircuit, *, errs: bool = False) -> Analysis:
    """Return the properties of a circuit; ``errs`` says that its qubits may be disturbed one by one anywhere."""
    written = list(_written(circuit))
    counts = Counter(item.operation.name for item in written)
    return Analysis(
        num_qubits=circuit.num_qubits,
        num_clbits=circuit.num_clbits,
        depth=circuit.depth(),
        size=circuit.size(),
        two_qubit_gates=sum(
            1 for item in written if len(item.qubits) == 2 and not item.clbits and item.operation.name not in STRUCTURE
        ),
        clifford=all(_is_clifford(item.operation) for item in written),
        measured_bits=len({bit for item in written if item.operation.name == "measure" for bit in item.clbits}),
        registers=tuple((register.name, register.size) for register in circuit.cregs),
        parameters=tuple(sorted(parameter.name for parameter in circuit.parameters)),
        mid_circuit=_is_mid_circuit(circuit.data, set(), again=False),
        control_flow=any(_blocks(item.operation) or item.operation.name == "store" for item in circuit.data),
        bond_bits=_bond_bits(circuit, errs=errs),
        operations=tuple(sorted(counts.items())),
    )


def _bond_bits(circuit: QuantumCircuit, *, errs: bool) -> int:
    """Return the bound of ``Analysis.bond_bits``.

    A gate across a cut multiplies the Schmidt rank by at most its operator Schmidt rank: 2 for controlled gates and
    rotations about two axes, else at most 4 for each qubit of its smaller side (Vidal, PRL 91, 147902, 2003). Of wide
    circuits, the state is followed for as long as it is a sum of few products, and only the gates after that count: but
    not where errors may lead to other states.
    """
    n: int = circuit.num_qubits
    if any(_blocks(item.operation) for item in circuit.data):
        return n // 2  # how often a loop runs is not known
    bounds = _crossing_bits(circuit, 0)
    worst = max(bounds, default=0)
    if errs or n < _WIDE or worst <= _FEW_BOND_BITS:
        return worst
    start, peak, followed = _followed(circuit)
    after = _crossing_bits(circuit, followed)
    return max(min(bound, max(peak, start + more)) for bound, more in zip(bounds, after, strict=True))


def _crossing_bits(circuit: QuantumCircuit, first: int) -> list[int]:
    """Return for each cut by how many bits the operations from some place on may raise its Schmidt rank."""
    n: int = circuit.num_qubits
    # Differences from one cut to the next; the cut k is left of qubit k.
    steps = [0] * (n + 1)
    index = {qubit: place for place, qubit in enumerate(circuit.qubits)}
    for item in circuit.data[first:]:
        if len(item.qubits) < 2 or item.operation.name in STRUCTURE:
            continue
        places = [index[qubit] for qubit in item.qubits]
        bits = 1 if item.operation.name in _SCHMIDT_RANK_2 else 2 * (len(places) // 2)
        steps[min(places) + 1] += bits
        steps[max(places) + 1] -= bits
    crossing = list(itertools.accumulate(steps))[1:n]
    return [min(bits, cut, n - cut) for cut, bits in enumerate(crossing, start=1)]


def _followed(circuit: QuantumCircuit) -> tuple[int, int, int]:
    """Return how far the state can be followed as a sum of few products.

    Returns:
        Bits of the number of products, there and at most, and the first operation that is not followed.
    """
    # What holds for arbitrary values of the parameters holds for all but exceptional ones, which entangle less.
    values = np.random.default_rng(0).uniform(1, 2, circuit.num_parameters)
    bound = circuit.assign_parameters(values) if circuit.num_parameters else circuit
    index = {qubit: place for place, qubit in enumerate(bound.qubits)}
    terms, followed, count = ProductTerms(bound.num_qubits), 0, 1
    for item in bound.data:
        if not is_library(item.operation):
            break
        try:
            terms.apply(item.operation, [index[qubit] for qubit in item.qubits])
        except Untracked:
            break
        followed, count = followed + 1, terms.count
    return math.ceil(math.log2(count)), math.ceil(math.log2(terms.peak)), followed


def is_library(operation: Operation) -> bool:
    """Whether an operation is what its name says in Qiskit, and no gate that a program defined under that name."""
    kind = getattr(operation, "base_class", type(operation))
    return kind.__module__.startswith("qiskit.circuit.") and kind.__name__ not in _UNNAMED


def _blocks(operation: Operation) -> tuple[QuantumCircuit, ...]:
    return tuple(getattr(operation, "blocks", ()))


def _inside(item: CircuitInstruction) -> Iterator[list[CircuitInstruction]]:
    """Yield the instructions of each block, on the outer circuit's bits."""
    for block in _blocks(item.operation):
        outer = dict(zip((*block.qubits, *block.clbits), (*item.qubits, *item.clbits), strict=True))
        yield [
            inner.replace(
                qubits=[outer[bit] for bit in inner.qubits],
                clbits=[outer[bit] for bit in inner.clbits],
            )
            for inner in block.data
        ]


def _written(circuit: QuantumCircuit) -> Iterator[CircuitInstruction]:
    """Yield every instruction, those inside control flow included."""
    waiting = list(reversed(circuit.data))
    while waiting:
        item = waiting.pop()
        yield item
        for block in _inside(item):
            waiting.extend(reversed(block))


def _is_clifford(operation: Operation) -> bool:
    name = operation.name
    if _blocks(operation):
        return True  # what is inside is judged by itself
    if is_library(operation):
        if name == "rz":
            angle = operation.params[0]
            return isinstance(angle, int | float) and abs(math.remainder(angle, math.pi / 2)) <= _ANGLE_TOLERANCE
        return name in _CLIFFORD or name in STRUCTURE
    # A gate that the program defines stands for its body.
    definition = getattr(operation, "definition", None)
    return definition is not None and all(_is_clifford(item.operation) for item in definition.data)


def _is_mid_circuit(items: Iterable[CircuitInstruction], measured: set[Qubit], *, again: bool) -> bool:
    """Whether a measured qubit is used again or any is reset; ``again`` says that the items may run more than once."""
    for item in items:
        name = item.operation.name
        if name == "barrier":
            continue
        if name == "reset" or (name == "measure" and again):
            return True
        blocks = list(_inside(item))
        if not blocks and measured.intersection(item.qubits):
            return True
        loops = again or name in ("while_loop", "for_loop")
        # One branch of several runs, so each begins with what was measured before them all.
        branches = [set(measured) for _ in blocks]
        if any(_is_mid_circuit(block, branch, again=loops) for block, branch in zip(blocks, branches, strict=True)):
            return True
        measured.update(*branches)
        if name == "measure":
            measured.update(item.qubits)
    return False
