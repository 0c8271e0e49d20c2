"""Stim: Clifford circuits of thousands of qubits (Gidney, Quantum 5, 497, 2021)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import stim
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from qonverge.amounts import format_bytes
from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.bits import by_register, counts_of, spelled
from qonverge.backend.engines.channels import eigenvalue
from qonverge.backend.engines.checks import accepted, check, is_exact
from qonverge.backend.engines.choice import NARROW_CLIFFORD
from qonverge.backend.engines.descriptors import STIM
from qonverge.backend.engines.estimation import Output, Sample, by_sampling
from qonverge.backend.engines.layout import Placed, Placer, Unscheduled
from qonverge.backend.engines.protocol import Question
from qonverge.backend.engines.stim_circuit import Program, Translator
from qonverge.backend.task_parts import run_each
from qonverge.circuits.analysis.analysis import Analysis, analyse
from qonverge.circuits.analysis.delays import has_free_delays
from qonverge.circuits.analysis.measurement_plan import DEFAULT_SHOTS
from qonverge.devices import Layout
from qonverge.wire.errors import CircuitTooLarge, InvalidCircuit, InvalidTask
from qonverge.wire.messages import Observable, Pub, PubResult

METHOD = "stabilizer"
_BASIS = (
    *("cx", "cy", "cz", "dcx", "ecr", "h", "id", "iswap", "pauli", "rz", "s", "sdg", "swap", "sx", "sxdg"),
    *("x", "y", "z"),
)
_CHANNELS = frozenset(("PAULI_CHANNEL_1", "PAULI_CHANNEL_2"))
# Bits of shots that are held at a time besides those that are asked for.
_CHUNK_BYTES = 16 * 1024**2
# Where Aer draws all counts of a Clifford circuit at once from the probabilities of a narrow state, and Stim samples
# each shot (measured, 2 to 11 qubits: 10,000 shots 2 to 8 ms and 0.2 to 0.8 ms; 100,000 shots 1 to 9 ms and 2 to 7 ms;
# 1,000,000 shots 1 to 8 ms and 120 to 180 ms). Everywhere else Stim is the faster one: 7 to 1,500 times for bits of 12
# to 200 qubits, 200 to 6,000 times with measurements before the end, 4 to 140 times for values, but for exact ones of
# 60 qubits, where both take about as long (1.4 and 0.83 times). With errors Aer holds a density matrix (100,000 shots:
# 4 qubits 18 and 107 ms, 8 qubits 124 and 113 ms, 10 qubits 2.6 and 0.08 s).
_MANY_SHOTS = 50_000
_NARROW_NOISY = 7


@dataclass(frozen=True, slots=True)
class Prepared:
    """A circuit with its properties."""

    circuit: QuantumCircuit
    """What runs; on a noisy device with its errors."""
    analysis: Analysis
    """Of the program's circuit."""
    program: Program | None
    """None where it depends on parameters."""
    placed: Placed | None = None
    """Where it is on a noisy device."""
    unscheduled: Unscheduled | None = None
    """On a noisy device, where the times of delays depend on parameters."""


