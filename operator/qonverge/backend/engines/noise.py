"""Errors of Aer, made from the figures of a device.

A gate's error is relaxation of its qubits for as long as it takes, after a depolarisation that brings the average gate
infidelity of both together to the calibrated one, as in qiskit_aer.noise.device. A measurement's is the confusion of
its bit. Qubits that wait relax. Not modelled: crosstalk, leakage, coherent errors, errors of resets.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Instruction
from qiskit.quantum_info import SuperOp
from qiskit_aer.noise import NoiseModel, QuantumError, ReadoutError, depolarizing_error, thermal_relaxation_error

from qonverge.circuits.analysis.wiring import NOT_GATES, operations
from qonverge.devices.noise import Noise

# What a stabilizer state can take as an error.
_OF_STABILIZERS = frozenset(("id", "x", "y", "z", "pauli", "reset"))

Idle = tuple[str, int, float]
"""An instruction's label, the qubit that waits there, and for how many seconds."""


class Errors:
    """Errors by place, each made once."""

    def __init__(self, noise: Noise) -> None:
        """Take the figures."""
        self.basis_gates = noise.basis_gates
        self._noise = noise
        self._gates: dict[tuple[str, tuple[int, ...]], QuantumError | None] = {}
        self._channels: dict[tuple[str, tuple[int, ...]], Instruction | None] = {}

    @cached_property
    def relaxes(self) -> bool:
        """Whether qubits that wait lose anything."""
        size = self._noise.num_qubits or 1
        return any(math.isfinite(time) for index in range(size) for time in self._lifetimes(index))

    def seconds(self, name: str, qubits: tuple[int, ...]) -> float:
        """Return how long an operation takes; 0 where it is not known."""
        if name == "measure":
            return self._noise.qubit(qubits[0]).readout_seconds or 0.0
        gate = self._noise.gate(name, qubits)
        return 0.0 if gate is None or gate.seconds is None else gate.seconds

    def relaxation(self, qubit: int, seconds: float) -> QuantumError | None:
        """Return what so much time does to a qubit; None for nothing."""
        t1, t2 = self._lifetimes(qubit)
        if seconds <= 0 or (math.isinf(t1) and math.isinf(t2)):
            return None
        return thermal_relaxation_error(t1, t2, seconds)

    def gate(self, name: str, qubits: tuple[int, ...]) -> QuantumError | None:
        """Return the error of a gate; None where it has none."""
        key = (name, qubits)
        if key not in self._gates:
            self._gates[key] = self._make(name, qubits)
        return self._gates[key]

    def confusion(self, qubit: int) -> NDArray[np.float64]:
        """Return the probabilities to read (column) what is there (row)."""
        to_0, to_1 = self._noise.misreading(qubit)
        return np.array([[1 - to_1, to_1], [to_0, 1 - to_0]])

    def model(self, circuit: QuantumCircuit, places: Sequence[int], idles: Sequence[Idle]) -> NoiseModel:
        """Return the noise of a circuit whose qubits stand for these of the device."""
        model = NoiseModel()
        for name, qubits in dict.fromkeys(operations(circuit, range(circuit.num_qubits))):
            there = tuple(places[qubit] for qubit in qubits)
            if name == "measure":
                confusion = self.confusion(there[0])
                if not np.array_equal(confusion, np.eye(2)):
                    model.add_readout_error(ReadoutError(confusion), qubits)
            elif (error := self.gate(name, there)) is not None:
                model.add_quantum_error(error, [name], qubits)
        for label, qubit, seconds in idles:
            if (error := self.relaxation(places[qubit], seconds)) is not None:
                model.add_quantum_error(error, [label], [qubit])
        return model

    def with_channels(self, circuit: QuantumCircuit, places: Sequence[int], idles: Sequence[Idle]) -> QuantumCircuit:
        """Return the circuit with its errors as superoperators behind the gates: what a density matrix runs fastest.

        Made once, they spare each run what Aer does to turn a noise model into them (measured: 4 qubits, 100 gates,
        2 and 90 ms). The confusion of bits is not among them.

        Args:
            circuit: without control flow.
            places: which qubit of the device each of its qubits is.
            idles: what its labels stand for.
        """
        waits = {label: self._superoperator(seconds, 0.0, (places[qubit],)) for label, qubit, seconds in idles}
        noisy = circuit.copy_empty_like()
        for item in circuit.data:
            name = item.operation.name
            if (label := item.operation.label) in waits:
                channel = waits[label]
            else:
                noisy.append(item)
                there = tuple(places[circuit.find_bit(qubit).index] for qubit in item.qubits)
                channel = None if name in NOT_GATES else self.channel(name, there)
            if channel is not None:
                noisy.append(channel, item.qubits)
        return noisy

    def channel(self, name: str, qubits: tuple[int, ...]) -> Instruction | None:
        """Return the error of a gate as a superoperator; None where it has none."""
        key = (name, qubits)
        if key not in self._channels:
            self._channels[key] = self._superoperator(*self._figures(name, qubits), qubits)
        return self._channels[key]

    def _lifetimes(self, qubit: int) -> tuple[float, float]:
        """Return T1 and T2 in seconds, infinite where there is none; T2 within what T1 allows."""
        figures = self._noise.qubit(qubit)
        t1 = math.inf if figures.t1 is None else figures.t1
        t2 = 2 * t1 if figures.t2 is None else min(figures.t2, 2 * t1)
        # A lifetime of nothing is no figure: devices tell it of qubits that could not be measured.
        return t1 or math.inf, t2 or math.inf

    def _figures(self, name: str, qubits: tuple[int, ...]) -> tuple[float, float]:
        """Return for how many seconds a gate's qubits relax, and the depolarising probability before."""
        gate = self._noise.gate(name, qubits)
        if gate is None:
            return 0.0, 0.0
        seconds, kept = gate.seconds or 0.0, 1.0
        for qubit in qubits:
            population, coherence = self._left(qubit, seconds)
            kept *= (1 + population + 2 * coherence) / 4
        return seconds, depolarisation(self._noise.error_of(gate), kept, len(qubits))

    def _left(self, qubit: int, seconds: float) -> tuple[float, float]:
        """Return what a time leaves of a qubit's excited state and of its coherence."""
        t1, t2 = self._lifetimes(qubit)
        return math.exp(-seconds / t1), math.exp(-seconds / t2)

    def _make(self, name: str, qubits: tuple[int, ...]) -> QuantumError | None:
        seconds, strength = self._figures(name, qubits)
        singles = [self.relaxation(qubit, seconds) for qubit in qubits]
        relaxing = None
        if any(single is not None for single in singles):
            nothing = thermal_relaxation_error(math.inf, math.inf, 0.0)
            relaxing = functools.reduce(QuantumError.expand, [single or nothing for single in singles])
        if not strength:
            return relaxing
        depolarising = depolarizing_error(strength, len(qubits))
        return depolarising if relaxing is None else depolarising.compose(relaxing)

    def _superoperator(self, seconds: float, strength: float, qubits: tuple[int, ...]) -> Instruction | None:
        """Return the superoperator of a depolarisation and then relaxation of these qubits; None for nothing."""
        left = [self._left(qubit, seconds) for qubit in qubits]
        if not strength and all(pair == (1.0, 1.0) for pair in left):
            return None
        total = functools.reduce(SuperOp.expand, [SuperOp(_relaxation(*pair)) for pair in left])
        d = 1 << len(qubits)
        identity = np.eye(d).ravel()
        depolarising = (1 - strength) * np.eye(d * d) + strength / d * np.outer(identity, identity)
        # Qiskit's own instruction of a channel is its Kraus operators, which Aer turns into this at each run.
        return Instruction("superop", len(qubits), 0, [total.data @ depolarising])


