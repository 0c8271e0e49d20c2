"""A circuit as a device runs it: scheduled, and what it suffers there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qiskit import QuantumCircuit

from qonverge.circuits.error_response.accumulated_errors import Decay, Load, pauli_error
from qonverge.circuits.mapping.mapper import Mapper
from qonverge.devices import Calibration, Gate


@dataclass(frozen=True, slots=True)
class Slot:
    """An operation of a scheduled circuit."""

    index: int
    """Its place in the circuit's data."""
    name: str
    qubits: tuple[int, ...]
    gate: Gate | None
    """Its figures; None for measurements and what the calibration does not tell."""
    waits: tuple[float, ...]
    """Seconds for which each of its qubits waits after it."""


def map_to(circuit: QuantumCircuit, device: Calibration, *, seed: int = 0) -> QuantumCircuit:
    """Return the circuit as the engines run it on the device, where no layout is given: see ``mapper``."""
    return Mapper(device, seed=seed).map(circuit).circuit


def schedule(mapped: QuantumCircuit, device: Calibration) -> tuple[list[Slot], float]:
    """Return a mapped circuit's operations in order, each as late as can be, and the seconds that they take in all.

    A qubit that nothing has happened to does not wait; all measurements at the end begin together.
    """
    gates = {(gate.name, gate.qubits): gate for gate in device.gates}
    places = {bit: index for index, bit in enumerate(mapped.qubits)}
    ends = [0.0] * mapped.num_qubits
    slots: list[Slot] = []
    longest = max((qubit.readout_seconds or 0.0 for qubit in device.qubits), default=0.0)
    for index in range(len(mapped.data) - 1, -1, -1):
        item = mapped.data[index]
        name, qubits = item.operation.name, tuple(places[bit] for bit in item.qubits)
        if name == "barrier" or not qubits:
            continue
        gate = gates.get((name, qubits))
        free = max(ends[qubit] for qubit in qubits)
        if name == "delay":
            # What was waited for is lost for the qubit, whatever follows.
            seconds = float(mapped.data[index].operation.duration)
            slots.append(Slot(index, name, qubits, None, (seconds,)))
        else:
            slots.append(Slot(index, name, qubits, gate, tuple(free - ends[qubit] for qubit in qubits)))
            seconds = longest if name == "measure" else (gate.seconds or 0.0) if gate else 0.0
        for qubit in qubits:
            ends[qubit] = free + seconds
    return slots[::-1], max(ends, default=0.0)


def load_of(mapped: QuantumCircuit, device: Calibration, ones: Mapping[int, float]) -> Load:
    """Return what a mapped circuit suffers.

    Args:
        mapped: on the device's qubits.
        device: where it is mapped to.
        ones: for each classical bit by its place, the probability that it is 1; else 1/2.
    """
    slots, seconds = schedule(mapped, device)
    decays = [Decay.of(qubit) for qubit in device.qubits]
    errors = {1: 0.0, 2: 0.0}
    resets = phases = 0.0
    flips: list[float] = []
    for slot in slots:
        of_slot = [decays[qubit] for qubit in slot.qubits]
        lasts = slot.gate.seconds or 0.0 if slot.gate else 0.0
        if slot.name == "measure":
            bit = mapped.find_bit(mapped.data[slot.index].clbits[0]).index
            flips.append(_misread(device, slot.qubits[0], ones.get(bit, 0.5)))
        elif slot.name not in ("reset", "delay") and len(slot.qubits) in errors:
            known = slot.gate or Gate(slot.name, slot.qubits)
            error = device.error_of(known)
            errors[len(slot.qubits)] += pauli_error(error, lasts, of_slot)
        for decay, wait in zip(of_slot, slot.waits, strict=True):
            resets += (lasts + wait) * decay.resets
            phases += (lasts + wait) * decay.phases
    return Load(errors[2], errors[1], resets, phases, sum(flips) / max(1, len(flips)), seconds)


def _misread(device: Calibration, qubit: int, one: float) -> float:
    read_1_as_0, read_0_as_1 = device.misreading(qubit)
    return one * read_1_as_0 + (1 - one) * read_0_as_1
