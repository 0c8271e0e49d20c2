"""The engine: Qiskit's ``Statevector``, one circuit at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import qiskit
from qiskit import QuantumCircuit
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp, Statevector

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.bits import by_register, shots_of, spelled
from qonverge.backend.engines.checks import accepted, check, is_exact
from qonverge.backend.engines.choice import fit
from qonverge.backend.engines.estimation import Output, Sample, by_sampling
from qonverge.circuits.analysis.analysis import Analysis, analyse
from qonverge.circuits.analysis.measurement_plan import DEFAULT_SHOTS
from qonverge.devices import Layout
from qonverge.wire.errors import InvalidCircuit
from qonverge.wire.messages import Pub, PubResult
from qonverge_dense import DESCRIPTOR, DenseOptions

_METHOD = "statevector"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A circuit without its measurements, and where they were."""

    circuit: QuantumCircuit
    gates: QuantumCircuit
    measured: dict[int, int]
    """By classical bit the qubit that is measured into it."""
    analysis: Analysis

    def state(self, pub: Pub, index: int) -> Statevector:
        """Return the final state of one parameter set."""
        values = {name: float(column[index]) for name, column in pub.parameters.items()}
        return Statevector(self.gates.assign_parameters(values, strict=False))


class Dense:
    """Runs pubs on dense state vectors."""

    def __init__(self, config: EngineConfig) -> None:
        """Take the configuration; the descriptor has checked it."""
        self._config = config
        self._options = DenseOptions.model_validate(config.options or {})
        self.version = f"Dense (Qiskit {qiskit.__version__})"
        self.methods = DESCRIPTOR.methods
        self.basis_gates = tuple(sorted(get_standard_gate_name_mapping().keys() - {"measure", "reset", "delay"}))
        self.noise = None

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> Prepared:
        """Split the circuit into gates and final measurements."""
        circuit = accepted(circuit, None)
        analysis = analyse(circuit)
        if analysis.mid_circuit or analysis.control_flow:
            raise InvalidCircuit("Dense measures at the end of a circuit only: use a backend with the engine Aer")
        gates, measured = QuantumCircuit(circuit.num_qubits, global_phase=circuit.global_phase), {}
        for item in circuit.data:
            qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
            if item.operation.name == "measure":
                measured[circuit.find_bit(item.clbits[0]).index] = qubits[0]
            elif item.operation.name != "barrier":
                gates.append(item.operation, qubits)
        return Prepared(circuit, gates, measured, analysis)

    def run(self, prepared: Prepared, pub: Pub, *, seed: int, memory: bool, threads: int = 1) -> PubResult:
        """Run one pub; see ``Provider.run``."""
        check(pub, prepared.analysis, self._config, memory=memory)
        copies = DESCRIPTOR.copies("Statevector")
        fit("statevector", prepared.analysis.num_qubits, 1, self._config.circuit_bytes, copies=copies)
        if pub.statevector:
            states = np.array([prepared.state(pub, index).data for index in range(pub.sets)])
            result = PubResult(statevectors=states, method=_METHOD)
        elif not pub.observables:
            result = self._counts(prepared, pub, seed, memory)
        elif is_exact(pub):
            result = self._exact(prepared, pub)
        else:
            result = self._sampled(prepared, pub, seed)
        return replace(result, reason=f"{prepared.analysis.num_qubits} qubits")

    def _counts(self, prepared: Prepared, pub: Pub, seed: int, memory: bool) -> PubResult:
        circuit, shots = prepared.circuit, pub.shots or DEFAULT_SHOTS
        bits = sorted(prepared.measured)
        found, raw = [], []
        for index in range(pub.sets):
            drawn = self._draw(
                prepared.state(pub, index), [prepared.measured[bit] for bit in bits], shots, seed + index
            )
            counts = {sum((key >> n & 1) << bit for n, bit in enumerate(bits)): times for key, times in drawn.items()}
            if memory:
                raw.append(shots_of(counts, max(1, -(-circuit.num_clbits // 8)), seed + index))
            else:
                found.append(spelled(counts, circuit))
        registers = by_register(circuit, np.array(raw)) if memory else {}
        return PubResult(counts=tuple(found), registers=registers, shots=shots, method=_METHOD)

    def _exact(self, prepared: Prepared, pub: Pub) -> PubResult:
        out = Output(pub)
        for observables, sets in out.blocks():
            states = [prepared.state(pub, index) for index in sets]
            for k in observables:
                operator = SparsePauliOp.from_list(list(pub.observables[k]))
                values = np.array([float(np.real(state.expectation_value(operator))) for state in states])
                out.put(k, sets, values, np.zeros(len(sets)))
        return out.result(None, _METHOD)

    def _sampled(self, prepared: Prepared, pub: Pub, seed: int) -> PubResult:
        n = prepared.analysis.num_qubits

        def measure(basis: str, sets: list[int], shots: int, group: int) -> list[Sample]:
            turned = QuantumCircuit(n)
            for qubit, letter in enumerate(reversed(basis)):
                if letter == "Y":
                    turned.sdg(qubit)
                if letter in "XY":
                    turned.h(qubit)
            samples = []
            for index in sets:
                state = prepared.state(pub, index).evolve(turned)
                drawn = self._draw(state, list(range(n)), shots, hash((seed, group, index)) & 0xFFFFFFFF)
                samples.append(Sample.of(list(drawn), list(drawn.values())))
            return samples

        out, shots = by_sampling(pub, self._config.max_shots, measure)
        return out.result(shots, _METHOD)

    def _draw(self, state: Statevector, qubits: list[int], shots: int, seed: int) -> dict[int, int]:
        """Return how often each outcome of these qubits came; the first is its lowest bit."""
        chances = np.clip(state.probabilities(qubits), 0, None)
        chances[chances < self._options.ignore_below] = 0
        drawn = np.random.default_rng(seed).multinomial(shots, chances / chances.sum())
        return {int(key): int(drawn[key]) for key in np.flatnonzero(drawn)}
