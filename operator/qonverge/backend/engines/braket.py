"""BraketLocal: the simulators of Amazon Braket's SDK, ``braket_sv`` and ``braket_dm``, in this process."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import get_standard_gate_name_mapping

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.bits import by_register, shots_of, spelled
from qonverge.backend.engines.checks import accepted, check, is_exact, is_mixed
from qonverge.backend.engines.choice import Choice, fit
from qonverge.backend.engines.descriptors import BRAKET_LOCAL, result_method
from qonverge.backend.engines.estimation import Output, Sample, by_sampling
from qonverge.backend.engines.layout import Placed, Placer, Unscheduled
from qonverge.backend.task_parts import run_each
from qonverge.circuits.analysis.analysis import Analysis, analyse
from qonverge.circuits.analysis.delays import has_free_delays
from qonverge.circuits.analysis.measurement_plan import DEFAULT_SHOTS
from qonverge.devices import Layout
from qonverge.wire.errors import CircuitTooLarge, InvalidCircuit, InvalidTask
from qonverge.wire.messages import Observable, Pub, PubResult

if TYPE_CHECKING:
    from qonverge.backend.engines.braket_states import States

_NO_GATES = frozenset(("measure", "reset", "delay"))
# Below this width starting threads costs more than they gain.
_WIDE_QUBITS = 18


@dataclass(frozen=True, slots=True)
class Prepared:
    """A circuit of library gates with its properties."""

    circuit: QuantumCircuit
    """What runs; on a noisy device with its errors."""
    analysis: Analysis
    """Of the program's circuit."""
    placed: Placed | None = None
    """Where it is on a noisy device."""
    unscheduled: Unscheduled | None = None
    """On a noisy device, where the times of delays depend on parameters."""


class BraketLocal:
    """Runs pubs on Braket's state vector and density matrix simulations.

    They are driven by operations rather than by OpenQASM: Braket's interpreter takes milliseconds for a gate, and its
    simulators draw from generators without a seed.
    """

    def __init__(self, config: EngineConfig) -> None:
        """Load Braket's simulator, which takes a second or two."""
        _keep_compiled()
        from qonverge.backend.engines.braket_states import States

        self._states = States
        self._config = config
        self._limit = BRAKET_LOCAL.state_bytes(config.circuit_bytes)
        self.version = f"BraketLocal {version('amazon-braket-default-simulator')}"
        self.methods = BRAKET_LOCAL.methods
        self.noise = config.noise
        self._placer = None if config.noise is None else Placer(config.noise, keep_layouts=config.keep_layouts)
        library = tuple(sorted(get_standard_gate_name_mapping().keys() - _NO_GATES))
        self.basis_gates = library if config.noise is None else config.noise.basis_gates

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> Prepared:
        """Take gates by their names; those that a program defines itself stand for their definitions."""
        circuit = accepted(circuit, self.noise)
        analysis = analyse(circuit)
        if self._placer is None:
            return Prepared(circuit, analysis)
        if analysis.control_flow:
            raise InvalidCircuit("BraketLocal imitates devices without control flow: use a backend with the engine Aer")
        mapped = self._placer.place(circuit, layout)
        if has_free_delays(mapped.circuit):
            return Prepared(mapped.circuit, analysis, unscheduled=mapped)
        return _scheduled(self._placer, mapped, analysis)

    def run(self, prepared: Prepared, pub: Pub, *, seed: int, memory: bool, threads: int = 1) -> PubResult:
        """Run one pub; see ``Provider.run``."""
        analysis = prepared.analysis
        check(pub, analysis, self._config, memory=memory)
        if prepared.unscheduled is not None and self._placer is not None:
            placer, mapped = self._placer, prepared.unscheduled

            def run(one: Pub, own: int) -> PubResult:
                bound = _scheduled(placer, mapped.bound(one.parameters), analysis)
                return self.run(bound, one, seed=own, memory=memory, threads=threads)

            return run_each(pub, seed, run)
        choice = self._choose(prepared, pub)
        power = 2 if choice.method == "DensityMatrix" else 1
        # A device's qubits that are not used are not simulated.
        width = power * prepared.circuit.num_qubits
        states = self._states(
            mixed=power == 2,
            limit=self._limit - BRAKET_LOCAL.copies(choice.method) * (16 << width),
            threads=1 if width < _WIDE_QUBITS else threads,
        )
        try:
            result = self._answer(states, prepared, pub, seed, memory)
        except MemoryError:
            raise CircuitTooLarge("the circuit needs more memory than one has here: use fewer qubits") from None
        layout = () if prepared.placed is None else prepared.placed.layout
        return replace(result, method=result_method(choice.method), reason=choice.reason, layout=layout)

    def _choose(self, prepared: Prepared, pub: Pub) -> Choice:
        qubits = prepared.circuit.num_qubits
        if prepared.placed is not None:
            choice = Choice("DensityMatrix", f"errors on {qubits} qubits")
        elif is_mixed(pub, prepared.analysis):
            choice = Choice("DensityMatrix", "a reset leaves a mixed state")
        elif self._config.method != "Automatic":
            choice = Choice(self._config.method, "the backend is set to it")
        else:
            choice = Choice("Statevector", f"{qubits} qubits without noise")
        if pub.statevector and choice.method == "DensityMatrix":
            raise InvalidTask(
                "a density matrix has no amplitudes: ask a backend with the method Statevector for states"
            )
        kind, power = ("density matrix", 2) if choice.method == "DensityMatrix" else ("statevector", 1)
        fit(
            kind,
            qubits,
            power,
            self._limit,
            copies=BRAKET_LOCAL.copies(choice.method),
            advice="use fewer qubits, more memory or the engine Aer",
        )
        return choice

    def _answer(self, states: States, prepared: Prepared, pub: Pub, seed: int, memory: bool) -> PubResult:
        if pub.statevector:
            found = [states.state(bound) for bound in _bound(prepared.circuit, pub)]
            return PubResult(statevectors=np.stack(found))
        if is_exact(pub):
            return _estimate_exactly(states, prepared, pub)
        if pub.observables:
            return self._estimate_by_sampling(states, prepared, pub, seed)
        return _sample(states, prepared, pub, seed, memory)

    def _estimate_by_sampling(self, states: States, prepared: Prepared, pub: Pub, seed: int) -> PubResult:
        def measure(basis: str, sets: list[int], shots: int, group: int) -> list[Sample]:
            # Each group draws its own shots: the same seed would correlate them.
            seeds = [(seed + index + 7919 * group) % 2**32 for index in sets]
            if prepared.placed is None:
                bound = list(_bound(prepared.circuit, pub))
                return [states.sample(bound[k], basis, shots, own) for k, own in zip(sets, seeds, strict=True)]
            placed, own_bits = prepared.placed.measured_in(basis), prepared.circuit.num_clbits
            bound = list(_bound(placed.exact, pub))
            found = [states.counts(bound[k], shots, own, placed.confusions) for k, own in zip(sets, seeds, strict=True)]
            # The fresh bits come after the circuit's own.
            return [Sample.of([key >> own_bits for key in own], list(own.values())) for own in found]

        out, shots = by_sampling(pub, self._config.max_shots, measure)
        return out.result(shots, "")


