"""What really comes out: the Hellinger fidelity of a mapped circuit under a device's noise, exactly.

The noise is that of Aer's device models: each gate relaxes its qubits for its duration and then depolarises them, so
that its average infidelity is the calibrated one; qubits that wait relax (the schedule is as late as can be); each bit
is misread with its own two probabilities. Up to ten qubits density matrices give probabilities, so no shots blur the
result; wider circuits take the mean of the probabilities of trajectories, each with errors of its own.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Instruction
from qiskit.quantum_info import Kraus, Statevector, SuperOp
from qiskit_aer import AerSimulator

from qonverge.circuits.mapping.mapped import Slot, schedule
from qonverge.devices import Calibration, Qubit

Floats = NDArray[np.float64]
Matrix = NDArray[np.complex128]
MOST_QUBITS = 10
"""Of density matrices."""
MOST_WIDE_QUBITS = 20
"""Of trajectories."""
_TRAJECTORIES = 400


class TooWide(Exception):
    """The mapped circuit uses more qubits than are simulated."""


def hellinger(mapped: QuantumCircuit, device: Calibration, most: int = MOST_QUBITS) -> float:
    """Return the Hellinger fidelity of what the circuit gives on the device and what it should give.

    Raises:
        TooWide: it uses more than ``most`` qubits.
    """
    expected, chances = outcomes(mapped, device, most)
    return float(np.sum(np.sqrt(np.maximum(expected * chances, 0))) ** 2)


def outcomes(mapped: QuantumCircuit, device: Calibration, most: int = MOST_QUBITS) -> tuple[Floats, Floats]:
    """Return the distributions that the circuit should have and has on the device, shape (2**bits,) each.

    Raises:
        TooWide: it uses more than ``most`` qubits.
    """
    slots, _ = schedule(mapped, device)
    used = sorted({qubit for slot in slots for qubit in slot.qubits})
    if len(used) > most:
        raise TooWide
    exact = len(used) <= MOST_QUBITS
    place = {qubit: index for index, qubit in enumerate(used)}
    measured = [slot.qubits[0] for slot in slots if slot.name == "measure"]
    bits = [place[qubit] for qubit in measured]
    ideal, noisy = QuantumCircuit(len(used)), QuantumCircuit(len(used))
    for slot in slots:
        if slot.name == "measure":
            continue
        where = [place[qubit] for qubit in slot.qubits]
        operation = mapped.data[slot.index].operation
        ideal.append(operation, where)
        noisy.append(operation, where)
        for matrix, targets in _noise(slot, where, device):
            noisy.append(Instruction("superop", len(targets), 0, [matrix]) if exact else _kraus(matrix), targets)
    noisy.save_probabilities(bits)
    method = "density_matrix" if exact else "statevector"
    simulator = AerSimulator(method=method, max_parallel_threads=1, seed_simulator=0)
    result = simulator.run(noisy, shots=1 if exact else _TRAJECTORIES).result()
    if not result.success:
        raise RuntimeError(f"Aer failed: {result.status}")
    chances = np.asarray(result.data(0)["probabilities"])
    for index, qubit in enumerate(measured):
        chances = _misread(chances, index, device.qubits[qubit])
    return Statevector(ideal).probabilities(bits), chances


def _kraus(matrix: Matrix) -> Instruction:
    """Return a channel as a trajectory draws from it."""
    found: Instruction = Kraus(SuperOp(matrix)).to_instruction()
    return found


def _noise(slot: Slot, where: list[int], device: Calibration) -> list[tuple[Matrix, list[int]]]:
    found: list[tuple[Matrix, list[int]]] = []
    figures = [device.qubits[qubit] for qubit in slot.qubits]
    if slot.gate is not None and slot.gate.error is not None:
        relaxed = [relaxation(slot.gate.seconds or 0.0, qubit) for qubit in figures]
        kept = math.prod(_process_fidelity(matrix, 2) for matrix in relaxed)
        found += [(matrix, [target]) for matrix, target in zip(relaxed, where, strict=True)]
        size = 2 ** len(where)
        # F_avg = (d F_pro + 1) / (d + 1), and depolarising with p leaves (1 - p) F_pro + p / d^2.
        wanted = ((size + 1) * (1 - slot.gate.error) - 1) / size
        strength = (kept - wanted) / (kept - 1 / size**2)
        if strength > 0:
            found.append((depolarising(min(1.0, strength), size), where))
    for wait, qubit, target in zip(slot.waits, figures, where, strict=True):
        if wait:
            found.append((relaxation(wait, qubit), [target]))
    return found


def relaxation(seconds: float, qubit: Qubit) -> Matrix:
    """Return the superoperator, on columns stacked, of relaxation to 0 and dephasing."""
    t1 = qubit.t1 or math.inf
    t2 = min(qubit.t2 or math.inf, 2 * t1)
    stays, coherent = math.exp(-seconds / t1), math.exp(-seconds / t2)
    return np.array([[1, 0, 0, 1 - stays], [0, coherent, 0, 0], [0, 0, coherent, 0], [0, 0, 0, stays]], dtype=complex)


def depolarising(strength: float, size: int) -> Matrix:
    """Return the superoperator that replaces a state by the mixed one with this probability."""
    mixed = np.eye(size).reshape(-1, 1, order="F")
    channel = (1 - strength) * np.eye(size**2) + strength * (mixed @ mixed.T) / size
    return channel.astype(np.complex128)


def _process_fidelity(matrix: Matrix, size: int) -> float:
    return float(np.trace(matrix).real) / size**2


def _misread(chances: Floats, bit: int, qubit: Qubit) -> Floats:
    down, up = qubit.read_1_as_0 or 0.0, qubit.read_0_as_1 or 0.0
    view = chances.reshape(-1, 2, 1 << bit)
    zero, one = view[:, 0], view[:, 1]
    return np.stack([(1 - up) * zero + down * one, up * zero + (1 - down) * one], axis=1).reshape(-1)
