"""Qiskit Aer."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import distributions
from typing import Any

import numpy as np
import qiskit_aer
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression
from qiskit.quantum_info import SparsePauliOp
from qiskit.result import Result
from qiskit_aer import AerSimulator

from qonverge.amounts import format_bytes
from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.aer_gates import MethodGates, has_free_gates, names_in
from qonverge.backend.engines.bits import by_register, shots_of, spelled
from qonverge.backend.engines.checks import accepted, check, is_exact, is_mixed
from qonverge.backend.engines.choice import Choice, choose, choose_noisy
from qonverge.backend.engines.descriptors import AER, AER_FIGURES, result_method
from qonverge.backend.engines.drawing import Drawable
from qonverge.backend.engines.estimation import Output, Sample, by_sampling, subset
from qonverge.backend.engines.layout import Placed, Placer, Sampled, Unscheduled
from qonverge.backend.engines.protocol import Question
from qonverge.backend.task_parts import run_each
from qonverge.circuits.analysis.analysis import Analysis, analyse
from qonverge.circuits.analysis.deferred_resets import Deferred, deferred
from qonverge.circuits.analysis.delays import has_free_delays
from qonverge.circuits.analysis.measurement_plan import DEFAULT_SHOTS
from qonverge.devices import Layout
from qonverge.wire.errors import CircuitTooLarge, EngineFailed, WireError
from qonverge.wire.messages import Observable, Pub, PubResult

_METHODS = {method: result_method(method) for method in AER.methods}
_UNIVERSAL = frozenset(("statevector", "density_matrix", "matrix_product_state"))
# What Aer's GPU build computes there; other methods stay on the CPU.
_ON_GPU = frozenset(("Statevector", "DensityMatrix"))
# Circuits with observables that are kept of each circuit.
_SAVING = 16


class Runnable:
    """A circuit in the gates of one of Aer's methods; a noisy device's keeps the device's gates."""

    def __init__(self, prepared: Prepared, gates: MethodGates) -> None:
        """Take what was prepared, and the method's gates."""
        self._analysis = prepared.analysis
        self._placed = prepared.placed
        self._deferred = prepared.deferred
        self._gates = gates
        self.circuit = prepared.circuit if self._placed is not None else gates.translated(prepared.circuit)
        self._saving: OrderedDict[tuple[Observable, ...], QuantumCircuit] = OrderedDict()

    @cached_property
    def _exact(self) -> QuantumCircuit:
        """What gives exact values."""
        if self._placed is not None:
            return self._gates.on_device(self._placed.exact)
        return self.circuit if self._deferred is None else self._gates.translated(self._deferred.circuit)

    @cached_property
    def drawable(self) -> Drawable | None:
        """What gives the probabilities of all outcomes, where nothing follows the measurements."""
        return Drawable.of(self.circuit, self._analysis)

    @cached_property
    def sampled(self) -> Sampled:
        """What gives counts."""
        if self._placed is not None:
            return self._on_device(self._placed)
        return Sampled(self.circuit, self.drawable if self._gates.method == "statevector" else None)

    def measured_in(self, basis: str) -> Sampled:
        """Return what gives counts of all qubits measured in a Pauli basis, in fresh bits behind the circuit's own."""
        if self._placed is not None:
            return self._on_device(self._placed.measured_in(basis))
        return Sampled(_measured_in(self.circuit, basis))

    def _on_device(self, placed: Placed) -> Sampled:
        found = placed.sampled(self._gates.method)
        if found.drawable is not None:
            noisy = self._gates.on_device(found.drawable.circuit)
            return replace(found, drawable=replace(found.drawable, circuit=noisy))
        return replace(found, circuit=self._gates.on_device(found.circuit))

    def saving(self, observables: Sequence[Observable]) -> QuantumCircuit:
        """Return the circuit with the values saved as ``o0``, ``o1``...; an optimiser asks for the same again."""
        key = tuple(observables)
        if key in self._saving:
            return self._saving[key]
        circuit = self._exact.copy()
        places = range(circuit.num_qubits) if self._deferred is None else self._deferred.homes
        for index, observable in enumerate(observables):
            operator = SparsePauliOp.from_list(
                list(observable) if self._placed is None else self._placed.here(observable)
            )
            circuit.save_expectation_value(operator, places, label=f"o{index}")
        self._saving[key] = circuit
        if len(self._saving) > _SAVING:
            self._saving.popitem(last=False)
        return circuit


