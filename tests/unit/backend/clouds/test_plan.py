"""A task as measurements and back, against probabilities that are computed in another way."""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import ClassicalRegister, Clbit, Parameter, QuantumRegister
from qiskit.quantum_info import SparsePauliOp, Statevector

from qonverge.amounts import TaskLimits
from qonverge.backend.clouds.measurement import ESTIMATION, Measurement, in_tasks, reduced
from qonverge.backend.clouds.plan import Opened, assembled
from qonverge.backend.clouds.translation import Translation
from qonverge.backend.clouds.translators import Outcomes
from qonverge.backend.config import EngineConfig
from qonverge.backend.tasks.meters import asked
from qonverge.circuits.analysis.measurement_plan import tasks_for
from qonverge.wire.errors import CircuitTooLarge, EngineFailed, InvalidCircuit, InvalidTask
from qonverge.wire.messages import Observable, Pub, PubResult, Task
from tests.clouds.running import provider
from tests.clouds.vendor import probabilities

SHOTS = 20_000
# Shots are as the probabilities say, but for less than one each.
CLOSE = 2e-4


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with provider(Path(tmp_path_factory.mktemp("vendor"))):
        yield


def task_of(circuit: QuantumCircuit, *, memory: bool = False, **pub: Any) -> Task:
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    return Task("t", (Pub(digest, **{"shots": SHOTS, **pub}),), {digest: buffer.getvalue()}, memory=memory)


def translation(**config: Any) -> Translation:
    return Translation(EngineConfig(**{"provider": "Tagged", "memory_bytes": 2 * 1024**3, **config}))


def exactly(program: str, shots: int, *, counted: bool) -> str:
    """Return the vendor's answer with each outcome as often as its probability says."""
    qubits, chances = probabilities(json.loads(program))
    times = np.floor(chances * shots + 1e-9).astype(int)
    for index in np.argsort(times - chances * shots)[: shots - times.sum()]:
        times[index] += 1
    texts = {format(value, f"0{len(qubits)}b"): int(n) for value, n in enumerate(times) if n}
    if counted:
        return json.dumps({"qubits": qubits, "counts": texts})
    return json.dumps({"qubits": qubits, "shots": [text for text, n in texts.items() for _ in range(n)]})


def run(task: Task, *, most: int | None = None, counted: bool = True, **config: Any) -> tuple[PubResult, ...]:
    """Run a task as the executor does."""
    made = translation(**config)
    found = made.plan(task, most)
    assert len({each.name for each in found}) == len(found)
    readings, answers = [], []
    for each in found:
        assert most is None or each.shots <= most
        submission = made.encode(*reduced(task, [each]))
        readings.append(submission.reading)
        answers.append(zlib.compress(exactly(submission.program, each.shots, counted=counted).encode()))
    # Another process, as after a restart.
    return translation(**config).assemble(task, found, readings, answers, 7)


def expected(circuit: QuantumCircuit) -> dict[str, float]:
    """Return the probability of each value of the classical bits, by Qiskit."""
    bits: dict[int, int] = {}
    bare = QuantumCircuit(circuit.qubits)
    for item in circuit.data:
        if item.operation.name == "measure":
            bits[circuit.find_bit(item.clbits[0]).index] = circuit.find_bit(item.qubits[0]).index
        else:
            bare.append(item.operation, item.qubits)
    totals: Counter[str] = Counter()
    for index, chance in enumerate(Statevector(bare).probabilities()):
        value = sum(1 << bit for bit, qubit in bits.items() if index >> qubit & 1)
        totals[format(value, f"0{circuit.num_clbits}b")] += chance
    return {text: chance for text, chance in totals.items() if chance > 1e-9}


