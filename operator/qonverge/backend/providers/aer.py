"""Qiskit Aer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import qiskit_aer
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Operation, ParameterExpression
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator

from qonverge.backend.config import EngineConfig
from qonverge.backend.providers.bits import by_register, register_sizes, shots_of, spaced
from qonverge.backend.providers.checks import DEFAULT_SHOTS, check, is_mixed
from qonverge.backend.providers.choice import choose
from qonverge.backend.providers.drawing import Drawable
from qonverge.backend.providers.estimation import Output, Sample, by_sampling, subset
from qonverge.circuits.analysis import Analysis, analyse
from qonverge.circuits.canonical import canonical
from qonverge.circuits.errors import InvalidProgram
from qonverge.scheduling import format_bytes
from qonverge.wire.errors import CircuitTooLarge, EngineFailed, InvalidCircuit, WireError
from qonverge.wire.messages import Observable, Pub, PubResult

_METHODS = {
    "Automatic": "automatic",
    "Statevector": "statevector",
    "DensityMatrix": "density_matrix",
    "MatrixProductState": "matrix_product_state",
    "Stabilizer": "stabilizer",
}
_WIDE_QUBITS = 18
# Circuits with observables that are kept of each circuit.
_SAVING = 16
# Names that every circuit may have besides gates.
_STRUCTURE = frozenset(("measure", "reset", "barrier", "delay", "if_else", "while_loop", "for_loop", "switch_case"))
# Controlled gates to which Aer 0.18 binds the values of free parameters wrongly, without an error: a crx(t) given
# t = 0.7 at run time is not the crx(0.7) of a circuit (tests/unit/backend/test_aer_gates.py).
_MISBOUND = frozenset(("cp", "crx", "cry", "crz", "cu", "cu1", "cu3"))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A circuit in Aer's gates, with its properties."""

    circuit: QuantumCircuit
    analysis: Analysis
    drawable: Drawable | None = None
    _saving: OrderedDict[tuple[Observable, ...], QuantumCircuit] = field(default_factory=OrderedDict)

    def saving(self, observables: Sequence[Observable]) -> QuantumCircuit:
        """Return the circuit with the values saved as ``o0``, ``o1``...; an optimiser asks for the same again."""
        key = tuple(observables)
        if key in self._saving:
            return self._saving[key]
        circuit = self.circuit.copy()
        for index, observable in enumerate(observables):
            operator = SparsePauliOp.from_list(list(observable))
            circuit.save_expectation_value(operator, range(circuit.num_qubits), label=f"o{index}")
        self._saving[key] = circuit
        if len(self._saving) > _SAVING:
            self._saving.popitem(last=False)
        return circuit