@dataclass(frozen=True, slots=True)
class Prepared:
    """A circuit with its properties, and what was made of it for each method that was chosen."""

    circuit: QuantumCircuit
    """On a noisy device the qubits that are used, in its gates."""
    analysis: Analysis
    """Of the program's circuit."""
    placed: Placed | None = None
    """Where it is on a noisy device."""
    unscheduled: Unscheduled | None = None
    """On a noisy device, where it takes the values of parameters to say what runs."""
    deferred: Deferred | None = None
    """What gives exact values of a circuit that resets qubits, where that is less than a density matrix."""
    _runnable: dict[str, Runnable] = field(default_factory=dict)

    def runnable(self, gates: MethodGates) -> Runnable:
        """Return the circuit for the method of Aer that has these gates."""
        if gates.method not in self._runnable:
            self._runnable[gates.method] = Runnable(self, gates)
        return self._runnable[gates.method]


def _is_news(record: logging.LogRecord) -> bool:
    """Whether Aer says something that no error of ours does: in a notebook its log goes to the screen."""
    return not str(record.msg).startswith("Simulation failed")


class _Simulator(AerSimulator):  # type: ignore[misc]  # Aer ships no types
    """An AerSimulator whose jobs run in the thread that asks: between two threads a small circuit waits for both."""

    def _run_circuits(self, circuits: Any, parameter_binds: Any, **run_options: Any) -> _Done:
        return _Done(self._execute_circuits_job(circuits, parameter_binds, run_options))


@dataclass(frozen=True, slots=True)
class _Done:
    """A job that has ended."""

    found: Result

    def result(self) -> Result:
        return self.found