@st.composite
def circuits(draw: st.DrawFn) -> QuantumCircuit:
    """Circuits with several registers, of whose qubits some are measured, into bits in any order."""
    qubits = draw(st.integers(1, 4))
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    circuit = QuantumCircuit(
        QuantumRegister(qubits, "q"), *(ClassicalRegister(size, f"r{k}") for k, size in enumerate(sizes))
    )
    for _ in range(draw(st.integers(1, 8))):
        qubit = draw(st.integers(0, qubits - 1))
        angles = [draw(st.floats(-3, 3)) for _ in range(3)]
        circuit.u(*angles, qubit)
        other = draw(st.integers(0, qubits - 1))
        if other != qubit:
            circuit.cx(qubit, other)
    measured = draw(st.lists(st.integers(0, qubits - 1), min_size=1, max_size=qubits, unique=True))
    # Several qubits may be measured into one bit: the last one stays.
    for qubit in measured:
        circuit.measure(qubit, draw(st.integers(0, circuit.num_clbits - 1)))
    return circuit


@settings(max_examples=25)
@given(circuits(), st.booleans(), st.sampled_from([None, 6_000]))
def test_counts_are_those_of_the_circuit(circuit: QuantumCircuit, counted: bool, most: int | None) -> None:
    (result,) = run(task_of(circuit), counted=counted, most=most)
    (counts,) = result.counts
    assert sum(counts.values()) == SHOTS
    want = expected(circuit)
    parts = [register.size for register in reversed(circuit.cregs)]
    assert all([len(part) for part in text.split(" ")] == parts for text in counts)
    found = {text.replace(" ", ""): n / SHOTS for text, n in counts.items()}
    assert found.keys() <= want.keys() | {text for text, n in found.items() if n < CLOSE}
    for text, chance in want.items():
        assert found.get(text, 0.0) == pytest.approx(chance, abs=CLOSE)