def _scheduled(placer: Placer, mapped: Unscheduled, analysis: Analysis) -> Prepared:
    placed = placer.scheduled(mapped)
    return Prepared(placed.exact, analysis, placed)


def _sample(states: States, prepared: Prepared, pub: Pub, seed: int, memory: bool) -> PubResult:
    circuit, shots = prepared.circuit, pub.shots or DEFAULT_SHOTS
    confusions = () if prepared.placed is None else prepared.placed.confusions
    bound = enumerate(_bound(circuit, pub))
    counts = [states.counts(own, shots, seed + index, confusions) for index, own in bound]
    if memory:
        width = -(-circuit.num_clbits // 8)
        raw = np.stack([shots_of(own, width, seed + index) for index, own in enumerate(counts)])
        return PubResult(registers=by_register(circuit, raw), shots=shots)
    return PubResult(counts=tuple(spelled(own, circuit) for own in counts), shots=shots)


def _estimate_exactly(states: States, prepared: Prepared, pub: Pub) -> PubResult:
    out, bound = Output(pub), list(_bound(prepared.circuit, pub))
    for observables, sets in out.blocks():
        wanted = [_terms(prepared, pub.observables[k]) for k in observables]
        labels = {label for terms in wanted for label, _ in terms}
        found = [states.values(bound[index], labels) for index in sets]
        for k, terms in zip(observables, wanted, strict=True):
            values = [sum(weight * own[label] for label, weight in terms) for own in found]
            out.put(k, sets, np.array(values), np.zeros(len(sets)))
    return out.result(None, "")


def _terms(prepared: Prepared, observable: Observable) -> Sequence[tuple[str, float]]:
    return observable if prepared.placed is None else prepared.placed.here(observable)


def _bound(circuit: QuantumCircuit, pub: Pub) -> Iterator[QuantumCircuit]:
    """Yield the circuit with each set of values."""
    # A parameter that has no effect is gone from a circuit that was transpiled.
    there = {parameter.name for parameter in circuit.parameters}
    for index in range(pub.sets):
        values = {name: float(own[index]) for name, own in pub.parameters.items() if name in there}
        yield circuit.assign_parameters(values) if values else circuit


def _keep_compiled() -> None:
    """Give Numba, which compiles Braket's loops, a folder where the package's own cannot be written.

    Without any it refuses to be imported. What it finds there it runs, so nobody else may be able to write to it.
    """
    if os.environ.get("NUMBA_CACHE_DIR") or os.access(Path(np.__file__).parent, os.W_OK):
        return
    folder = Path(tempfile.gettempdir(), f"qonverge-numba-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        folder = Path(tempfile.mkdtemp(prefix="qonverge-numba-"))
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