def _relaxation(population: float, coherence: float) -> NDArray[np.float64]:
    """Return the superoperator on the matrix's columns one below the other, of what is left of each."""
    matrix = np.diag([1.0, coherence, coherence, population])
    matrix[0, 3] = 1 - population
    return matrix


def depolarisation(error: float, kept: float, width: int) -> float:
    """Return the depolarising probability that brings a gate's average infidelity to ``error``.

    Args:
        error: calibrated average gate infidelity.
        kept: process fidelity of the relaxation alone.
        width: qubits of the gate.

    With the dimension d, average fidelity is F = (d * process fidelity + 1) / (d + 1) (Nielsen, Phys. Lett. A 303,
    249, 2002), and that of both is (1 - p) F + p / d. Where relaxation alone is worse than ``error``, p is 0.
    """
    d = 1 << width
    fidelity = (d * kept + 1) / (d + 1)
    if error <= 1 - fidelity or d * fidelity <= 1:
        return 0.0
    # No channel is worse than d / (d + 1).
    wanted = min(error, d / (d + 1))
    return min(d * (wanted - (1 - fidelity)) / (d * fidelity - 1), d * d / (d * d - 1))


def fits_stabilizers(model: NoiseModel) -> bool:
    """Return whether every error is a random choice of Pauli operators and resets."""
    return all(
        operation["name"] in _OF_STABILIZERS
        for error in model.to_dict(serializable=False)["errors"]
        if error["type"] == "qerror"
        for instructions in error["instructions"]
        for operation in instructions
    )