@settings(max_examples=8)
@given(circuits(), st.booleans())
def test_bits_shot_by_shot_have_the_same_counts(circuit: QuantumCircuit, counted: bool) -> None:
    (result,) = run(task_of(circuit, memory=True, shots=2_000), counted=counted, most=1_500)
    assert {name: bits for name, (bits, _) in result.registers.items()} == {r.name: r.size for r in circuit.cregs}
    texts = []
    for shot in range(2_000):
        parts = []
        for register in reversed(circuit.cregs):
            bits, array = result.registers[register.name]
            assert array.shape == (1, 2_000, -(-bits // 8))
            parts.append(format(int.from_bytes(array[0, shot].tobytes(), "big"), f"0{bits}b"))
        texts.append("".join(parts))
    (want,) = run(task_of(circuit, shots=2_000), counted=counted, most=1_500)
    assert Counter(texts) == {text.replace(" ", ""): n for text, n in want.counts[0].items()}


def test_a_value_may_come_several_times_in_an_answer() -> None:
    """As where a cloud tells how often all qubits came out, and the circuit asks for some of them."""
    circuit = QuantumCircuit(2, 2)
    circuit.measure([0, 1], [0, 1])
    task = task_of(circuit, memory=True, shots=12)
    opened = {pub.circuit: Opened.of(circuit) for pub in task.pubs}
    answer = (Measurement(0, 0, "", 0, 12), Outcomes([1, 2, 1], [3, 4, 5]))
    (found,) = assembled(task, opened, EngineConfig(memory_bytes=2 * 1024**3), [answer], 7)
    assert Counter(found.registers["c"][1].ravel().tolist()) == {1: 8, 2: 4}
    (found,) = assembled(replace(task, memory=False), opened, EngineConfig(memory_bytes=2 * 1024**3), [answer], 7)
    assert found.counts == ({"01": 8, "10": 4},)


def observables(*labels: dict[str, float]) -> tuple[Observable, ...]:
    return tuple(tuple(each.items()) for each in labels)


WANTED = ({"ZZI": 1.0}, {"XIY": 0.5, "ZII": -2.0, "III": 3.0}, {"IYX": 1.5}, {"III": 4.0})


def swept() -> tuple[QuantumCircuit, dict[str, np.ndarray[Any, Any]]]:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(3)
    circuit.rx(a, 0)
    circuit.ry(b, 1)
    circuit.h(2)
    circuit.cx(0, 2)
    circuit.rz(a + b, 2)
    circuit.cx(1, 0)
    return circuit, {"a": np.array([0.3, -1.1, 2.0]), "b": np.array([1.0, 0.4, -0.7])}


def values(circuit: QuantumCircuit, parameters: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    table = np.empty((3, len(WANTED)))
    for row in range(3):
        state = Statevector(circuit.assign_parameters({name: own[row] for name, own in parameters.items()}))
        for column, terms in enumerate(WANTED):
            table[row, column] = state.expectation_value(SparsePauliOp(list(terms), list(terms.values()))).real
    return table


@pytest.mark.parametrize("most", [None, 8_000])
def test_expectation_values_of_a_sweep(most: int | None) -> None:
    circuit, parameters = swept()
    task = task_of(circuit, parameters=parameters, observables=observables(*WANTED))
    (result,) = run(task, most=most)
    assert result.expectation_values is not None
    assert result.standard_errors is not None
    assert result.expectation_values == pytest.approx(values(circuit, parameters), abs=1e-3)
    assert (result.standard_errors[:, :3] > 0).all()
    assert (result.standard_errors < 5 / np.sqrt(SHOTS)).all()
    # Three sets, three bases: each measured once.
    assert len(translation().plan(task, None)) == 9


def test_pairs_are_measured_where_they_are_wanted_and_come_in_their_order() -> None:
    circuit, parameters = swept()
    pairs = np.array([[2, 1], [0, 0], [2, 0], [1, 2], [0, 3]], dtype=np.int32)
    task = task_of(circuit, parameters=parameters, observables=observables(*WANTED), pairs=pairs)
    (result,) = run(task)
    want = values(circuit, parameters)[pairs[:, 0], pairs[:, 1]]
    assert result.expectation_values == pytest.approx(want, abs=1e-3)


@pytest.mark.parametrize(
    "pub",
    [
        {"shots": 25_000},
        {"shots": 20_000},
        {"shots": None},
        {"shots": 25_000, "observables": observables({"ZZI": 1.0}, {"XXI": 1.0, "IZZ": 0.5})},
        {"shots": None, "precision": 0.008, "observables": observables({"ZZI": 1.0}, {"XXI": 1.0})},
        # The first is wanted of two sets and the second of one: they are measured apart, though one basis has both.
        {
            "shots": 25_000,
            "observables": observables({"ZZI": 1.0}, {"IZZ": 1.0}),
            "pairs": np.array([[0, 0], [1, 0], [1, 1]], np.int32),
        },
    ],
)
def test_what_is_charged_is_what_the_cloud_is_sent(pub: dict[str, Any]) -> None:
    circuit, parameters = swept()
    if "observables" not in pub:
        circuit.measure_all()
    task = task_of(circuit, parameters=parameters, **pub)
    found = translation().plan(task, 10_000)
    shots = sum(each.shots for each in found)
    charged = asked(task.pubs, TaskLimits(10_000))
    assert (charged.tasks, charged.shots) == (len(found), shots)
    sets = TaskLimits(10_000, 3, 25_000)
    charged = asked(task.pubs, sets)
    assert (charged.tasks, charged.shots) == (len(in_tasks(found, sets)), shots)


def measured(*shots: int, basis: str = "") -> list[Measurement]:
    return [Measurement(0, row, basis, 0, each) for row, each in enumerate(shots)]


@given(
    st.lists(st.integers(1, 60), max_size=30),
    st.builds(TaskLimits, st.none(), st.integers(1, 7), st.none() | st.integers(1, 90), st.integers(1, 40)),
)
def test_tasks_of_several_measurements_keep_the_limits_and_are_counted(shots: list[int], limits: TaskLimits) -> None:
    found = measured(*shots)
    tasks = in_tasks(found, limits)
    assert sorted((each for task in tasks for each in task), key=lambda each: each.row) == found
    for task in tasks:
        assert len({each.shots for each in task}) == 1
        assert [each.row for each in task] == sorted(each.row for each in task)
        total = sum(each.shots for each in task)
        assert len(task) == 1 or (
            len(task) <= limits.programs
            and total <= (limits.total_shots or total)
            and total >= limits.least_total_shots
        )
    assert tasks_for([(1, each) for each in shots], limits) == len(tasks)


def test_as_many_measurements_share_a_task_as_it_may_have() -> None:
    def rows(*shots: int, basis: str = "", **limits: int) -> list[list[int]]:
        return [[each.row for each in task] for task in in_tasks(measured(*shots, basis=basis), TaskLimits(**limits))]

    assert rows(5, 5, 5) == [[0], [1], [2]]
    assert rows(5, 5, 5, programs=2) == [[0, 1], [2]]
    # Those with other shots go in tasks of their own.
    assert rows(5, 9, 5, 9, 5, programs=3) == [[0, 2, 4], [1, 3]]
    assert rows(5, 5, 5, 5, programs=4, total_shots=14) == [[0, 1], [2, 3]]
    assert rows(15, 15, programs=4, total_shots=14) == [[0], [1]]
    # Two programs are enough, and one that is left is no set.
    assert rows(5, 5, 5, programs=2, least_total_shots=10) == [[0, 1], [2]]
    assert rows(5, 5, programs=2, least_total_shots=11) == [[0], [1]]
    # Exact values go alone; those of which the cloud chooses the shots do where it says so.
    assert rows(0, 0, programs=2) == rows(0, 0, basis=ESTIMATION, programs=2) == [[0], [1]]
    assert rows(0, 0, 0, basis=ESTIMATION, programs=2, least_total_shots=0) == [[0, 1], [2]]
    assert rows(5, 5, basis=ESTIMATION, programs=2) == [[0, 1]]
    both = [*measured(5, 5), *measured(5, 5, basis=ESTIMATION)]
    assert in_tasks(both, TaskLimits(programs=4)) == [both[:2], both[2:]]


def test_pubs_share_tasks_and_are_charged_so() -> None:
    circuit, parameters = swept()
    circuit.measure_all()
    one = task_of(circuit, parameters=parameters, shots=100)
    other = replace(one.pubs[0], shots=25_000)
    task = replace(one, pubs=(*one.pubs, other, *one.pubs))
    sets, found = TaskLimits(10_000, 100, 200_000), translation().plan(task, 10_000)
    charged = asked(task.pubs, sets)
    rows = one.pubs[0].sets
    # All of 100 shots in one task; of the others the parts of 10,000 shots, 20 in a task, and those of 5,000.
    assert charged.tasks == len(in_tasks(found, sets)) == 1 + -(-2 * rows // 20) + 1
    assert charged.shots == rows * 25_200


def test_shots_follow_from_a_precision() -> None:
    circuit, parameters = swept()
    task = task_of(circuit, parameters=parameters, observables=observables({"ZZI": 1.0}), shots=None, precision=0.01)
    (result,) = run(task)
    assert result.shots == 10_001
    assert result.standard_errors is not None
    assert (result.standard_errors <= 0.01).all()
    with pytest.raises(InvalidTask, match=r"a precision of 0\.01 needs 10001 shots"):
        run(task, max_shots=10_000)


def test_an_observable_after_a_measurement_of_another_qubit() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.ry(0.7, 0)
    circuit.h(1)
    circuit.measure(1, 0)
    (result,) = run(task_of(circuit, observables=observables({"IX": 1.0})))
    assert result.expectation_values == pytest.approx(np.array([[np.sin(0.7)]]), abs=1e-4)


def test_bits_in_no_register_and_a_register_with_the_name_that_is_wanted() -> None:
    circuit = QuantumCircuit(2)
    circuit.add_bits([Clbit()])
    circuit.add_register(ClassicalRegister(1, "measured"))
    circuit.x(0)
    circuit.measure(0, 1)
    (result,) = run(task_of(circuit))
    assert result.counts == ({"1 0": SHOTS},)
    (result,) = run(task_of(circuit, observables=observables({"ZI": 1.0})))
    assert result.expectation_values == pytest.approx(np.array([[1.0]]))


def test_empty_pubs_and_bits_that_nothing_writes_take_no_task_of_the_cloud() -> None:
    circuit, _ = swept()
    nothing = {"a": np.zeros(0), "b": np.zeros(0)}
    unmeasured = QuantumCircuit(1, 2)
    empty = task_of(circuit, parameters=nothing, observables=observables(*WANTED))
    zeros = task_of(unmeasured, memory=True, shots=5)
    for task in (empty, zeros):
        assert translation().plan(task, None) == []
    (result,) = run(empty)
    assert result.expectation_values is not None
    assert result.expectation_values.shape == (0, 4)
    (result,) = run(zeros)
    assert {name: (bits, array.tolist()) for name, (bits, array) in result.registers.items()} == {"c": (2, [[[0]] * 5])}


def _with_condition() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    return circuit


def _measured_twice() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 2)
    circuit.measure(0, 0)
    circuit.measure(0, 1)
    return circuit


def _plain(qubits: int = 1) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    return circuit


@pytest.mark.parametrize(
    ("circuit", "pub", "kind", "words"),
    [
        (_with_condition(), {}, InvalidCircuit, "Tagged runs no conditions"),
        (_measured_twice(), {}, InvalidCircuit, "Tagged measures at the end only"),
        (_plain(), {"observables": observables({"Z": 1.0})}, InvalidCircuit, "measures at the end only"),
        (_plain(), {"statevector": True, "shots": None}, InvalidTask, "no amplitudes"),
        (QuantumCircuit(1), {"observables": observables({"Z": 1.0}), "shots": None}, InvalidTask, "no exact values"),
        (QuantumCircuit(1), {}, InvalidTask, "measures nothing"),
        (QuantumCircuit(0, 1), {}, InvalidCircuit, "has no qubits"),
        (_plain(), {"shots": 2_000_000}, InvalidTask, "2000000 shots and this backend takes 1000000"),
        (_plain(6), {}, CircuitTooLarge, "6 qubits and this backend takes 5"),
    ],
)
def test_what_no_device_runs_is_refused_before_anything_is_sent(
    circuit: QuantumCircuit, pub: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        translation(max_qubits=5).plan(task_of(circuit, **pub), None)


def test_a_task_may_become_so_many_of_the_cloud() -> None:
    task = task_of(_plain(), shots=10_000)
    assert len(translation().plan(task, 1)) == 10_000
    with pytest.raises(InvalidTask, match="more than 10000 tasks of the cloud"):
        translation().plan(task_of(_plain(), shots=10_001), 1)


def test_a_measurement_is_named_by_what_it_measures() -> None:
    circuit, parameters = swept()
    task = task_of(circuit, parameters=parameters, observables=observables(*WANTED), shots=1_000)
    names = [each.name for each in translation().plan(task, 600)]
    assert names[:2] == ["0/0/ZYX/0/600/0", "0/0/ZYX/600/400/0"]
    assert names == [each.name for each in translation().plan(task, 600)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('{"qubits": [0], "shots": ["1"]}', "it has 1 shots and 20000 were asked for"),
        ('{"qubits": [3], "counts": {"1": 20000}}', "'3'"),
        ("not JSON", "Expecting value"),
        ("[]", "list indices"),
    ],
)
def test_an_answer_that_is_none_is_refused(answer: str, words: str) -> None:
    made, task = translation(), task_of(_plain())
    found: list[Measurement] = made.plan(task, None)
    reading = made.encode(*reduced(task, found[:1])).reading
    with pytest.raises(EngineFailed, match=words):
        made.assemble(task, found, [reading], [zlib.compress(answer.encode())], 0)
