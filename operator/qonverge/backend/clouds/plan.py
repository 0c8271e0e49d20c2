"""A task as measurements that a cloud makes, one for each of its tasks, and the results that come of their outcomes.

Which measurements a task becomes follows from the task alone, in every process. What an answer belongs to is decided by
going the same way twice: once with a recorder in place of the device, once with what was measured.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister

from qonverge.backend.clouds.answers import State
from qonverge.backend.clouds.measurement import ESTIMATION, OWN, STATE, Measurement, wanted
from qonverge.backend.clouds.translators import Estimates, Outcomes
from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.bits import by_register, shots_of, spelled
from qonverge.backend.engines.checks import check, is_exact
from qonverge.backend.engines.estimation import Measure, Output, Sample, by_sampling
from qonverge.backend.engines.opening import nothing
from qonverge.circuits.analysis.analysis import Analysis, analyse
from qonverge.circuits.analysis.canonical import canonical
from qonverge.circuits.analysis.measurement_plan import DEFAULT_SHOTS, cut
from qonverge.circuits.errors import InvalidProgram
from qonverge.wire.errors import InvalidCircuit, InvalidTask
from qonverge.wire.messages import Pub, PubResult, Task

_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Opened:
    """A circuit that was read and looked at."""

    circuit: QuantumCircuit
    """In plain gates."""
    analysis: Analysis

    @classmethod
    def of(cls, circuit: QuantumCircuit) -> Opened:
        """Return the circuit as devices get it.

        Raises:
            InvalidCircuit: it has no form in plain gates, or nothing to run.
        """
        try:
            # Delays stay: on a device something happens meanwhile.
            plain = canonical(circuit, delays=True)
        except InvalidProgram as error:
            raise InvalidCircuit(str(error)) from None
        if not plain.num_qubits:
            raise InvalidCircuit("the circuit has no qubits, and a device runs none without")
        # What a caller wrote there is nothing to go by.
        plain.metadata = {}
        return cls(plain, analyse(plain))

    def measured_in(self, basis: str) -> Opened:
        """Return it with its qubits measured in a Pauli basis, into fresh bits behind its own.

        Only those that the basis names are: of others nobody asks. Without a basis it is as it was, but for
        measurements whose bit a later one writes again.
        """
        if basis == STATE:
            # That of a circuit that was opened says which parameters nothing uses.
            circuit = self.circuit.copy()
            circuit.global_phase = 0
            return replace(self, circuit=circuit)
        if basis in ("", ESTIMATION):
            return replace(self, circuit=_written_once(self.circuit)) if self._is_plain else self
        name = "measured"
        while any(register.name == name for register in (*self.circuit.cregs, *self.circuit.qregs)):
            name += "_"
        circuit, fresh = self.circuit.copy(), ClassicalRegister(len(basis), name)
        circuit.add_register(fresh)
        circuit.metadata = {OWN: len(circuit.data)}
        for place, letter in enumerate(reversed(basis)):
            if letter == "I":
                continue
            if letter == "Y":
                circuit.sdg(place)
            if letter in "XY":
                circuit.h(place)
            circuit.measure(place, fresh[place])
        return Opened(circuit, analyse(circuit))

    @property
    def _is_plain(self) -> bool:
        return not (self.analysis.mid_circuit or self.analysis.control_flow)

    def refuse(self, lacks: frozenset[str], name: str) -> None:
        """Refuse what a device lacks, of ``providers.descriptor.FEATURES``.

        Raises:
            InvalidCircuit: the circuit has it.
        """
        if self.analysis.control_flow and "ControlFlow" in lacks:
            raise InvalidCircuit(f"{name} runs no conditions, loops or assignments: use a simulator for this circuit")
        if self.analysis.mid_circuit and "MidCircuit" in lacks:
            raise InvalidCircuit(
                f"{name} measures at the end only, and the circuit uses a qubit after it was measured or resets one: "
                "use a simulator for this circuit, or measure each qubit once"
            )


def measurements(
    task: Task,
    circuits: Mapping[str, Opened],
    config: EngineConfig,
    most_shots: int | None,
    *,
    estimates: bool = False,
    exact: bool = False,
    states: bool = False,
) -> list[Measurement]:
    """Return what a task's measurements are, in the order in which ``assembled`` takes their outcomes.

    Args:
        task: to run; its own QPY is not looked at.
        circuits: those of its pubs, by digest.
        config: with the backend's limits.
        most_shots: of one measurement; None: any number.
        estimates: whether the cloud computes expectation values itself.
        exact: whether the device gives exact values.
        states: whether it gives final states.

    Raises:
        CircuitTooLarge, InvalidTask: it does not fit, or asks for what no device gives.
    """
    found: list[Measurement] = []
    for index, pub in enumerate(task.pubs):
        opened = circuits[pub.circuit]
        if pub.statevector and not states:
            raise InvalidTask("the device has no amplitudes to give: ask for counts or expectation values")
        if is_exact(pub) and not pub.empty and not exact:
            raise InvalidTask("a device has no exact values: give shots or precision")
        if not pub.empty:
            check(pub, opened.analysis, config, memory=task.memory)
            parts: Iterable[Measurement]
            if pub.statevector:
                parts = (Measurement(index, row, STATE, 0, 0) for row in range(pub.sets))
            elif (estimates or is_exact(pub)) and pub.observables and not opened.analysis.measured_bits:
                parts = _estimations(index, pub, most_shots)
            else:
                parts = (part for each in _of_pub(index, pub, opened, config) for part in _parts(each, most_shots))
            for part in parts:
                found.append(part)
                if len(found) > _MOST:
                    raise InvalidTask(
                        f"the task comes to more than {_MOST} tasks of the cloud, one for each parameter set, measured "
                        f"basis and {most_shots or 'any number of'} shots: send fewer at a time"
                    )
    return found


def _estimations(index: int, pub: Pub, most_shots: int | None) -> Iterator[Measurement]:
    if pub.shots is not None and most_shots is not None and pub.shots > most_shots:
        raise InvalidTask(f"the device takes {most_shots} shots at a time and {pub.shots} are asked for: ask for less")
    for row, own in enumerate(wanted(pub)):
        if own:
            yield Measurement(index, row, ESTIMATION, 0, pub.shots or 0)


def _of_pub(index: int, pub: Pub, opened: Opened, config: EngineConfig) -> Iterator[Measurement]:
    if not pub.observables:
        # Bits that nothing writes are 0: that takes no device.
        sets = range(pub.sets) if opened.analysis.measured_bits else ()
        yield from (Measurement(index, row, "", 0, pub.shots or DEFAULT_SHOTS) for row in sets)
        return
    wanted: list[Measurement] = []
    seen: Counter[tuple[int, str]] = Counter()

    def record(basis: str, sets: list[int], shots: int, group: int) -> list[Sample]:
        for row in sets:
            wanted.append(Measurement(index, row, basis, 0, shots, seen[row, basis]))
            seen[row, basis] += 1
        return [Sample.of([0], [shots])] * len(sets)

    by_sampling(pub, config.max_shots, record)
    yield from wanted


def _parts(whole: Measurement, most_shots: int | None) -> Iterator[Measurement]:
    first = 0
    for shots in cut(whole.shots, most_shots):
        yield replace(whole, first=first, shots=shots)
        first += shots


def assembled(
    task: Task,
    circuits: Mapping[str, Opened],
    config: EngineConfig,
    answers: Iterable[tuple[Measurement, Outcomes | Estimates | State]],
    seed: int,
) -> tuple[PubResult, ...]:
    """Return a task's results.

    Args:
        task: as ``measurements`` took it.
        circuits: as there.
        config: as there.
        answers: its measurements in order, each with its outcomes or its values.
        seed: for the order of shots that a cloud has counted only: any is as likely as any other.
    """
    own = list(answers)
    estimated: dict[int, list[tuple[Measurement, Estimates]]] = {}
    states: dict[int, list[State]] = {}
    for measurement, answer in own:
        if isinstance(answer, Estimates):
            estimated.setdefault(measurement.pub, []).append((measurement, answer))
        elif isinstance(answer, np.ndarray):
            states.setdefault(measurement.pub, []).append(answer)
    measured = ((measurement, answer) for measurement, answer in own if isinstance(answer, Outcomes))
    whole = (
        (key[0], _Shots([outcomes for _, outcomes in parts], seed + place))
        for place, (key, parts) in enumerate(itertools.groupby(measured, lambda one: _whole(one[0])))
    )
    by_pub = {pub: [each for _, each in group] for pub, group in itertools.groupby(whole, lambda one: one[0])}
    return tuple(
        PubResult(statevectors=np.stack(states[index]))
        if index in states
        else _estimated(pub, estimated[index])
        if index in estimated
        else _result(task, pub, circuits[pub.circuit], config, by_pub.get(index, []), seed)
        for index, pub in enumerate(task.pubs)
    )


def _estimated(pub: Pub, answers: Sequence[tuple[Measurement, Estimates]]) -> PubResult:
    out, of_all = Output(pub), wanted(pub)
    for measurement, answer in answers:
        row = [measurement.row]
        for place, k in enumerate(of_all[measurement.row]):
            out.put(k, row, np.array(answer.values[place : place + 1]), np.array(answer.errors[place : place + 1]))
    told = [answer.shots for _, answer in answers if answer.shots is not None]
    return out.result(pub.shots or max(told, default=None), "")


def _whole(part: Measurement) -> tuple[int, int, str, int]:
    return part.pub, part.row, part.basis, part.again


@dataclass(frozen=True, slots=True)
class _Shots:
    """The outcomes of one measurement, its parts together."""

    parts: Sequence[Outcomes]
    seed: int

    @property
    def counts(self) -> Counter[int]:
        totals: Counter[int] = Counter()
        for part in self.parts:
            if part.times is None:
                totals.update(part.values)
            else:
                # A value may come several times, as where bits were measured that nobody asked for.
                for value, times in zip(part.values, part.times, strict=True):
                    totals[value] += times
        return totals

    def raw(self, width: int) -> NDArray[np.uint8]:
        """Return every shot in order, shape (shots, bytes), big-endian."""
        return np.concatenate([self._raw(part, width, self.seed + k) for k, part in enumerate(self.parts)])

    @staticmethod
    def _raw(part: Outcomes, width: int, seed: int) -> NDArray[np.uint8]:
        if part.times is None:
            data = b"".join(value.to_bytes(width, "big") for value in part.values)
            return np.frombuffer(data, dtype=np.uint8).reshape(len(part.values), width)
        return shots_of(_Shots([part], seed).counts, width, seed % 2**32)


def _result(
    task: Task, pub: Pub, opened: Opened, config: EngineConfig, answers: Sequence[_Shots], seed: int
) -> PubResult:
    circuit = opened.circuit
    if pub.empty:
        registers = {register.name: register.size for register in circuit.cregs}
        return nothing(pub, circuit.num_qubits, registers, memory=task.memory)
    if pub.observables:
        out, shots = by_sampling(pub, config.max_shots, _replay(answers, circuit.num_clbits))
        return out.result(shots, "")
    shots = pub.shots or DEFAULT_SHOTS
    if not task.memory:
        return PubResult(counts=tuple(spelled(own.counts, circuit) for own in answers), shots=shots)
    width = -(-circuit.num_clbits // 8)
    raw = np.zeros((pub.sets, shots, width), dtype=np.uint8)
    for row, own in enumerate(answers):
        raw[row] = own.raw(width)
    return PubResult(registers=by_register(circuit, raw), shots=shots)


def _replay(answers: Sequence[_Shots], own_bits: int) -> Measure:
    left: Iterator[_Shots] = iter(answers)

    def measure(basis: str, sets: list[int], shots: int, group: int) -> list[Sample]:
        samples = []
        for counts in (next(left).counts for _ in sets):
            # The fresh bits come after the circuit's own.
            samples.append(Sample.of([value >> own_bits for value in counts], list(counts.values())))
        return samples

    return measure


def _written_once(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit that measures at its end, without the measurements whose bit a later one writes."""
    measured = [item.clbits[0] for item in circuit.data if item.operation.name == "measure"]
    if len(set(measured)) == len(measured):
        return circuit
    written: set[Any] = set()
    kept = []
    for item in reversed(circuit.data):
        if item.operation.name == "measure":
            if item.clbits[0] in written:
                continue
            written.add(item.clbits[0])
        kept.append(item)
    shorter: QuantumCircuit = circuit.copy_empty_like()
    for item in reversed(kept):
        shorter.append(item)
    return shorter
