"""Braket's circuits as Qiskit's, ready to travel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from braket.circuits import Circuit, Gate, Instruction, Noise
from braket.circuits.compiler_directive import CompilerDirective
from braket.circuits.compiler_directives import Barrier, StartVerbatimBox
from braket.circuits.measure import Measure
from braket.circuits.result_type import ObservableResultType
from qiskit import QuantumCircuit

from qonverge.client.braket.gates import translate
from qonverge.client.braket.openqasm import Reset
from qonverge.client.braket.symbols import Inputs, Symbols
from qonverge.client.transport.circuits import CircuitCache
from qonverge.devices import Layout


@dataclass(frozen=True, eq=False)
class Converted:
    """A circuit, and how its qubits and bits are Braket's."""

    circuit: QuantumCircuit
    symbols: Symbols
    qubits: tuple[int, ...]
    """Braket's qubits, ascending: the first is Qiskit's qubit 0."""
    measured: tuple[int, ...]
    """Braket's qubit of each bit."""
    verbatim: bool = False
    """Whether Braket's qubits are a device's own, as in a verbatim box."""

    @property
    def layout(self) -> Layout | None:
        """Where it lies on a device; None: where it lies best."""
        return Layout(self.qubits, routing=False) if self.verbatim else None

    @cached_property
    def travelling(self) -> tuple[str, bytes]:
        """(digest, QPY)."""
        return CircuitCache().travel(self.circuit)


def convert(circuit: Circuit, *, sampled: bool, values: Inputs | None = None) -> Converted:
    """Return the circuit.

    Args:
        circuit: what to convert.
        sampled: whether to end it with the rotations into the bases of its observables, and measurements.
        values: what its free parameters are; None: they stay free.

    Raises:
        ValueError: an instruction cannot be sent, saying which and what to do.
        NeedsValues: an instruction can be sent only once its free parameters have values.
    """
    qubits = qubits_of(circuit)
    places = {qubit: place for place, qubit in enumerate(qubits)}
    symbols = Symbols(values)
    measured = measured_of(circuit) if sampled else ()
    converted = QuantumCircuit(len(qubits), len(measured))
    for instruction in (*circuit.instructions, *(circuit.basis_rotation_instructions if sampled else ())):
        _append(converted, instruction, places, symbols)
    converted.measure([places[qubit] for qubit in measured], range(len(measured)))
    verbatim = any(isinstance(each.operator, StartVerbatimBox) for each in circuit.instructions)
    return Converted(converted, symbols, qubits, measured, verbatim)


def _append(circuit: QuantumCircuit, instruction: Instruction, places: dict[int, int], symbols: Symbols) -> None:
    operator = instruction.operator
    on = [places[int(qubit)] for qubit in (*instruction.control, *instruction.target)]
    if isinstance(operator, Gate):
        for gate, own in translate(instruction, symbols.number):
            circuit.append(gate, [on[place] for place in own], copy=False)
    elif isinstance(operator, Reset):
        circuit.reset(on)
    elif isinstance(operator, Barrier):
        circuit.barrier(on or None)
    elif isinstance(operator, Noise):
        raise ValueError(
            f"{operator.name} on {_named(instruction.target)} is noise, and circuits are sent without noise: leave it "
            "out, and run the circuit on a backend that has a noise model"
        )
    elif not isinstance(operator, Measure | CompilerDirective):
        raise ValueError(f"{operator.name} on {_named(instruction.target)} cannot be sent: leave it out")


def qubits_of(circuit: Circuit) -> tuple[int, ...]:
    """Return the qubits that instructions and observables name, ascending."""
    named = {int(qubit) for each in circuit.instructions for qubit in (*each.control, *each.target)}
    for result_type in circuit.result_types:
        if isinstance(result_type, ObservableResultType):
            named.update(_flat(result_type.target))
    return tuple(sorted(named))


def _flat(target: Iterable[Any]) -> Iterator[int]:
    """Return the qubits of a target, which is a list of targets for a sum."""
    for each in target or ():
        if isinstance(each, Iterable):
            yield from _flat(each)
        else:
            yield int(each)


def measured_of(circuit: Circuit) -> tuple[int, ...]:
    """Return the qubit of each bit: those that the circuit measures, or all."""
    slots: dict[int, int] = {}
    for each in circuit.instructions:
        if isinstance(each.operator, Measure):
            # As in Braket's own programs, a bit that is written again has its last value.
            slots[each.operator._target_index or 0] = int(each.target[0])
    if slots:
        return tuple(qubit for _, qubit in sorted(slots.items()))
    # In a verbatim box qubits are physical ones, in the order of their use.
    return qubits_of(circuit) if circuit.result_types else tuple(int(qubit) for qubit in circuit.qubits)


def _named(qubits: Iterable[Any]) -> str:
    return " and ".join(f"qubit {int(qubit)}" for qubit in qubits)
