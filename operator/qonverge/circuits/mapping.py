"""A circuit as a device runs it: transpiled, scheduled, and what it suffers there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager

from qonverge.circuits.load import PAULI_1Q, PAULI_2Q, Load, waiting_errors
from qonverge.circuits.target import device_target
from qonverge.devices import Calibration, Gate

_LEVEL = 2


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
    """Return the circuit in the device's gates, on its qubits and couplings; the same for the same seed."""
    target = device_target(device, control_flow=True)
    mapped: QuantumCircuit = generate_preset_pass_manager(_LEVEL, target=target, seed_transpiler=seed).run(circuit)
    return mapped


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
        if name in ("barrier", "delay") or not qubits:
            continue
        gate = gates.get((name, qubits))
        free = max(ends[qubit] for qubit in qubits)
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
    one, two = device.median_error(1) or 0.0, device.median_error(2) or 0.0
    pulses = gates = 0.0
    waits: list[tuple[float, float, float]] = []
    flips: list[float] = []
    for slot in slots:
        if slot.name == "measure":
            bit = mapped.find_bit(mapped.data[slot.index].clbits[0]).index
            flips.append(_misread(device, slot.qubits[0], ones.get(bit, 0.5)))
        elif len(slot.qubits) == 2:
            gates += PAULI_2Q * (two if slot.gate is None or slot.gate.error is None else slot.gate.error)
        elif slot.name != "reset":
            pulses += PAULI_1Q * (one if slot.gate is None or slot.gate.error is None else slot.gate.error)
        waits += [
            (wait, _rate(device.qubits[qubit].t1), _rate(device.qubits[qubit].t2))
            for qubit, wait in zip(slot.qubits, slot.waits, strict=True)
            if wait
        ]
    idle = float(waiting_errors(*np.array(waits).T).sum()) if waits else 0.0
    return Load(gates, pulses, idle, _mean(flips), seconds)


def _misread(device: Calibration, qubit: int, one: float) -> float:
    figures = device.qubits[qubit]
    middle = device.median_readout_error or 0.0
    read_1_as_0 = middle if figures.read_1_as_0 is None else figures.read_1_as_0
    read_0_as_1 = middle if figures.read_0_as_1 is None else figures.read_0_as_1
    return one * read_1_as_0 + (1 - one) * read_0_as_1


def _rate(seconds: float | None) -> float:
    return 1 / seconds if seconds else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
