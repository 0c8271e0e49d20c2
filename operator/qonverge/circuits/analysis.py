"""What can be told of a circuit without running it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Operation

# Clifford gates that a stabilizer simulation takes as they are.
_CLIFFORD = frozenset(["id", "x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "cx", "cy", "cz", "swap", "ecr", "pauli"])
_NEUTRAL = frozenset(["measure", "reset", "barrier", "delay"])


@dataclass(frozen=True, slots=True)
class Analysis:
    """Properties of a circuit."""

    num_qubits: int
    num_clbits: int
    depth: int
    """Longest path of operations, as ``QuantumCircuit.depth`` counts it."""
    size: int
    """Operations in all, measurements included."""
    two_qubit_gates: int
    """Gates on exactly two qubits, at the top level."""
    clifford: bool
    """Whether a stabilizer simulation can run it: only the gates id, x, y, z, h, s, sdg, sx, sxdg, cx, cy, cz, swap,
    ecr and pauli, rz at multiples of pi/2, gates defined in the text by such, measurements and resets."""
    measured_bits: int
    """Different classical bits that a measurement writes."""
    registers: tuple[tuple[str, int], ...]
    """Classical registers: name and bits."""
    parameters: tuple[str, ...]
    """Names of the free parameters, sorted."""
    mid_circuit: bool
    """Whether a qubit is used again after it was measured, or is reset."""
    control_flow: bool
    """Whether it has if, while, for or switch."""
    operations: tuple[tuple[str, int], ...]
    """How often each operation occurs, by name."""

    @property
    def statevector_bytes(self) -> int:
        """Memory of the full state in double precision, bytes: ``16 * 2**num_qubits``."""
        return 16 << self.num_qubits

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON and msgpack carry."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the analysis that ``to_dict`` gave."""
        pairs = {name: tuple((key, value) for key, value in data[name]) for name in ("registers", "operations")}
        return cls(**{**data, **pairs, "parameters": tuple(data["parameters"])})


def analyse(circuit: QuantumCircuit) -> Analysis:
    """Return the properties of a circuit."""
    operations = list(circuit.data)
    measured = {circuit.find_bit(bit).index for item in _flat(circuit, "measure") for bit in item.clbits}
    return Analysis(
        num_qubits=circuit.num_qubits,
        num_clbits=circuit.num_clbits,
        depth=circuit.depth(),
        size=circuit.size(),
        two_qubit_gates=sum(
            1 for item in operations if len(item.qubits) == 2 and not item.clbits and item.operation.name != "barrier"
        ),
        clifford=all(_is_clifford(item.operation) for item in operations),
        measured_bits=len(measured),
        registers=tuple((register.name, register.size) for register in circuit.cregs),
        parameters=tuple(sorted(parameter.name for parameter in circuit.parameters)),
        mid_circuit=_is_mid_circuit(circuit),
        control_flow=any(_blocks(item.operation) for item in operations),
        operations=tuple(sorted(circuit.count_ops().items())),
    )


def _blocks(operation: Operation) -> tuple[QuantumCircuit, ...]:
    return tuple(getattr(operation, "blocks", ()))


def _flat(circuit: QuantumCircuit, name: str) -> Iterator[Any]:
    """Yield the instructions of this name, those inside control flow included, on the outer circuit's bits."""
    for item in circuit.data:
        if item.operation.name == name:
            yield item
        for block in _blocks(item.operation):
            outer = dict(zip(block.clbits, item.clbits, strict=False))
            for inner in _flat(block, name):
                yield inner.replace(clbits=[outer.get(bit, bit) for bit in inner.clbits])


def _is_clifford(operation: Operation) -> bool:
    name = operation.name
    if name in _CLIFFORD or name in _NEUTRAL:
        return True
    if name == "rz":
        angle = operation.params[0]
        return isinstance(angle, int | float) and math.isclose(math.remainder(angle, math.pi / 2), 0.0, abs_tol=1e-12)
    if blocks := _blocks(operation):
        return all(_is_clifford(item.operation) for block in blocks for item in block.data)
    # A gate defined in the text stands for its body; a library gate outside the set does not count, since the
    # engine would not take it either.
    definition = getattr(operation, "definition", None)
    if definition is None or getattr(operation, "base_class", None).__module__.startswith("qiskit.circuit.library"):
        return False
    return all(_is_clifford(item.operation) for item in definition.data)


def _is_mid_circuit(circuit: QuantumCircuit) -> bool:
    measured: set[Any] = set()
    for item in circuit.data:
        name = item.operation.name
        if name == "barrier":
            continue
        if name == "reset" or measured.intersection(item.qubits):
            return True
        if name == "measure":
            measured.update(item.qubits)
        elif any(True for block in _blocks(item.operation) for _ in _flat(block, "measure")):
            return True
    return False
