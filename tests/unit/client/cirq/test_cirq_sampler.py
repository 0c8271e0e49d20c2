"""The Cirq sampler: circuits as they travel, records as they come back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import cirq
import numpy as np
import pytest
import sympy
from duet.api import pmap_async
from duet.api import run as run_duet

from qonverge.client.cirq import Sampler
from qonverge.client.transport.embedded import Embedded
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.messages import Task, TaskResult

A, B, C, D = cirq.LineQubit.range(4)
T, U = sympy.symbols("t u")


class Recorder:
    """Runs tasks in this process, and keeps them."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.threads: list[threading.Thread] = []
        self._engine = Embedded()

    def run(self, task: Task, cancelled: threading.Event | None = None) -> TaskResult:
        self.tasks.append(task)
        self.threads.append(threading.current_thread())
        return self._engine.run(task, cancelled)

    def cancel(self, identity: str) -> bool:
        return self._engine.cancel(identity)

    def info(self) -> BackendInfo:
        return self._engine.info()


@pytest.fixture(scope="module")
def engine() -> Recorder:
    return Recorder()


@pytest.fixture
def recorder(engine: Recorder) -> Recorder:
    engine.tasks.clear()
    engine.threads.clear()
    return engine


@pytest.fixture
def sampler(recorder: Recorder) -> Sampler:
    return Sampler(recorder, seed=7)


def test_a_sweep_is_one_circuit_with_sets(recorder: Recorder, sampler: Sampler) -> None:
    circuit = cirq.Circuit(
        (cirq.X ** (T / 2 + sympy.cos(sympy.pi * U)))(A), cirq.FSimGate(T, 0.2)(A, B), cirq.measure(A, key="m")
    )
    results = sampler.run_sweep(circuit, cirq.Points("t", [0, 2]) * cirq.Points("u", [0, 1, 0.5]), 10)
    (pub,) = recorder.tasks[0].pubs
    assert len(recorder.tasks) == 1
    assert (pub.sets, pub.shots, len(recorder.tasks[0].circuits)) == (6, 10, 1)
    assert sorted(map(list, pub.parameters.values())) == [[0, 0, 0, 2, 2, 2], pytest.approx([1, -1, 0, 2, 0, 1])]
    assert [result.params.param_dict for result in results][4] == {"t": 2, "u": 1}
    assert (results[1].measurements["m"] == 1).all()
    sampler.run_sweep(circuit, {"t": 1, "u": 1})
    assert recorder.tasks[1].pubs[0].circuit == pub.circuit


def test_equal_circuits_have_equal_digests(recorder: Recorder) -> None:
    for _ in range(2):
        circuit = cirq.Circuit(cirq.X(A) ** T, cirq.measure(A, key="m"), cirq.X(B).with_classical_controls("m"))
        Sampler(recorder).run(circuit + cirq.Circuit(cirq.measure(B)), {"t": 0.5})
    first, second = recorder.tasks
    assert first.pubs[0].circuit == second.pubs[0].circuit


def test_a_circuit_that_changes_is_translated_again(sampler: Sampler) -> None:
    circuit = cirq.Circuit(cirq.measure(A, key="m"))
    assert sampler.run(circuit).measurements["m"] == 0
    circuit.insert(0, cirq.X(A))
    assert sampler.run(circuit).measurements["m"] == 1


def test_a_batch_is_one_task(recorder: Recorder, sampler: Sampler) -> None:
    one = cirq.Circuit(cirq.X(A) ** T, cirq.measure(A, key="m"))
    two = cirq.Circuit(cirq.X(B), cirq.measure(A, B, key="n"))
    results = sampler.run_batch([one, two, two], [cirq.Points("t", [0, 1]), None, None], [3, 0, 5])
    assert len(recorder.tasks) == 1
    assert [pub.shots for pub in recorder.tasks[0].pubs] == [3, 5]
    assert [[result.repetitions for result in each] for each in results] == [[3, 3], [0], [5]]
    assert results[2][0].measurements["n"].tolist() == [[0, 1]] * 5
    assert results[1][0].measurements["n"].shape == (0, 2)
    assert sampler.run_batch([]) == []
    assert len(recorder.tasks) == 1


