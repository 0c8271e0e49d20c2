"""Qiskit Aer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import qiskit_aer
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import ParameterExpression
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import PauliList, SparsePauliOp
from qiskit_aer import AerSimulator

from qonverge.backend.config import EngineConfig
from qonverge.circuits.analysis import Analysis, analyse
from qonverge.circuits.canonical import canonical
from qonverge.circuits.errors import InvalidProgram
from qonverge.scheduling import format_bytes
from qonverge.wire.errors import CircuitTooLarge, EngineFailed, InvalidCircuit, InvalidTask, WireError
from qonverge.wire.messages import Observable, Pub, PubResult

_METHODS = {
    "Automatic": "automatic",
    "Statevector": "statevector",
    "DensityMatrix": "density_matrix",
    "MatrixProductState": "matrix_product_state",
    "Stabilizer": "stabilizer",
}
_DEFAULT_SHOTS = 1024
_WIDE_QUBITS = 18
# Names that every circuit may have besides gates.
_STRUCTURE = frozenset(("measure", "reset", "barrier", "delay", "if_else", "while_loop", "for_loop", "switch_case"))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A circuit in Aer's gates, with its properties."""

    circuit: QuantumCircuit
    analysis: Analysis


class Aer:
    """Runs pubs on an AerSimulator."""

    def __init__(self, config: EngineConfig) -> None:
        """Set the simulator up once: its options do not change between runs."""
        self._config = config
        self._limit = config.circuit_bytes
        if config.method not in _METHODS:
            raise LookupError(f"Aer has no method called {config.method}; it has {', '.join(_METHODS)}")
        self._simulator = AerSimulator(
            method=_METHODS[config.method], max_memory_mb=max(1, self._limit // 1024**2), fusion_enable=True
        )
        self.version = f"Aer {qiskit_aer.__version__}"
        self.methods = tuple(_METHODS)
        # Aer also lists its own instructions, which no program can name.
        standard = get_standard_gate_name_mapping()
        self.basis_gates = tuple(sorted(standard.keys() & set(self._simulator.configuration().basis_gates)))
        self._gates = frozenset(self.basis_gates)
        self.target: dict[str, Any] | None = None

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
            try:
                circuit = transpile(circuit, basis_gates=list(self.basis_gates), optimization_level=0)
            except Exception as error:  # the transpiler's plugins raise errors of every kind
                raise InvalidCircuit(f"the circuit cannot be translated for Aer: {error}") from None
        return Prepared(circuit, analyse(circuit))

    def run(self, prepared: Prepared, pub: Pub, *, seed: int, memory: bool, threads: int = 1) -> PubResult:
        """Run one pub; see ``Provider.run``."""
        self._check(prepared, pub, memory)
        # Below this width starting threads costs more than they gain.
        threads = 1 if prepared.analysis.num_qubits < _WIDE_QUBITS else threads
        options = {"seed_simulator": seed, "max_parallel_threads": threads}
        if pub.statevector:
            return self._state(prepared.circuit, pub, options)
        if not pub.observables:
            return self._sample(prepared.circuit, pub, memory, options)
        if pub.shots is None and pub.precision is None:
            return self._estimate_exactly(prepared.circuit, pub, options)
        return self._estimate_by_sampling(prepared.circuit, pub, options)

    def _check(self, prepared: Prepared, pub: Pub, memory: bool) -> None:
        analysis, config = prepared.analysis, self._config
        limit = config.max_qubits
        if limit is not None and analysis.num_qubits > limit:
            raise CircuitTooLarge(f"the circuit has {analysis.num_qubits} qubits and this backend takes {limit}")
        if pub.shots is not None and pub.shots > config.max_shots:
            raise InvalidTask(f"the task asks for {pub.shots} shots and this backend takes {config.max_shots}")
        if missing := sorted(set(analysis.parameters) - pub.parameters.keys()):
            raise InvalidTask(f"no values are given for {', '.join(missing)}")
        if unknown := sorted(pub.parameters.keys() - set(analysis.parameters)):
            raise InvalidTask(f"the circuit has no parameter {', '.join(unknown)}")
        for observable in pub.observables:
            for label, _ in observable:
                if len(label) != analysis.num_qubits or set(label) - set("IXYZ"):
                    raise InvalidTask(
                        f"the observable {label!r} does not fit a circuit of {analysis.num_qubits} qubits: give one of "
                        "I, X, Y, Z for each, qubit 0 last"
                    )
        exact = pub.statevector or (pub.observables and pub.shots is None and pub.precision is None)
        if exact and (analysis.measured_bits or analysis.mid_circuit or analysis.control_flow):
            raise InvalidTask(
                "a circuit that measures, resets or branches has no single final state and no exact expectation values: "
                "give shots or precision"
            )
        if pub.statevector and pub.sets * analysis.statevector_bytes > self._limit // 4:
            raise CircuitTooLarge(
                f"{pub.sets} states of {analysis.num_qubits} qubits are too much for the {format_bytes(self._limit)} "
                "here to hold and send: ask for fewer at a time, or for expectation values"
            )
        kept = pub.sets * (pub.shots or _DEFAULT_SHOTS) * -(-analysis.num_clbits // 8) if memory else 0
        # Aer's own form of a shot takes about a hundred bytes (measured), whatever its bits.
        if kept * 100 > self._limit:
            raise CircuitTooLarge(
                f"{pub.sets} parameter sets with {pub.shots} shots each are more than the "
                f"{format_bytes(self._limit)} here can hold shot by shot: ask for fewer shots at a time, or for counts"
            )
        if not pub.observables and not pub.statevector and not analysis.measured_bits:
            raise InvalidTask("the circuit measures nothing and no observables are given")
        power = {"Automatic": 0 if analysis.clifford else 1, "Statevector": 1, "DensityMatrix": 2}.get(config.method, 0)
        needed = 16 * (analysis.statevector_bytes // 16) ** power if power else 0
        if needed > self._limit:
            kind = "density matrix" if power == 2 else "statevector"
            fits = (int(math.log2(self._limit // 16))) // power
            raise CircuitTooLarge(
                f"a {kind} of {analysis.num_qubits} qubits needs {format_bytes(needed)} and one circuit has "
                f"{format_bytes(self._limit)} here, enough for {fits} qubits: use fewer qubits, more memory or the "
                "method MatrixProductState",
                has_bytes=self._limit,
            )

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

    def _sample(self, circuit: QuantumCircuit, pub: Pub, memory: bool, options: dict[str, Any]) -> PubResult:
        shots = pub.shots or _DEFAULT_SHOTS
        results = self._execute(circuit, dict(pub.parameters), options, shots=shots, memory=memory)
        method = str(results[0].metadata.get("method", ""))
        if memory:
            return PubResult(registers=_bit_arrays(circuit, results, shots), shots=shots, method=method)
        sizes = _register_sizes(circuit)
        counts = tuple(
            {_spaced(int(key, 16), sizes): int(count) for key, count in result.data.counts.items()}
            for result in results
        )
        return PubResult(counts=counts, shots=shots, method=method)

    def _state(self, circuit: QuantumCircuit, pub: Pub, options: dict[str, Any]) -> PubResult:
        saved = circuit.copy()
        saved.save_statevector(label="state")
        results = self._execute(saved, dict(pub.parameters), options)
        states = np.stack([np.asarray(result.data.state, dtype=np.complex128) for result in results])
        return PubResult(statevectors=states, method=str(results[0].metadata.get("method", "")))

    def _estimate_exactly(self, circuit: QuantumCircuit, pub: Pub, options: dict[str, Any]) -> PubResult:
        out, method = _Output(pub), ""
        for observables, sets in out.blocks():
            measured = circuit.copy()
            for k in observables:
                operator = SparsePauliOp.from_list(list(pub.observables[k]))
                measured.save_expectation_value(operator, range(circuit.num_qubits), label=f"o{k}")
            results = self._execute(measured, _subset(pub, sets), options)
            method = str(results[0].metadata.get("method", ""))
            for k in observables:
                values = [_real(getattr(result.data, f"o{k}")) for result in results]
                out.put(k, sets, np.array(values), np.zeros(len(values)))
        return out.result(None, method)

    def _estimate_by_sampling(self, circuit: QuantumCircuit, pub: Pub, options: dict[str, Any]) -> PubResult:
        out, method = _Output(pub), ""
        for observables, sets in out.blocks():
            groups = _commuting_groups([pub.observables[k] for k in observables])
            shots = pub.shots or _shots_for(pub.precision or 0.0, [pub.observables[k] for k in observables], groups)
            if shots > self._config.max_shots:
                raise InvalidTask(
                    f"a precision of {pub.precision} needs {shots} shots of each group of observables and this backend "
                    f"takes {self._config.max_shots}: ask for less precision"
                )
            values = np.zeros((len(observables), len(sets)))
            variances = np.zeros_like(values)
            for row, k in enumerate(observables):
                values[row] += sum(weight for label, weight in pub.observables[k] if set(label) == {"I"})
            for index, (basis, labels) in enumerate(groups):
                # Each group draws its own shots: the same seed would correlate them.
                seeded = {**options, "seed_simulator": (options["seed_simulator"] + 7919 * index) % 2**32}
                results = self._execute(_measured_in(circuit, basis), _subset(pub, sets), seeded, shots=shots)
                method = str(results[0].metadata.get("method", ""))
                for column, result in enumerate(results):
                    # The fresh bits come after the circuit's own.
                    outcomes = [int(key, 16) >> circuit.num_clbits for key in result.data.counts]
                    weights = np.array(list(result.data.counts.values()), dtype=np.float64) / shots
                    signs = {label: _signs(label, outcomes) for label in labels}
                    for row, k in enumerate(observables):
                        terms = [(signs[label], weight) for label, weight in pub.observables[k] if label in signs]
                        if terms:
                            each = sum(sign * weight for sign, weight in terms)
                            mean = float(np.dot(each, weights))
                            values[row, column] += mean
                            variances[row, column] += float(np.dot((each - mean) ** 2, weights)) / max(1, shots - 1)
            for row, k in enumerate(observables):
                out.put(k, sets, values[row], np.sqrt(variances[row]))
        return out.result(pub.shots or shots, method)


class _Output:
    """Collects values of (set, observable) pairs, and says which to compute together."""

    def __init__(self, pub: Pub) -> None:
        self._sets, self._pairs = pub.sets, pub.pairs
        self._values = np.zeros((pub.sets, len(pub.observables)))
        self._errors = np.zeros_like(self._values)
        if self._pairs is not None and (
            self._pairs.size == 0
            or self._pairs.min() < 0
            or (self._pairs >= np.array([pub.sets, len(pub.observables)])).any()
        ):
            raise InvalidTask("pairs must be indices of a parameter set and an observable")

    def blocks(self) -> Iterable[tuple[list[int], list[int]]]:
        """Yield (observables, sets): observables wanted for the same sets share their runs."""
        if self._pairs is None:
            yield list(range(self._values.shape[1])), list(range(self._sets))
            return
        wanted: dict[int, set[int]] = {}
        for index, k in self._pairs.tolist():
            wanted.setdefault(k, set()).add(index)
        together: dict[tuple[int, ...], list[int]] = {}
        for k, indices in wanted.items():
            together.setdefault(tuple(sorted(indices)), []).append(k)
        for sets, observables in together.items():
            yield observables, list(sets)

    def put(self, observable: int, sets: list[int], values: NDArray[np.float64], errors: NDArray[np.float64]) -> None:
        self._values[sets, observable] = values
        self._errors[sets, observable] = errors

    def result(self, shots: int | None, method: str) -> PubResult:
        values, errors = self._values, self._errors
        if self._pairs is not None:
            index = (self._pairs[:, 0], self._pairs[:, 1])
            values, errors = values[index], errors[index]
        return PubResult(expectation_values=values, standard_errors=errors, shots=shots, method=method)


def _subset(pub: Pub, sets: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    return {name: values[list(sets)] for name, values in pub.parameters.items()}


def _real(value: Any) -> float:
    if isinstance(value, ParameterExpression):
        raise EngineFailed("an expectation value is not a number")
    return float(np.real(value))


def _register_sizes(circuit: QuantumCircuit) -> list[int]:
    sizes = [register.size for register in circuit.cregs]
    # Bits outside registers, or shared by some, have no natural grouping.
    return sizes if sum(sizes) == circuit.num_clbits else [circuit.num_clbits]


def _spaced(outcome: int, sizes: list[int]) -> str:
    """Return the outcome as Qiskit writes it: the last register first, a space between registers."""
    text = format(outcome, f"0{sum(sizes)}b")
    parts, end = [], len(text)
    for size in sizes:
        parts.append(text[end - size : end])
        end -= size
    return " ".join(reversed(parts))


def _bit_arrays(circuit: QuantumCircuit, results: list[Any], shots: int) -> dict[str, tuple[int, NDArray[np.uint8]]]:
    """Return for each register its bits and an array (sets, shots, bytes), big-endian."""
    sizes = {register.name: register.size for register in circuit.cregs}
    if sum(sizes.values()) != circuit.num_clbits:
        raise InvalidCircuit("every classical bit must be in one register, such as bit[1] c")
    width = -(-circuit.num_clbits // 8)
    raw = np.empty((len(results), shots, width), dtype=np.uint8)
    for index, result in enumerate(results):
        joined = b"".join(int(key, 16).to_bytes(width, "big") for key in result.data.memory)
        raw[index] = np.frombuffer(joined, dtype=np.uint8).reshape(shots, width)
    if len(sizes) == 1:
        return {name: (size, raw) for name, size in sizes.items()}
    bits = np.unpackbits(raw, axis=-1)[..., ::-1]
    arrays, start = {}, 0
    for name, size in sizes.items():
        own = bits[..., start : start + size]
        padded = np.concatenate([own, np.zeros((*own.shape[:-1], -size % 8), dtype=np.uint8)], axis=-1)
        arrays[name] = (size, np.packbits(padded[..., ::-1], axis=-1))
        start += size
    return arrays


def _commuting_groups(observables: Sequence[Observable]) -> list[tuple[str, list[str]]]:
    """Return groups of labels that one measurement covers, each with its basis: a letter for each qubit.

    Qubit-wise commuting labels are grouped greedily, as in Qiskit's ``PauliList.group_qubit_wise_commuting``.
    """
    labels = sorted({label for observable in observables for label, _ in observable if set(label) != {"I"}})
    if not labels:
        return []
    groups = []
    for group in PauliList(labels).group_qubit_wise_commuting():
        members = group.to_labels()
        basis = "".join(next((c for c in column if c != "I"), "I") for column in zip(*members, strict=True))
        groups.append((basis, members))
    return groups


def _shots_for(precision: float, observables: Sequence[Observable], groups: list[tuple[str, list[str]]]) -> int:
    """Return the shots of each group that keep every standard error within the precision in the worst case.

    A group's share of an observable lies within the sum of its coefficients' sizes, which bounds its deviation.
    """
    worst = 0.0
    for observable in observables:
        spread = 0.0
        for _, labels in groups:
            size = sum(abs(weight) for label, weight in observable if label in labels)
            # Unlike a power, a product that leaves the range of floats is infinite and no exception.
            spread += size * size
        worst = max(worst, spread)
    if not math.isfinite(worst / max(precision**2, 1e-300)):
        raise InvalidTask(f"a precision of {precision} cannot be reached for observables of this size")
    # One more, since the variance is estimated from the sample itself.
    return max(2, math.ceil(worst / max(precision**2, 1e-300)) + 1)


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


def _signs(label: str, outcomes: Sequence[int]) -> NDArray[np.float64]:
    """Return the label's eigenvalue, +1 or -1, for each outcome."""
    mask = int("".join("0" if letter == "I" else "1" for letter in label), 2)
    return np.array([1 - 2 * ((outcome & mask).bit_count() & 1) for outcome in outcomes], dtype=np.float64)