class Aer:
    """Runs pubs on an AerSimulator."""

    def __init__(self, config: EngineConfig) -> None:
        """Set the simulator up once: its options do not change between runs."""
        self._config = config
        self._limit = config.circuit_bytes
        if config.method not in _METHODS:
            raise LookupError(f"Aer has no method called {config.method}; it has {', '.join(_METHODS)}")
        self._simulator = AerSimulator(max_memory_mb=max(1, self._limit // 1024**2), fusion_enable=True)
        self.version = f"Aer {qiskit_aer.__version__}"
        self.methods = tuple(_METHODS)
        # Aer also lists its own instructions, which no program can name.
        standard = get_standard_gate_name_mapping()
        self.basis_gates = tuple(sorted(standard.keys() & set(self._simulator.configuration().basis_gates)))
        self._gates = frozenset(self.basis_gates)
        self.noise = config.noise

    def prepare(self, circuit: QuantumCircuit) -> Prepared:
        """Translate gates that Aer lacks; those that a program defines itself stand for their definitions."""
        try:
            # Aer goes by names, and a circuit from a client may use a library gate's name for another gate.
            circuit = canonical(circuit)
        except InvalidProgram as error:
            raise InvalidCircuit(str(error)) from None
        if not {item.operation.name for item in circuit.data} <= self._gates | _STRUCTURE or any(
            item.operation.name in ("if_else", "while_loop", "for_loop", "switch_case") for item in circuit.data
        ):
            circuit = self._translated(circuit, self._gates)
        if any(_is_misbound(item.operation) for item in circuit.data):
            circuit = self._translated(circuit, self._gates - _MISBOUND)
        analysis = analyse(circuit)
        return Prepared(circuit, analysis, Drawable.of(circuit, analysis))

    def _translated(self, circuit: QuantumCircuit, gates: Iterable[str]) -> QuantumCircuit:
        try:
            return transpile(circuit, basis_gates=sorted(gates), optimization_level=0)
        except Exception as error:  # the transpiler's plugins raise errors of every kind
            raise InvalidCircuit(f"the circuit cannot be translated for Aer: {error}") from None

    def run(self, prepared: Prepared, pub: Pub, *, seed: int, memory: bool, threads: int = 1) -> PubResult:
        """Run one pub; see ``Provider.run``."""
        check(pub, prepared.analysis, self._config, memory=memory)
        choice = choose(self._config.method, prepared.analysis, self._limit, mixed=is_mixed(pub, prepared.analysis))
        # Below this width starting threads costs more than they gain.
        threads = 1 if prepared.analysis.num_qubits < _WIDE_QUBITS else threads
        options = {"seed_simulator": seed, "max_parallel_threads": threads, "method": _METHODS[choice.method]}
        if pub.statevector:
            result = self._state(prepared.circuit, pub, options)
        elif not pub.observables:
            result = self._sample(prepared, pub, memory, options)
        elif pub.shots is None and pub.precision is None:
            result = self._estimate_exactly(prepared, pub, options)
        else:
            result = self._estimate_by_sampling(prepared.circuit, pub, options)
        return replace(result, reason=choice.reason)

    def _execute(
        self, circuit: QuantumCircuit, sets: dict[str, NDArray[np.float64]], options: dict[str, Any], **more: Any
    ) -> list[Any]:
        """Return Aer's result for each parameter set."""
        binds = None
        if sets:
            by_name = {parameter.name: parameter for parameter in circuit.parameters}
            binds = [{by_name[name]: values.tolist() for name, values in sets.items() if name in by_name}]
        try:
            result = self._simulator.run(circuit, parameter_binds=binds, **options, **more).result()
        except WireError:
            raise
        except MemoryError:
            limit = format_bytes(self._limit)
            raise CircuitTooLarge(f"the circuit needs more than the {limit} that one has here") from None
        except Exception as error:  # Aer raises errors of every kind for circuits that it cannot take
            raise EngineFailed(f"Aer refused the circuit: {error}") from None
        if not result.success:
            statuses = sorted({str(item.status) for item in result.results if not item.success}) or [str(result.status)]
            text = "; ".join(statuses)
            kind = CircuitTooLarge if "memory" in text.lower() else EngineFailed
            raise kind(f"Aer could not run the circuit: {text.removeprefix('ERROR: ')}")
        return list(result.results)

    def _sample(self, prepared: Prepared, pub: Pub, memory: bool, options: dict[str, Any]) -> PubResult:
        circuit, drawable = prepared.circuit, prepared.drawable
        shots, seed = pub.shots or DEFAULT_SHOTS, options["seed_simulator"]
        if drawable is not None and options["method"] == "statevector":
            results = self._execute(drawable.circuit, dict(pub.parameters), options)
            counts = [drawable.draw(result.data.p, shots, seed + index) for index, result in enumerate(results)]
        else:
            results = self._execute(circuit, dict(pub.parameters), options, shots=shots)
            # Aer tells no counts of a circuit that measures nothing.
            counts = [
                {int(key, 16): int(count) for key, count in getattr(result.data, "counts", {"0x0": shots}).items()}
                for result in results
            ]
        method = str(results[0].metadata.get("method", ""))
        if memory:
            width = -(-circuit.num_clbits // 8)
            raw = np.empty((len(counts), shots, width), dtype=np.uint8)
            for index, own in enumerate(counts):
                raw[index] = shots_of(own, width, seed + index)
            return PubResult(registers=by_register(circuit, raw), shots=shots, method=method)
        sizes = register_sizes(circuit)
        spelled = tuple({spaced(key, sizes): count for key, count in own.items()} for own in counts)
        return PubResult(counts=spelled, shots=shots, method=method)

    def _state(self, circuit: QuantumCircuit, pub: Pub, options: dict[str, Any]) -> PubResult:
        saved = circuit.copy()
        saved.save_statevector(label="state")
        results = self._execute(saved, dict(pub.parameters), options)
        states = np.stack([np.asarray(result.data.state, dtype=np.complex128) for result in results])
        return PubResult(statevectors=states, method=str(results[0].metadata.get("method", "")))

    def _estimate_exactly(self, prepared: Prepared, pub: Pub, options: dict[str, Any]) -> PubResult:
        out, method = Output(pub), ""
        for observables, sets in out.blocks():
            wanted = [pub.observables[k] for k in observables]
            measured = prepared.saving(wanted)
            results = self._execute(measured, subset(pub, sets), options)
            method = str(results[0].metadata.get("method", ""))
            for index, k in enumerate(observables):
                values = [_real(getattr(result.data, f"o{index}")) for result in results]
                out.put(k, sets, np.array(values), np.zeros(len(values)))
        return out.result(None, method)

    def _estimate_by_sampling(self, circuit: QuantumCircuit, pub: Pub, options: dict[str, Any]) -> PubResult:
        methods = set()

        def measure(basis: str, sets: list[int], shots: int, group: int) -> list[Sample]:
            # Each group draws its own shots: the same seed would correlate them.
            seeded = {**options, "seed_simulator": (options["seed_simulator"] + 7919 * group) % 2**32}
            results = self._execute(_measured_in(circuit, basis), subset(pub, sets), seeded, shots=shots)
            methods.add(str(results[0].metadata.get("method", "")))
            # The fresh bits come after the circuit's own.
            return [
                Sample.of([int(key, 16) >> circuit.num_clbits for key in counts], list(counts.values()))
                for counts in (result.data.counts for result in results)
            ]

        out, shots = by_sampling(pub, self._config.max_shots, measure)
        return out.result(shots, next(iter(methods), ""))


def _is_misbound(operation: Operation) -> bool:
    return operation.name in _MISBOUND and any(isinstance(p, ParameterExpression) for p in operation.params)


def _real(value: Any) -> float:
    if isinstance(value, ParameterExpression):
        raise EngineFailed("an expectation value is not a number")
    return float(np.real(value))


def _measured_in(circuit: QuantumCircuit, basis: str) -> QuantumCircuit:
    """Return the circuit with its qubits measured in the Pauli basis into fresh bits behind its own."""
    measured = circuit.copy()
    for qubit, letter in enumerate(reversed(basis)):
        if letter == "X":
            measured.h(qubit)
        elif letter == "Y":
            measured.sdg(qubit)
            measured.h(qubit)
    measured.measure_all(add_bits=True)
    return measured
