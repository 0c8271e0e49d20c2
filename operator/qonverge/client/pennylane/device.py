"""The device: tapes in, one task out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pennylane as qml
from numpy.typing import NDArray
from pennylane.devices import Device, ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.devices.preprocess import decompose, validate_device_wires, validate_measurements
from pennylane.devices.qubit import measure
from pennylane.measurements import (
    ClassicalShadowMP,
    ExpectationMP,
    MeasurementProcess,
    SampleMeasurement,
    ShadowExpvalMP,
)
from pennylane.tape import QuantumScript
from pennylane.transforms import broadcast_expand, defer_measurements, split_non_commuting
from pennylane.transforms.core import CompilePipeline, transform
from qiskit import QuantumCircuit

from qonverge.client.circuits import CircuitCache
from qonverge.client.connect import Runner, connect
from qonverge.client.pennylane.convert import Read, Shape, as_parameters, is_native, read
from qonverge.client.seeds import generator_of
from qonverge.client.task_builder import TaskBuilder
from qonverge.wire.messages import Observable, PubResult

_SHADOWS = (ClassicalShadowMP, ShadowExpvalMP)


@transform  # type: ignore[untyped-decorator]
def _split_sampled(tape: QuantumScript) -> tuple[Sequence[QuantumScript], Callable[[Any], Any]]:
    """Split a tape whose observables one run of shots cannot measure; exact values need no such thing."""
    if not tape.shots or any(isinstance(mp, _SHADOWS) for mp in tape.measurements):
        return (tape,), lambda results: results[0]
    split: tuple[Sequence[QuantumScript], Callable[[Any], Any]] = split_non_commuting(tape)
    return split


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
        program.add_transform(defer_measurements, allow_postselect=False)
        program.add_transform(_split_sampled)
        program.add_transform(decompose, stopping_condition=is_native, skip_initial_state_prep=False, name=self.name)
        program.add_transform(validate_measurements, sample_measurements=_is_sampled, name=self.name)
        program.add_transform(broadcast_expand)
        return program

    def execute(self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None) -> Any:
        """Run tapes and return their results in the form of their measurements.

        Raises:
            ClientError: the backend refuses or fails, and says why.
        """
        del execution_config
        groups: dict[Any, _Group] = {}
        reads = []
        for index, tape in enumerate(circuits):
            observables = _observables(tape)
            sampled = bool(tape.shots) and not _shadowed(tape)
            taken = read(tape, tape.diagonalizing_gates if sampled else (), _wires(tape))
            reads.append(taken)
            key = (taken.shape, tape.shots.total_shots if sampled else None, observables)
            group = groups.setdefault(key, _Group(key[1], observables))
            group.tapes.append(index)
            group.angles.append(taken.angles)
        batch = TaskBuilder(self._circuits)
        for (shape, *_), group in groups.items():
            self._add(batch, shape, group)
        answers = self._runner.run(batch.task(self._seed, memory=True)).results if groups else ()
        results: list[Any] = [None] * len(circuits)
        for group, answer in zip(groups.values(), answers, strict=True):
            for place, index in enumerate(group.tapes):
                results[index] = self._result(circuits[index], reads[index], answer, place)
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

    def _result(self, tape: QuantumScript, taken: Read, answer: PubResult, place: int) -> Any:
        if answer.expectation_values is not None:
            values = [np.float64(value) for value in answer.expectation_values[place if taken.angles else 0]]
            return _unpacked(values)
        wires = _wires(tape)
        if answer.statevectors is not None:
            state = answer.statevectors[place if taken.angles else 0]
            state = _big_endian(state) * np.exp(1j * taken.phase)
            if _shadowed(tape):
                return self._shadow(tape, state)
            whole = state.reshape((2,) * len(wires))
            return _unpacked([measure(_numbered(mp, wires), whole) for mp in tape.measurements])
        _, raw = answer.registers["meas"]
        bits = np.unpackbits(raw[place if taken.angles else 0], axis=-1)[:, ::-1][:, : len(wires)].astype(np.int64)
        parts = [
            _unpacked([mp.process_samples(bits[low:high], wires) for mp in tape.measurements])
            for low, high in tape.shots.bins()
        ]
        return tuple(parts) if tape.shots.has_partitioned_shots else parts[0]

    def _shadow(self, tape: QuantumScript, state: NDArray[np.complex128]) -> Any:
        """Return classical shadows, whose random bases are drawn here, shot by shot, from the state."""
        wires = _wires(tape)
        whole = state.reshape((2,) * len(wires))
        numbered = [_numbered(mp, wires) for mp in tape.measurements]
        parts = [
            _unpacked(
                [
                    mp.process_state_with_shots(whole, qml.wires.Wires(range(len(wires))), shots, rng=self._shadows)
                    for mp in numbered
                ]
            )
            for shots in tape.shots
        ]
        return tuple(parts) if tape.shots.has_partitioned_shots else parts[0]


def _is_sampled(mp: MeasurementProcess) -> bool:
    return isinstance(mp, (SampleMeasurement, *_SHADOWS))


def _numbered(mp: MeasurementProcess, wires: qml.wires.Wires) -> MeasurementProcess:
    return mp.map_wires({wire: index for index, wire in enumerate(wires)})


def _wires(tape: QuantumScript) -> qml.wires.Wires:
    return tape.wires if len(tape.wires) else qml.wires.Wires([0])


def _shadowed(tape: QuantumScript) -> bool:
    return any(isinstance(mp, _SHADOWS) for mp in tape.measurements)


def _observables(tape: QuantumScript) -> tuple[Observable, ...]:
    """Return the tape's observables as sums of Paulis, where that is all it asks for, exactly; else nothing."""
    if tape.shots or not all(isinstance(mp, ExpectationMP) and mp.obs is not None for mp in tape.measurements):
        return ()
    wires, found = _wires(tape), []
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