class Stim:
    """Runs pubs on Stim's samplers, on one thread each."""

    def __init__(self, config: EngineConfig) -> None:
        """Set up what translates circuits."""
        self._config = config
        self._translator = Translator()
        self.version = f"Stim {stim.__version__}"
        self.methods = STIM.methods
        self.noise = config.noise
        self._placer = (
            None if config.noise is None else Placer(config.noise, clifford=True, keep_layouts=config.keep_layouts)
        )
        self.basis_gates = _BASIS if config.noise is None else config.noise.basis_gates

    @staticmethod
    def preference(question: Question) -> int | None:
        """See ``RankedProvider.preference``."""
        analysis = question.analysis
        if not analysis.clifford or question.statevector or 0 < question.relaxing_bytes <= question.limit:
            # It keeps no amplitudes, and only approximates relaxation by Pauli errors.
            return None
        narrow = analysis.num_qubits <= (_NARROW_NOISY if question.noisy else NARROW_CLIFFORD)
        drawn = narrow and analysis.measured_bits > 0 and not analysis.mid_circuit and not analysis.control_flow
        return 0 if drawn and (question.shots or 0) > _MANY_SHOTS else 2

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> Prepared:
        """Translate the circuit; one with free parameters is translated again for each set of their values."""
        circuit = accepted(circuit, self.noise)
        analysis = analyse(circuit)
        if self._placer is None:
            return Prepared(circuit, analysis, None if analysis.parameters else self._translator.program(circuit))
        if analysis.control_flow:
            raise InvalidCircuit("Stim imitates devices without control flow: use a backend with the engine Aer")
        mapped = self._placer.place(circuit, layout)
        if has_free_delays(mapped.circuit):
            return Prepared(mapped.circuit, analysis, None, unscheduled=mapped)
        return self._scheduled(self._placer, mapped, analysis)

    def _scheduled(self, placer: Placer, mapped: Unscheduled, analysis: Analysis) -> Prepared:
        placed = placer.scheduled(mapped)
        program = None if analysis.parameters else self._translator.program(placed.exact, placed.confusions)
        return Prepared(placed.exact, analysis, program, placed)

    def run(self, prepared: Prepared, pub: Pub, *, seed: int, memory: bool, threads: int = 1) -> PubResult:
        """Run one pub; see ``Provider.run``."""
        check(pub, prepared.analysis, self._config, memory=memory)
        self._check_memory(prepared.analysis)
        if prepared.unscheduled is not None and self._placer is not None:
            placer, mapped = self._placer, prepared.unscheduled

            def run(one: Pub, own: int) -> PubResult:
                bound = self._scheduled(placer, mapped.bound(one.parameters), prepared.analysis)
                return self.run(bound, one, seed=own, memory=memory, threads=threads)

            return run_each(pub, seed, run)
        if pub.statevector:
            raise InvalidTask("Stim keeps no amplitudes: ask a backend with the engine Aer or Automatic for states")
        if is_exact(pub):
            result = self._estimate_exactly(prepared, pub)
        elif pub.observables:
            result = self._estimate_by_sampling(prepared, pub, seed)
        else:
            result = self._sample(prepared, pub, seed, memory)
        reason = f"all gates are Clifford, on {prepared.analysis.num_qubits} qubits"
        twirled = self.noise is not None and not self.noise.pauli
        return replace(
            result,
            reason=reason + (", relaxation is twirled to Pauli errors" if twirled else ""),
            layout=() if prepared.placed is None else prepared.placed.layout,
        )

    def _check_memory(self, analysis: Analysis) -> None:
        needed, limit = tableau_bytes(analysis.num_qubits), self._config.circuit_bytes
        if needed > limit:
            raise CircuitTooLarge(
                f"a stabilizer tableau of {analysis.num_qubits} qubits needs {format_bytes(needed)} and one circuit "
                f"has {format_bytes(limit)} here: use fewer qubits or more memory",
                has_bytes=limit,
            )

    def _check_shots(self, analysis: Analysis, shots: int) -> None:
        """Refuse values from more shots than can be held bit by bit, with two numbers for each."""
        measured = dict(analysis.operations).get("measure", 0)
        needed, limit = shots * (-(-(analysis.num_qubits + measured) // 8) + 16), self._config.circuit_bytes
        if needed > limit:
            raise CircuitTooLarge(
                f"{shots} shots of {analysis.num_qubits} qubits need {format_bytes(needed)} and one circuit has "
                f"{format_bytes(limit)} here: ask for fewer shots, for less precision or for exact values",
                has_bytes=limit,
            )

    def _program(self, prepared: Prepared, pub: Pub, index: int) -> Program:
        """Return what runs one parameter set."""
        if prepared.program is not None:
            return prepared.program
        confusions = () if prepared.placed is None else prepared.placed.confusions
        return self._translator.program(_bound(prepared.circuit, pub, index), confusions)

    def _sample(self, prepared: Prepared, pub: Pub, seed: int, memory: bool) -> PubResult:
        circuit, shots = prepared.circuit, pub.shots or DEFAULT_SHOTS
        programs = ((seed + index, self._program(prepared, pub, index)) for index in range(pub.sets))
        if memory:
            raw = np.empty((pub.sets, shots, -(-circuit.num_clbits // 8)), dtype=np.uint8)
            for index, (own, program) in enumerate(programs):
                done = 0
                for part in _chunks(program, shots, own):
                    raw[index, done : done + len(part)] = _outcomes(part, program.records)
                    done += len(part)
            return PubResult(registers=by_register(circuit, raw), shots=shots, method=METHOD)
        found = []
        for own, program in programs:
            counts: Counter[int] = Counter()
            for part in _chunks(program, shots, own):
                counts.update(counts_of(_outcomes(part, program.records)))
            found.append(spelled(counts, circuit))
        return PubResult(counts=tuple(found), shots=shots, method=METHOD)

    def _estimate_exactly(self, prepared: Prepared, pub: Pub) -> PubResult:
        out = Output(pub)
        for observables, sets in out.blocks():
            values = np.zeros((len(observables), len(sets)))
            for column, index in enumerate(sets):
                parts = _parts(self._program(prepared, pub, index).circuit)
                known: dict[str, float] = {}
                for row, k in enumerate(observables):
                    for label, weight in _terms(prepared, pub.observables[k]):
                        if label not in known:
                            known[label] = _expectation(parts, label)
                        values[row, column] += weight * known[label]
            for row, k in enumerate(observables):
                out.put(k, sets, values[row], np.zeros(len(sets)))
        return out.result(None, METHOD)

    def _estimate_by_sampling(self, prepared: Prepared, pub: Pub, seed: int) -> PubResult:
        def measure(basis: str, sets: list[int], shots: int, group: int) -> list[Sample]:
            self._check_shots(prepared.analysis, shots)
            samples = []
            for index in sets:
                # Each group draws its own shots: the same seed would correlate them.
                own = (seed + index + 7919 * group) % 2**32
                program, columns = self._measured(prepared, pub, index, basis)
                samples.append(_signs(program, columns, shots, own))
            return samples

        out, shots = by_sampling(pub, self._config.max_shots, measure)
        return out.result(shots, METHOD)

    def _measured(self, prepared: Prepared, pub: Pub, index: int, basis: str) -> tuple[Program, dict[int, int]]:
        """Return what measures one parameter set in a basis, and the measurement of each qubit in it."""
        wanted = [place for place, letter in enumerate(reversed(basis)) if letter != "I"]
        if prepared.placed is None:
            program = self._program(prepared, pub, index)
            first, circuit = program.circuit.num_measurements, program.circuit.copy()
            for place in wanted:
                circuit.append(f"M{basis[-1 - place]}", [place])
            return replace(program, circuit=circuit), {place: first + rank for rank, place in enumerate(wanted)}
        placed = prepared.placed.measured_in(basis)
        program = self._translator.program(_bound(placed.exact, pub, index), placed.confusions)
        # The fresh bits come after the circuit's own.
        fresh = program.records[prepared.circuit.num_clbits :]
        return program, {place: record for place in wanted if (record := fresh[place]) is not None}


def _bound(circuit: QuantumCircuit, pub: Pub, index: int) -> QuantumCircuit:
    # A parameter that has no effect is gone from a circuit that was transpiled.
    there = {parameter.name for parameter in circuit.parameters}
    values = {name: float(own[index]) for name, own in pub.parameters.items() if name in there}
    return circuit.assign_parameters(values) if values else circuit


def _terms(prepared: Prepared, observable: Observable) -> Iterable[tuple[str, float]]:
    return observable if prepared.placed is None else prepared.placed.here(observable)


def tableau_bytes(num_qubits: int) -> int:
    """Return the memory of a stabilizer tableau: for each qubit two Pauli operators of two bits a qubit."""
    return num_qubits * num_qubits // 2


def _chunks(program: Program, shots: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the measurements of so many runs, (runs, bytes), little-endian, some at a time."""
    circuit, misread = program.circuit, program.misread
    if not circuit.num_measurements:
        yield np.zeros((shots, 0), dtype=np.uint8)
        return
    sampler, generator = circuit.compile_sampler(seed=seed), np.random.default_rng(seed)
    # Each bit that may be misread takes a number, in place of an eighth of a byte.
    at_once = max(256, (8 if misread is None else 0.25) * _CHUNK_BYTES // circuit.num_measurements)
    for start in range(0, shots, int(at_once)):
        part = sampler.sample_bit_packed(min(int(at_once), shots - start))
        if misread is not None:
            bits = np.unpackbits(part, axis=1, count=circuit.num_measurements, bitorder="little")
            wrong = generator.random(bits.shape, dtype=np.float32) < np.where(bits, misread[:, 1], misread[:, 0])
            part = np.packbits(bits ^ wrong, axis=1, bitorder="little")
        yield part


def _outcomes(part: NDArray[np.uint8], records: Sequence[int | None]) -> NDArray[np.uint8]:
    """Return the classical bits of each run, (runs, bytes), big-endian."""
    if list(records) == list(range(len(records))):
        return part[:, ::-1]
    written = [bit for bit, record in enumerate(records) if record is not None]
    bits = np.zeros((len(part), len(records)), dtype=np.uint8)
    bits[:, written] = _columns(part, [record for record in records if record is not None])
    return np.packbits(bits, axis=1, bitorder="little")[:, ::-1]


def _columns(part: NDArray[np.uint8], records: Sequence[int]) -> NDArray[np.uint8]:
    """Return single measurements of each run, (runs, records)."""
    places = np.asarray(records, dtype=np.intp)
    return (part[:, places // 8] >> (places % 8).astype(np.uint8)) & np.uint8(1)


def _signs(program: Program, columns: Mapping[int, int], shots: int, seed: int) -> Sample:
    """Return the signs of Pauli operators from so many runs; ``columns`` has the measurement of each qubit."""
    parts = list(_chunks(program, shots, seed))

    def signs(label: str) -> NDArray[np.float64]:
        records = [columns[place] for place, letter in enumerate(reversed(label)) if letter != "I"]
        parity = np.concatenate([np.bitwise_xor.reduce(_columns(part, records), axis=1) for part in parts])
        return 1.0 - 2.0 * parity

    return Sample(signs, np.ones(shots))


def _parts(circuit: stim.Circuit) -> list[stim.Circuit | stim.CircuitInstruction]:
    """Return the gates between resets and errors, and these, in order."""
    parts: list[stim.Circuit | stim.CircuitInstruction] = []
    for instruction in circuit:
        if instruction.name == "R" or instruction.name in _CHANNELS:
            parts.append(instruction)
        else:
            if not parts or not isinstance(parts[-1], stim.Circuit):
                parts.append(stim.Circuit())
            parts[-1].append(instruction)
    return parts


def _expectation(parts: Sequence[stim.Circuit | stim.CircuitInstruction], label: str) -> float:
    """Return the expectation value of a Pauli operator, followed back to the state |0...0> through the circuit."""
    pauli, left = stim.PauliString(label[::-1]), 1.0
    for part in reversed(parts):
        if isinstance(part, stim.Circuit):
            pauli = pauli.before(part)
            continue
        for group in part.target_groups():
            qubits = [target.value for target in group]
            letters = tuple(pauli[qubit] for qubit in qubits)
            if part.name in _CHANNELS:
                left *= eigenvalue(tuple(part.gate_args_copy()), letters) if any(letters) else 1.0
            elif letters[0] in (1, 2):
                # A reset leaves |0>, whatever was there before.
                return 0.0
            else:
                pauli[qubits[0]] = 0
    return 0.0 if pauli.pauli_indices("XY") else left * float(pauli.sign.real)
