"""The device: tapes in, one task out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pennylane as qml
from numpy.typing import NDArray
from pennylane.devices import Device, ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.devices.preprocess import decompose, validate_device_wires, validate_measurements
from pennylane.devices.qubit import measure
from pennylane.measurements import ExpectationMP, MeasurementProcess, SampleMeasurement
from pennylane.tape import QuantumScript
from pennylane.transforms import broadcast_expand, defer_measurements
from pennylane.transforms.core import CompilePipeline
from qiskit import QuantumCircuit

from qonverge.client.pennylane.convert import Read, Shape, as_parameters, is_native, read
from qonverge.client.pennylane.transforms import SHADOWS, Selection, postselect_last, split_sampled
from qonverge.client.qiskit.task_builder import TaskBuilder
from qonverge.client.seeds import generator_of
from qonverge.client.transport.circuits import CircuitCache
from qonverge.client.transport.connect import Runner, connect
from qonverge.wire.messages import Observable, PubResult

# To fill the shots that a postselection asks for: so many in one run, and in all before it is abandoned.
_MOST_AT_ONCE = 200_000
_MOST_DRAWN = 5_000_000


@dataclass
class _Group:
    """Tapes that run as parameter sets of one circuit."""

    shots: int | None
    observables: tuple[Observable, ...]
    tapes: list[int] = field(default_factory=list)
    angles: list[tuple[float, ...]] = field(default_factory=list)


@simulator_tracking
@single_tape_support
class RemoteDevice(Device):  # type: ignore[misc]  # pennylane ships no types
    """Runs PennyLane's tapes on a Qonverge backend: all that is executed at once travels as one task."""

    name = "qonverge.remote"

    def __init__(
        self,
        wires: Any = None,
        shots: Any = None,
        *,
        runner: Runner | None = None,
        url: str | None = None,
        token: str | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        """Without ``runner`` and ``url`` the environment says where to run, as for ``connect``."""
        super().__init__(wires=wires, shots=shots)
        self._runner = runner or connect(url, token)
        self._seed = generator_of(seed)
        self._shadows = np.random.default_rng(seed)
        self._circuits = CircuitCache()
        self._built: dict[tuple[Shape, bool], QuantumCircuit] = {}

    def preprocess_transforms(self, execution_config: ExecutionConfig | None = None) -> CompilePipeline:
        """Return what makes tapes such that they can be executed."""
        del execution_config
        program = CompilePipeline()
        program.add_transform(validate_device_wires, wires=self.wires, name=self.name)
        # Before measurements are deferred, which refuses samples of a broadcast that postselects.
        program.add_transform(broadcast_expand)
        program.add_transform(defer_measurements, allow_postselect=True)
        program.add_transform(postselect_last)
        program.add_transform(split_sampled)
        program.add_transform(decompose, stopping_condition=is_native, skip_initial_state_prep=False, name=self.name)
        program.add_transform(validate_measurements, sample_measurements=_is_sampled, name=self.name)
        return program

    def execute(self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None) -> Any:
        """Run tapes and return their results in the form of their measurements.

        Raises:
            ClientError: the backend refuses or fails, and says why.
        """
        mode = execution_config.mcm_config.postselect_mode if execution_config is not None else None
        groups: dict[Any, _Group] = {}
        reads = []
        for index, tape in enumerate(circuits):
            observables = _observables(tape)
            sampled = bool(tape.shots) and not _shadowed(tape)
            taken = read(tape, tape.diagonalizing_gates if sampled else (), _wires(tape))
            reads.append(taken)
            shots = tape.shots.total_shots if sampled else None
            # Without angles there is one parameter set, whose shots no two tapes may share.
            own = index if sampled and not taken.angles else None
            group = groups.setdefault((taken.shape, shots, observables, own), _Group(shots, observables))
            group.tapes.append(index)
            group.angles.append(taken.angles)
        batch = TaskBuilder(self._circuits)
        for (shape, *_), group in groups.items():
            self._add(batch, shape, group)
        answers = self._runner.run(batch.task(self._seed, memory=True)).results if groups else ()
        results: list[Any] = [None] * len(circuits)
        for group, answer in zip(groups.values(), answers, strict=True):
            for place, index in enumerate(group.tapes):
                results[index] = self._result(circuits[index], reads[index], answer, place, fill=mode == "fill-shots")
        return tuple(results)

    def _add(self, batch: TaskBuilder, shape: Shape, group: _Group) -> None:
        key = shape, group.shots is not None
        circuit = self._built.get(key)
        if circuit is None:
            circuit = shape.circuit()
            if group.shots:
                circuit.measure_all()
            if len(self._built) >= 256:
                self._built.clear()
            self._built[key] = circuit
        parameters = as_parameters(group.angles)
        if group.shots:
            batch.add(circuit, parameters=parameters, shots=group.shots)
        elif group.observables:
            batch.add(circuit, parameters=parameters, observables=group.observables)
        else:
            # Nothing but states depends on what they are of.
            batch.add(circuit, parameters=parameters, statevector=True)

    def _result(self, tape: QuantumScript, taken: Read, answer: PubResult, place: int, *, fill: bool) -> Any:
        if answer.expectation_values is not None:
            values = [np.float64(value) for value in answer.expectation_values[place if taken.angles else 0]]
            return _unpacked(values)
        wires = _wires(tape)
        selection = Selection.of(tape, wires)
        if answer.statevectors is not None:
            state = _big_endian(answer.statevectors[place if taken.angles else 0]) * np.exp(1j * taken.phase)
            whole, probability = state.reshape((2,) * len(wires)), 1.0
            if selection is not None:
                (probability, whole), wires = selection.of_state(whole), selection.wires
            numbered = [mp.map_wires({wire: index for index, wire in enumerate(wires)}) for mp in tape.measurements]
            if _shadowed(tape):
                return self._shadow(tape, numbered, whole, 1.0 if fill else probability)
            return _unpacked([measure(mp, whole) for mp in numbered])
        bits = _bits(answer, place if taken.angles else 0, len(wires))
        if selection is None:
            return _by_shots(tape, [bits[low:high] for low, high in tape.shots.bins()], wires)
        counts, bits = selection.of_bits(bits)
        if fill:
            bits = self._fill(tape, taken, selection, bits[counts], len(counts))
            counts = np.ones(len(bits), dtype=np.bool_)
        parts = [bits[low:high][counts[low:high]] for low, high in tape.shots.bins()]
        return _by_shots(tape, parts, selection.wires)

    def _fill(
        self, tape: QuantumScript, taken: Read, selection: Selection, found: NDArray[np.int64], drawn: int
    ) -> NDArray[np.int64]:
        """Return as many shots that count as the tape asks for, drawing more until there are.

        Raises:
            RuntimeError: so few count that they are not to be had.
        """
        wanted = tape.shots.total_shots
        while len(found) < wanted:
            if drawn >= max(_MOST_DRAWN, 100 * wanted):
                raise RuntimeError(
                    f"of {drawn} shots {len(found)} have the postselected outcomes and {wanted} are wanted: use "
                    "postselect_mode='hw-like', which returns those that there are, or ask for fewer shots"
                )
            more = int(min(_MOST_AT_ONCE, 1.2 * (wanted - len(found)) * drawn / max(1, len(found)) + 100))
            batch = TaskBuilder(self._circuits)
            self._add(batch, taken.shape, _Group(more, (), angles=[taken.angles]))
            (answer,) = self._runner.run(batch.task(self._seed, memory=True)).results
            counts, bits = selection.of_bits(_bits(answer, 0, len(_wires(tape))))
            found, drawn = np.concatenate([found, bits[counts]]), drawn + more
        return found[:wanted]

    def _shadow(
        self, tape: QuantumScript, mps: Sequence[MeasurementProcess], state: NDArray[np.complex128], kept: float
    ) -> Any:
        """Return classical shadows, whose random bases are drawn here, shot by shot, from the state."""
        wires = qml.wires.Wires(range(state.ndim))
        parts = []
        for shots in tape.shots:
            own = shots if kept == 1.0 else int(self._shadows.binomial(shots, min(1.0, kept)))
            parts.append(_unpacked([mp.process_state_with_shots(state, wires, own, rng=self._shadows) for mp in mps]))
        return tuple(parts) if tape.shots.has_partitioned_shots else parts[0]


def _bits(answer: PubResult, row: int, count: int) -> NDArray[np.int64]:
    """Return the bits of each shot, shape (shots, wires)."""
    _, raw = answer.registers["meas"]
    return np.unpackbits(raw[row], axis=-1)[:, ::-1][:, :count].astype(np.int64)


def _by_shots(tape: QuantumScript, parts: Sequence[NDArray[np.int64]], wires: qml.wires.Wires) -> Any:
    """Return the statistics of each part of the shots."""
    # Where postselection left no shot nothing is known, as in default.qubit.
    found = [
        _unpacked([mp.process_samples(bits, wires) if len(bits) else np.float64("nan") for mp in tape.measurements])
        for bits in parts
    ]
    return tuple(found) if tape.shots.has_partitioned_shots else found[0]


def _is_sampled(mp: MeasurementProcess) -> bool:
    return isinstance(mp, (SampleMeasurement, *SHADOWS))


def _wires(tape: QuantumScript) -> qml.wires.Wires:
    return tape.wires if len(tape.wires) else qml.wires.Wires([0])


def _shadowed(tape: QuantumScript) -> bool:
    return any(isinstance(mp, SHADOWS) for mp in tape.measurements)


def _observables(tape: QuantumScript) -> tuple[Observable, ...]:
    """Return the tape's observables as sums of Paulis, where that is all it asks for, exactly; else nothing."""
    wires, found = _wires(tape), []
    plain = all(isinstance(mp, ExpectationMP) and mp.obs is not None for mp in tape.measurements)
    if tape.shots or not plain or Selection.of(tape, wires) is not None:
        return ()
    for mp in tape.measurements:
        sentence = mp.obs.pauli_rep
        if sentence is None or any(abs(np.imag(weight)) > 0 for weight in sentence.values()):
            return ()
        terms = []
        for word, weight in sentence.items():
            letters = ["I"] * len(wires)
            for wire, letter in word.items():
                letters[len(wires) - 1 - wires.index(wire)] = letter
            terms.append(("".join(letters), float(np.real(qml.math.toarray(weight)))))
        found.append(tuple(terms) or (("I" * len(wires), 0.0),))
    return tuple(found)


def _big_endian(state: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return the state with the first wire as the most significant bit."""
    qubits = int(state.size).bit_length() - 1
    return np.ascontiguousarray(state.reshape((2,) * qubits).transpose(range(qubits)[::-1])).ravel()


def _unpacked(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)
