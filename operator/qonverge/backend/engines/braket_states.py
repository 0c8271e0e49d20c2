"""What is asked of the final states of Braket's simulations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numba
import numpy as np
from braket.default_simulator import observables
from braket.default_simulator.density_matrix_simulation import DensityMatrixSimulation
from braket.default_simulator.simulation import Simulation
from braket.default_simulator.state_vector_simulation import StateVectorSimulation
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from qonverge.backend.engines.braket_gates import turned
from qonverge.backend.engines.braket_paths import Path, Walk
from qonverge.backend.engines.drawing import confused
from qonverge.backend.engines.estimation import Sample

_PAULIS = {"X": observables.PauliX, "Y": observables.PauliY, "Z": observables.PauliZ}

# Before anybody sets fewer.
_THREADS = int(numba.get_num_threads())


class States:
    """Simulations of circuits without free parameters, as statevectors or density matrices."""

    def __init__(self, *, mixed: bool, limit: int, threads: int) -> None:
        """Args: the kind of state, bytes for states that wait at a time, and threads."""
        self._mixed, self._limit = mixed, limit
        numba.set_num_threads(max(1, min(threads, _THREADS)))

    def counts(
        self, circuit: QuantumCircuit, shots: int, seed: int, confusions: Sequence[NDArray[np.float64]] = ()
    ) -> dict[int, int]:
        """Return how often each value of the classical bits came, bit k being that of the circuit's bit k.

        Args:
            circuit: errors in it are superoperators.
            shots: runs.
            seed: of all draws.
            confusions: how each qubit is misread: rows for what is there, columns for what is read.
        """
        generator, walk = np.random.default_rng(seed), Walk.of(circuit, confusions)
        final = walk.final()
        qubits = sorted(set(final.values()))
        ranks = [(clbit, qubits.index(qubit)) for clbit, qubit in final.items()]
        counts: Counter[int] = Counter()
        for path in self._paths(walk, shots, generator):
            early = sum(
                value << index
                for index, bit in enumerate(circuit.clbits)
                if (value := path.bits.get(bit, 0)) and index not in final
            )
            for outcome, times in _drawn(path, qubits, walk, generator):
                counts[early | sum((outcome >> rank & 1) << clbit for clbit, rank in ranks)] += times
        return dict(counts)

    def sample(self, circuit: QuantumCircuit, basis: str, shots: int, seed: int) -> Sample:
        """Return all qubits measured in a basis after the circuit, a letter for each."""
        generator, qubits = np.random.default_rng(seed), list(range(circuit.num_qubits))
        counts: Counter[int] = Counter()
        walk = Walk.of(circuit)
        for path in self._paths(walk, shots, generator):
            path.simulation.evolve(turned(basis))
            for outcome, times in _drawn(path, qubits, walk, generator):
                counts[outcome] += times
        return Sample.of(list(counts), list(counts.values()))

    def values(self, circuit: QuantumCircuit, labels: Iterable[str]) -> dict[str, float]:
        """Return the expectation values of Pauli operators after a circuit that does not measure."""
        simulation = self._final(circuit)
        return {label: _value(simulation, label) for label in labels}

    def state(self, circuit: QuantumCircuit) -> NDArray[np.complex128]:
        """Return the amplitudes after a circuit that does not measure."""
        simulation = self._final(circuit)
        assert isinstance(simulation, StateVectorSimulation)
        return np.asarray(simulation.state_vector, dtype=np.complex128)

    def _final(self, circuit: QuantumCircuit) -> Simulation:
        (path,) = self._paths(Walk.of(circuit), 1, np.random.default_rng(0))
        return path.simulation

    def _paths(self, walk: Walk, shots: int, generator: np.random.Generator) -> Iterable[Path]:
        n = walk.circuit.num_qubits
        simulation = DensityMatrixSimulation(n, shots) if self._mixed else StateVectorSimulation(n, shots, 1)
        return walk.paths(
            simulation, shots, generator, state_bytes=16 << ((1 + self._mixed) * n), limit=max(self._limit, 1)
        )


def _drawn(path: Path, qubits: Sequence[int], walk: Walk, generator: np.random.Generator) -> list[tuple[int, int]]:
    """Measure some qubits, in ascending order, at a path's end: outcomes, the first qubit's bit lowest, and counts."""
    num_qubits = walk.circuit.num_qubits
    likely = np.clip(path.simulation.probabilities, 0, None)
    if len(qubits) < num_qubits:
        dropped = tuple(num_qubits - 1 - qubit for qubit in set(range(num_qubits)).difference(qubits))
        likely = likely.reshape((2,) * num_qubits).sum(axis=dropped).ravel()
    if walk.confusions:
        likely = confused(likely, [walk.confusions[qubit] for qubit in qubits])
    drawn = generator.multinomial(path.shots, likely / likely.sum())
    (outcomes,) = np.nonzero(drawn)
    return list(zip(outcomes.tolist(), drawn[outcomes].tolist(), strict=True))


def _value(simulation: Any, label: str) -> float:
    factors = [_PAULIS[letter]([place]) for place, letter in enumerate(label) if letter != "I"]
    if not factors:
        return 1.0
    return float(simulation.expectation(factors[0] if len(factors) == 1 else observables.TensorProduct(factors)))