class Rolled(cirq.Gate):
    """A gate whose matrix needs the value of its symbol, and which has no hash."""

    def __init__(self, steps: Any) -> None:
        self.steps = steps

    __hash__ = None  # type: ignore[assignment]  # as of dataclasses that compare

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rolled) and self.steps == other.steps

    def _num_qubits_(self) -> int:
        return 2

    def _unitary_(self) -> Any:
        return NotImplemented if self._is_parameterized_() else np.roll(np.eye(4), int(self.steps), axis=0)

    def _is_parameterized_(self) -> bool:
        return cirq.is_parameterized(self.steps)

    def _parameter_names_(self) -> Any:
        return cirq.parameter_names(self.steps)

    def _resolve_parameters_(self, resolver: cirq.ParamResolver, _: bool) -> Rolled:
        return Rolled(resolver.value_of(self.steps))


def test_what_needs_values_travels_once_for_each(recorder: Recorder, sampler: Sampler) -> None:
    circuit = cirq.Circuit(Rolled(T)(A, B), cirq.measure(A, B, key="m"))
    results = sampler.run_sweep(circuit, cirq.Points("t", [1, 2, 3]), 2)
    assert [result.measurements["m"].tolist()[1] for result in results] == [[0, 1], [1, 0], [1, 1]]
    assert [len(task.pubs) for task in recorder.tasks] == [3]
    subcircuit = cirq.CircuitOperation(cirq.FrozenCircuit(cirq.X(A)), repetitions=T)
    results = sampler.run_sweep(cirq.Circuit(subcircuit, cirq.measure(A, key="m")), cirq.Points("t", [1, 2]))
    assert [int(result.measurements["m"][0, 0]) for result in results] == [1, 0]
    with pytest.raises(ValueError, match="symbols t have no values"):
        sampler.run(circuit)


def test_records(sampler: Sampler) -> None:
    circuit = cirq.Circuit(
        cirq.X(B),
        cirq.measure(A, B, key="m", invert_mask=(True,)),
        cirq.X(A),
        cirq.measure(A, B, key="m"),
        cirq.reset(B),
        cirq.measure(B, key="alone"),
    )
    result = sampler.run(circuit, repetitions=3)
    assert result.records["m"].tolist() == [[[1, 1], [1, 1]]] * 3
    assert result.records["alone"].tolist() == [[[0]]] * 3
    assert (1 - 2 * result.records["m"]).min() == -1


def test_wide_keys(sampler: Sampler) -> None:
    qubits = cirq.LineQubit.range(11)
    circuit = cirq.Circuit(
        cirq.X(qubits[0]), cirq.X(qubits[9]), cirq.measure(*qubits, key="m"), cirq.measure(A, key="a")
    )
    result = sampler.run(circuit, repetitions=2)
    assert result.measurements["m"].tolist() == [[1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]] * 2
    assert result.data["m"].tolist() == [0b10000000010] * 2