class Aer:
    """Runs pubs on an AerSimulator."""

    def __init__(self, config: EngineConfig) -> None:
        """Set the simulator up once: its options do not change between runs."""
        self._config = config
        self._limit = config.circuit_bytes
        self._simulator = _Simulator(max_memory_mb=max(1, self._limit // 1024**2), fusion_enable=True)
        logging.getLogger("qiskit_aer.backends.aerbackend").addFilter(_is_news)
        # Looking through all that is installed takes 60 ms, more than all else here.
        custatevec = config.device == "GPU" and _installed("custatevec")
        self._gpu = gpu_options(config.device, self._simulator.available_devices(), custatevec)
        self.version = f"Aer {qiskit_aer.__version__}"
        self.methods = AER.methods
        self._gates = {name: MethodGates(name) for name in _METHODS.values()}
        # Of a device's gates those to which every method that holds errors binds values.
        self._bindable = frozenset.intersection(
            *(own.bindable for name, own in self._gates.items() if name in _UNIVERSAL)
        )
        self.basis_gates = tuple(sorted(self._gates[_METHODS[config.method]].names))
        self.noise = config.noise
        self._placer: Placer | None = None
        if config.noise is not None:
            self._placer = Placer(config.noise, keep_layouts=config.keep_layouts)
            self.basis_gates = config.noise.basis_gates

    @staticmethod
    def preference(question: Question) -> int | None:  # the same for every circuit
        """See ``RankedProvider.preference``."""
        return 1

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> Prepared:
        """Analyse the circuit; it is translated for a method when that is first chosen."""
        # Aer goes by names, and a circuit from a client may use a library gate's name for another gate.
        circuit = accepted(circuit, self.noise)
        if self._placer is not None:
            mapped, analysis = self._placer.place(circuit, layout), analyse(circuit)
            if has_free_delays(mapped.circuit) or has_free_gates(mapped.circuit, self._bindable):
                return Prepared(mapped.circuit, analysis, unscheduled=mapped)
            return _scheduled(self._placer, mapped, analysis)
        analysis = analyse(circuit)
        defers = analysis.deferrable_resets and self._config.method != "DensityMatrix"
        return Prepared(circuit, analysis, deferred=deferred(circuit) if defers else None)

    def run(self, prepared: Prepared, pub: Pub, *, seed: int, memory: bool, threads: int = 1) -> PubResult:
        """Run one pub; see ``Provider.run``."""
        check(pub, prepared.analysis, self._config, memory=memory)
        if prepared.unscheduled is not None and self._placer is not None:
            placer, mapped = self._placer, prepared.unscheduled

            def run(one: Pub, own: int) -> PubResult:
                bound = _scheduled(placer, mapped.bound(one.parameters), prepared.analysis)
                return self.run(bound, one, seed=own, memory=memory, threads=threads)

            return run_each(pub, seed, run)
        choice = self._choose(prepared, pub)
        runs = prepared.circuit if prepared.deferred is None or not is_exact(pub) else prepared.deferred.circuit
        width = runs.num_qubits * (2 if choice.method == "DensityMatrix" else 1)
        options = {
            "seed_simulator": seed,
            "max_parallel_threads": 1 if width < AER_FIGURES.threaded_qubits else threads,
            "method": _METHODS[choice.method],
            # Aer 0.18 leaves out qubits that nothing touches, and then cannot find them where the circuit branches.
            "enable_truncation": not prepared.analysis.control_flow,
            **(self._gpu if choice.method in _ON_GPU else {}),
        }
        runnable = prepared.runnable(self._gates[options["method"]])
        if pub.statevector:
            result = self._state(runnable.circuit, pub, options)
        elif not pub.observables:
            result = self._sample(runnable, pub, memory, options)
        elif is_exact(pub):
            result = self._estimate_exactly(runnable, pub, options)
        else:
            result = self._estimate_by_sampling(runnable, pub, options)
        return replace(result, reason=choice.reason, layout=() if prepared.placed is None else prepared.placed.layout)

    def _choose(self, prepared: Prepared, pub: Pub) -> Choice:
        method, placed = self._config.method, prepared.placed
        if placed is None:
            if not is_mixed(pub, prepared.analysis):
                return choose(method, prepared.analysis, self._limit)
            if prepared.deferred is None:
                return choose(method, prepared.analysis, self._limit, mixed=True)
            choice = choose(method, prepared.deferred.analysis, self._limit)
            return replace(choice, reason=f"{choice.reason}, a fresh one after each reset")
        shots = None if is_exact(pub) else pub.shots or DEFAULT_SHOTS
        tableau = self._gates["stabilizer"].names

        def pauli() -> bool:
            # A gate that stands for its definition would lose its error.
            return placed.pauli and not (names_in(placed.circuit) & set(placed.basis_gates)) - tableau

        return choose_noisy(method, placed.analysis, self._limit, shots=shots, pauli=pauli)

    def _execute(
        self, circuit: QuantumCircuit, sets: dict[str, NDArray[np.float64]], options: dict[str, Any], **more: Any
    ) -> list[Any]:
        """Return Aer's result for each parameter set."""
        by_name = {parameter.name: parameter for parameter in circuit.parameters}
        binds = [{by_name[name]: values.tolist() for name, values in sets.items() if name in by_name}]
        # A parameter that has no effect is gone from a circuit that was transpiled.
        wanted = len(next(iter(sets.values()), "1"))
        runs = circuit if by_name else [circuit] * wanted
        try:
            result = self._simulator.run(runs, parameter_binds=binds if by_name else None, **options, **more).result()
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
        if len(result.results) != wanted:
            # Aer unrolls loops first, and then finds no parameter that stood in one without a turn.
            return self._execute(circuit.assign_parameters(dict.fromkeys(by_name.values(), 0.0)), sets, options, **more)
        return list(result.results)

    def _count(
        self, sampled: Sampled, sets: dict[str, NDArray[np.float64]], shots: int, options: dict[str, Any]
    ) -> tuple[list[dict[int, int]], str]:
        """Return for each parameter set how often each outcome came, and Aer's method."""
        if sampled.drawable is not None:
            results = self._execute(sampled.drawable.circuit, sets, options)
            seed = options["seed_simulator"]
            counts = [sampled.drawable.draw(result.data.p, shots, seed + k) for k, result in enumerate(results)]
        else:
            results = self._execute(sampled.circuit, sets, options, shots=shots, noise_model=sampled.model)
            # Aer tells no counts of a circuit that measures nothing.
            counts = [
                {int(key, 16): int(count) for key, count in getattr(result.data, "counts", {"0x0": shots}).items()}
                for result in results
            ]
        return counts, str(results[0].metadata.get("method", ""))

    def _sample(self, runnable: Runnable, pub: Pub, memory: bool, options: dict[str, Any]) -> PubResult:
        circuit, shots, seed = runnable.circuit, pub.shots or DEFAULT_SHOTS, options["seed_simulator"]
        counts, method = self._count(runnable.sampled, dict(pub.parameters), shots, options)
        if memory:
            width = -(-circuit.num_clbits // 8)
            raw = np.empty((len(counts), shots, width), dtype=np.uint8)
            for index, own in enumerate(counts):
                raw[index] = shots_of(own, width, seed + index)
            return PubResult(registers=by_register(circuit, raw), shots=shots, method=method)
        return PubResult(counts=tuple(spelled(own, circuit) for own in counts), shots=shots, method=method)

    def _state(self, circuit: QuantumCircuit, pub: Pub, options: dict[str, Any]) -> PubResult:
        saved = circuit.copy()
        saved.save_statevector(label="state")
        results = self._execute(saved, dict(pub.parameters), options)
        states = np.stack([np.asarray(result.data.state, dtype=np.complex128) for result in results])
        return PubResult(statevectors=states, method=str(results[0].metadata.get("method", "")))

    def _estimate_exactly(self, runnable: Runnable, pub: Pub, options: dict[str, Any]) -> PubResult:
        out, method = Output(pub), ""
        for observables, sets in out.blocks():
            wanted = [pub.observables[k] for k in observables]
            measured = runnable.saving(wanted)
            results = self._execute(measured, subset(pub, sets), options)
            method = str(results[0].metadata.get("method", ""))
            for index, k in enumerate(observables):
                values = [_real(getattr(result.data, f"o{index}")) for result in results]
                out.put(k, sets, np.array(values), np.zeros(len(values)))
        return out.result(None, method)

    def _estimate_by_sampling(self, runnable: Runnable, pub: Pub, options: dict[str, Any]) -> PubResult:
        methods, own_bits = set(), runnable.circuit.num_clbits

        def measure(basis: str, sets: list[int], shots: int, group: int) -> list[Sample]:
            # Each group draws its own shots: the same seed would correlate them.
            seeded = {**options, "seed_simulator": (options["seed_simulator"] + 7919 * group) % 2**32}
            found, method = self._count(runnable.measured_in(basis), subset(pub, sets), shots, seeded)
            methods.add(method)
            # The fresh bits come after the circuit's own.
            return [Sample.of([key >> own_bits for key in counts], list(counts.values())) for counts in found]

        out, shots = by_sampling(pub, self._config.max_shots, measure)
        return out.result(shots, next(iter(methods), ""))


def _scheduled(placer: Placer, mapped: Unscheduled, analysis: Analysis) -> Prepared:
    placed = placer.scheduled(mapped)
    return Prepared(placed.circuit, analysis, placed)


def gpu_options(device: str, available: Sequence[str], custatevec: bool) -> dict[str, Any]:
    """Return Aer's options for a device, none for the CPU.

    Args:
        device: CPU or GPU.
        available: devices that Aer can use here.
        custatevec: whether NVIDIA's library of that name is installed.

    Raises:
        LookupError: it is GPU and there is none that Aer can use.
    """
    if device == "CPU":
        return {}
    if device != "GPU":
        raise LookupError(f"there is no device {device}: give CPU or GPU")
    if "GPU" not in available:
        raise LookupError(
            f"device is GPU and Aer here has only {', '.join(available)}: use an image with Aer's GPU build "
            "(qiskit-aer-gpu) on a node with an NVIDIA GPU and its driver, or device CPU"
        )
    return {"device": "GPU", "cuStateVec_enable": custatevec}


def _installed(library: str) -> bool:
    """Return whether a Python package of this name is installed, for whatever version of CUDA."""
    return any((item.metadata["Name"] or "").startswith(f"{library}-cu") for item in distributions())


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