def test_confusion_maps(recorder: Recorder) -> None:
    chances = np.array([[0.7, 0.1, 0.2, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    circuit = cirq.Circuit(
        cirq.X(C), cirq.measure(A, C, B, key="m", invert_mask=(False, True), confusion_map={(0, 2): chances})
    )
    result = Sampler(recorder, seed=5).run(circuit, repetitions=4000)
    counts = result.histogram(key="m")
    assert set(counts) == {0b000, 0b001, 0b100}
    assert counts[0b000] / 4000 == pytest.approx(0.7, abs=0.03)
    assert counts[0b001] / 4000 == pytest.approx(0.1, abs=0.02)
    assert result == Sampler(recorder, seed=5).run(circuit, repetitions=4000)


M, N = sympy.symbols("m n")
BITS = sympy.IndexedBase("m")
CONDITIONS: list[Any] = [
    "m",
    cirq.KeyCondition(cirq.MeasurementKey("m"), index=0),
    cirq.BitMaskKeyCondition.create_equal_mask(cirq.MeasurementKey("m"), 2),
    cirq.BitMaskKeyCondition.create_not_equal_mask(cirq.MeasurementKey("m"), 1),
    sympy.Eq(M, 2),
    M > N,
    sympy.Eq(M + 2 * N, 4),
    sympy.Xor(sympy.Eq(M, 1), sympy.Eq(N, 1)),
    cirq.SympyCondition(sympy.Xor(BITS[0], BITS[1])),
    M >= 0,
    M > 7,
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_conditions_hold_where_cirq_says_so(sampler: Sampler, condition: Any) -> None:
    circuit = cirq.Circuit(
        cirq.H.on_each(A, B, C),
        cirq.measure(A, B, key="m"),
        cirq.H.on_each(A, B),
        cirq.measure(A, B, key="m", invert_mask=(False, True)),
        cirq.measure(C, key="n"),
        cirq.X(D).with_classical_controls(condition),
        cirq.measure(D, key="done"),
    )
    result = sampler.run(circuit, repetitions=200)
    operation = circuit[-2].operations[0]
    (asked,) = operation.classical_controls
    for m, n, done in zip(*(result.records[key] for key in ("m", "n", "done")), strict=True):
        store = cirq.ClassicalDataDictionaryStore()
        for instance in m.tolist():
            store.record_measurement(cirq.MeasurementKey("m"), instance, [A, B])
        store.record_measurement(cirq.MeasurementKey("n"), n[0].tolist(), [C])
        assert bool(done[0, 0]) == asked.resolve(store)


def test_nested_conditions(sampler: Sampler) -> None:
    inner = cirq.FrozenCircuit(cirq.X(C), cirq.X(D).with_classical_controls(sympy.Eq(N, 0)))
    circuit = cirq.Circuit(
        cirq.H(A),
        cirq.H(B),
        cirq.measure(A, key="m"),
        cirq.measure(B, key="n"),
        cirq.CircuitOperation(inner).with_classical_controls("m"),
        cirq.measure(C, D, key="out"),
    )
    counts = sampler.run(circuit, repetitions=200).multi_measurement_histogram(keys=["m", "n", "out"])
    assert set(counts) == {(0, 0, 0b00), (0, 1, 0b00), (1, 0, 0b11), (1, 1, 0b10)}


class Borrowing(cirq.Gate):
    """Copies a qubit by way of one that it borrows."""

    def _num_qubits_(self) -> int:
        return 2

    def _decompose_with_context_(self, qubits: Any, context: cirq.DecompositionContext) -> Iterator[cirq.Operation]:
        (borrowed,) = context.qubit_manager.qalloc(1)
        yield cirq.CX(qubits[0], borrowed)
        yield cirq.CX(borrowed, qubits[1])
        yield cirq.CX(qubits[0], borrowed)
        context.qubit_manager.qfree([borrowed])


def test_decompositions_may_borrow_qubits(sampler: Sampler) -> None:
    circuit = cirq.Circuit(cirq.X(A), cirq.X(C), Borrowing()(A, B), Borrowing()(B, D).controlled_by(C))
    result = sampler.run(circuit + cirq.Circuit(cirq.measure(A, B, D, key="m")))
    assert result.measurements["m"].tolist() == [[1, 1, 1]]
    assert sampler.simulate_expectation_values(circuit, [cirq.Z(B), cirq.Z(D)]) == pytest.approx([-1, -1])


def test_seeds(recorder: Recorder) -> None:
    circuit = cirq.Circuit(cirq.H(A), cirq.measure(A, key="m"))

    def twice(seed: Any) -> list[Any]:
        sampler = Sampler(recorder, seed=seed)
        return [sampler.run(circuit, repetitions=40).measurements["m"].tolist() for _ in range(2)]

    for make in (lambda: 3, lambda: np.random.default_rng(3), lambda: np.random.RandomState(3)):
        first = twice(make())
        assert first == twice(make())
        assert first[0] != first[1]


def test_seed_of_the_job(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QONVERGE_SEED", "11")
    circuit = cirq.Circuit(cirq.H(A), cirq.measure(A, key="m"))
    one, two = (Sampler(recorder).run(circuit, repetitions=40) for _ in range(2))
    assert one == two


BELL = cirq.Circuit(cirq.H(A), cirq.CX(A, B), cirq.measure(A, B, key="m"))


def test_asyncio(recorder: Recorder, sampler: Sampler) -> None:
    async def several() -> list[cirq.Result]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        results = await asyncio.gather(*(sampler.run_async(BELL, repetitions=20) for _ in range(3)))
        ticking.cancel()
        assert ticks > 3
        return list(results)

    assert [result.repetitions for result in asyncio.run(several())] == [20] * 3
    assert threading.main_thread() not in recorder.threads


def test_duet(recorder: Recorder, sampler: Sampler) -> None:
    async def several() -> Any:
        return await pmap_async(lambda count: sampler.run_async(BELL, repetitions=count), [2, 3])

    assert [result.repetitions for result in run_duet(several)] == [2, 3]
    # A notebook's loop is asyncio's, and Cirq's own functions run duet within it.
    assert [result.repetitions for result in asyncio.run(_within(several))] == [2, 3]
    assert threading.main_thread() not in recorder.threads
    assert run_duet(sampler.run_batch_async, [BELL], None, 0)[0][0].repetitions == 0


async def _within(several: Any) -> Any:
    return run_duet(several)


def test_a_task_that_nobody_awaits_is_ended() -> None:
    class Endless(Recorder):
        def run(self, task: Task, cancelled: threading.Event | None = None) -> TaskResult:
            assert cancelled is not None
            assert cancelled.wait(30)
            ended.set()
            return super().run(task)

        def cancel(self, identity: str) -> bool:
            told.append(identity)
            asked.set()
            return True

    ended, asked = threading.Event(), threading.Event()
    told: list[str] = []

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Sampler(engine).run_async(BELL), 0.05)

    engine = Endless()
    asyncio.run(impatient())
    assert ended.wait(30)
    assert asked.wait(30)
    assert told == [task.id for task in engine.tasks]


def test_expectation_values_are_one_pub(recorder: Recorder, sampler: Sampler) -> None:
    circuit = cirq.Circuit(cirq.ry(2 * T)(A))
    observables = [cirq.Z(A), 2 * cirq.X(A) - 0.5, cirq.Z(A) * cirq.Z(B)]
    values = sampler.simulate_expectation_values_sweep(
        circuit, observables, cirq.Points("t", [0, 0.3]), qubit_order=[B, A]
    )
    assert values == [pytest.approx([1, -0.5, 1]), pytest.approx([np.cos(0.6), 2 * np.sin(0.6) - 0.5, np.cos(0.6)])]
    (pub,) = recorder.tasks[0].pubs
    assert (pub.sets, len(pub.observables), pub.shots, pub.precision) == (2, 3, None, None)
    assert sampler.simulate_expectation_values(circuit, [], {"t": 1}) == []
    assert sampler.simulate_expectation_values(cirq.Circuit(), [2.5]) == pytest.approx([2.5])


@pytest.mark.parametrize("initial_state", [1, [0, 1], cirq.testing.random_superposition(4, random_state=1)], ids=str)
def test_initial_states(sampler: Sampler, initial_state: Any) -> None:
    circuit = cirq.Circuit(cirq.CX(A, B), cirq.T(B))
    observables: list[Any] = [cirq.Z(A), cirq.X(A) * cirq.Y(B), cirq.Y(A)]
    arguments: dict[str, Any] = {"qubit_order": [B, A], "initial_state": initial_state}
    expected = cirq.Simulator(dtype=np.complex128).simulate_expectation_values(circuit, observables, **arguments)
    assert sampler.simulate_expectation_values(circuit, observables, **arguments) == pytest.approx(np.real(expected))


def test_final_measurements_are_averaged_over(sampler: Sampler) -> None:
    circuit = cirq.Circuit(cirq.H(A), cirq.CX(A, B), cirq.measure(A))
    observables = [cirq.X(A) * cirq.X(B), cirq.Z(A) * cirq.Z(B), cirq.Z(B)]
    with pytest.raises(ValueError, match="permit_terminal_measurements=True"):
        sampler.simulate_expectation_values(circuit, observables)
    values = sampler.simulate_expectation_values(circuit, observables, permit_terminal_measurements=True)
    assert values == pytest.approx([0, 1, 0])
