"""Qiskit's primitives over a real server, beside Qiskit's own."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.providers import JobStatus
from qiskit.quantum_info import SparsePauliOp

from qonverge.client import ClientError, EstimatorV2, SamplerV2
from qonverge.client.transport.connection import Connection


@pytest.fixture(scope="module")
def connection(backend: Any) -> Iterator[Connection]:
    yield Connection(backend.url, backend.token)


@pytest.fixture
def estimator(connection: Connection) -> EstimatorV2:
    return EstimatorV2(connection)


@pytest.fixture
def sampler(connection: Connection) -> SamplerV2:
    return SamplerV2(connection, seed=5)


def observables() -> list[Any]:
    return [
        SparsePauliOp.from_list([("ZZI", 0.5), ("XIX", -0.25), ("III", 2.0)]),
        "IYZ",
        {"ZII": 1.0, "IXX": 0.5},
    ]


SHAPES = [
    ((), ()),
    ((5,), ()),
    ((), (3,)),
    ((3,), (3,)),
    ((4, 1), (3,)),
    ((2, 3), (2, 1)),
    ((1,), (2, 3)),
]


@pytest.mark.parametrize(("sets", "wanted"), SHAPES)
def test_parameters_and_observables_broadcast_as_in_qiskit(estimator: Any, sets: Any, wanted: Any) -> None:
    circuit = efficient_su2(3, reps=1)
    values = np.random.default_rng(1).uniform(-3, 3, (*sets, circuit.num_parameters))
    cycle = itertools.cycle(observables())
    array = np.empty(wanted, dtype=object)
    for place in np.ndindex(wanted):
        array[place] = next(cycle)
    pub = (circuit, array.tolist() if wanted else array.item(), values)
    expected = StatevectorEstimator().run([pub]).result()[0]
    mine = estimator.run([pub]).result()[0]
    assert mine.data.evs.shape == expected.data.evs.shape
    assert mine.data.evs == pytest.approx(expected.data.evs, abs=1e-9)
    assert mine.data.stds.shape == expected.data.stds.shape
    assert not mine.data.stds.any()
    assert mine.data.shape == expected.data.shape


def test_a_precision_is_kept_and_told(estimator: Any) -> None:
    circuit = efficient_su2(3, reps=1)
    values = np.linspace(-2, 2, circuit.num_parameters)
    exact = StatevectorEstimator().run([(circuit, observables(), values)]).result()[0].data.evs
    result = estimator.run([(circuit, observables(), values)], precision=0.03).result()[0]
    assert (result.data.stds <= 0.03).all()
    assert (result.data.stds > 0).all()
    assert (np.abs(result.data.evs - exact) <= 6 * result.data.stds).all()
    assert result.metadata["target_precision"] == 0.03
    assert result.metadata["shots"] > 100


def test_several_pubs_go_as_one_task(estimator: Any, backend: Any) -> None:
    done = backend.metric('qonverge_backend_tasks_total{state="Completed"}')
    first, second = QuantumCircuit(1), QuantumCircuit(2)
    second.x(1)
    results = estimator.run([(first, "Z"), (second, ["ZI", "IZ"])]).result()
    assert results[0].data.evs == pytest.approx(1.0)
    assert results[1].data.evs == pytest.approx([-1.0, 1.0])
    assert backend.metric('qonverge_backend_tasks_total{state="Completed"}') == done + 1


def test_a_thousand_parameter_sets_are_one_task(estimator: Any, backend: Any) -> None:
    done = backend.metric("qonverge_backend_run_seconds_count")
    angle = Parameter("t")
    circuit = QuantumCircuit(1)
    circuit.ry(angle, 0)
    angles = np.linspace(0, 6, 1000)
    values = estimator.run([(circuit, "Z", angles.reshape(-1, 1))]).result()[0].data.evs
    assert values == pytest.approx(np.cos(angles), abs=1e-9)
    assert backend.metric("qonverge_backend_run_seconds_count") == done + 1


def test_bits_are_qiskits(sampler: Any) -> None:
    angle = ParameterVector("t", 2)
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2, "low"), ClassicalRegister(9, "wide"))
    circuit.rx(angle[0], 0)
    circuit.rx(angle[1], 1)
    circuit.x(2)
    circuit.measure([0, 1], [0, 1])
    circuit.measure([2, 0], [10, 2])
    values = np.array([[[0, 0], [np.pi, 0]], [[0, np.pi], [np.pi, np.pi]]])
    expected = StatevectorSampler().run([(circuit, values)], shots=20).result()[0]
    mine = sampler.run([(circuit, values)], shots=20).result()[0]
    assert mine.data.shape == expected.data.shape == (2, 2)
    for name in ("low", "wide"):
        own, other = getattr(mine.data, name), getattr(expected.data, name)
        assert (own.num_bits, own.num_shots, own.shape) == (other.num_bits, other.num_shots, other.shape)
        for place in np.ndindex(2, 2):
            assert own.get_counts(place) == other.get_counts(place)
    assert set(mine.join_data().get_counts()) == set(expected.join_data().get_counts())


def test_shots_come_from_the_pub_the_call_or_the_default(sampler: Any, bell: QuantumCircuit) -> None:
    results = sampler.run([(bell,), (bell, None, 7)], shots=50).result()
    assert [result.data.c.num_shots for result in results] == [50, 7]
    assert sampler.run([bell]).result()[0].data.c.num_shots == 1024


def test_the_same_seed_gives_the_same_bits(connection: Connection, bell: QuantumCircuit) -> None:
    def bits(seed: int | None) -> bytes:
        array = SamplerV2(connection, seed=seed).run([bell], shots=500).result()[0].data.c.array
        return bytes(array.tobytes())

    assert bits(3) == bits(3)
    assert bits(3) != bits(4)
    assert bits(None) != bits(None)


def test_no_pubs_are_an_empty_result(sampler: Any, estimator: Any) -> None:
    assert len(sampler.run([]).result()) == 0
    assert len(estimator.run([]).result()) == 0


def test_a_circuit_may_change_between_runs(estimator: Any) -> None:
    circuit = QuantumCircuit(1)
    assert estimator.run([(circuit, "Z")]).result()[0].data.evs == pytest.approx(1.0)
    circuit.x(0)
    assert estimator.run([(circuit, "Z")]).result()[0].data.evs == pytest.approx(-1.0)


def test_what_the_server_refuses_is_a_sentence(sampler: Any, estimator: Any) -> None:
    wide = QuantumCircuit(40, 1)
    wide.rx(0.3, range(40))
    for qubit in range(20):
        wide.cx(qubit, 39 - qubit)
    wide.measure(0, 0)
    with pytest.raises(ClientError, match="40 qubits"):
        sampler.run([wide]).result()
    angle = Parameter("t")
    free = QuantumCircuit(1)
    free.ry(angle, 0)
    with pytest.raises((ClientError, ValueError), match=r"nan|NaN"):
        estimator.run([(free, "Z", [float("nan")])]).result()


def test_a_job_tells_how_it_stands(sampler: Any, bell: QuantumCircuit) -> None:
    job = sampler.run([bell], shots=10)
    job.result()
    assert job.status() is JobStatus.DONE
    assert (job.done(), job.running(), job.cancelled(), job.in_final_state()) == (True, False, False, True)


def test_a_cancelled_job_ends_and_says_so(sampler: Any, endless: QuantumCircuit, backend: Any, kit: Any) -> None:
    job = sampler.run([endless])
    kit.until(lambda: backend.info()["running"] == 1, "the job runs")
    assert job.running()
    job.cancel()
    with pytest.raises(ClientError, match="cancelled"):
        job.result()
    assert job.cancelled()
    assert job.status() is JobStatus.CANCELLED
    kit.until(lambda: backend.info()["running"] == 0, "the worker is free")


@pytest.mark.timeout(60)
def test_a_job_cancelled_at_once_is_cancelled_too(
    sampler: Any, endless: QuantumCircuit, backend: Any, kit: Any
) -> None:
    for _ in range(3):
        job = sampler.run([endless])
        job.cancel()
        with pytest.raises(ClientError):
            job.result()
        assert job.cancelled()
    kit.until(lambda: (backend.info()["running"], backend.info()["queued"]) == (0, 0), "nothing is left")


def test_threads_may_share_a_primitive(estimator: Any) -> None:
    circuit = QuantumCircuit(1)
    angle = Parameter("t")
    circuit.ry(angle, 0)
    seen: dict[int, float] = {}

    def work(index: int) -> None:
        seen[index] = float(estimator.run([(circuit, "Z", [index / 4])]).result()[0].data.evs)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == pytest.approx({index: np.cos(index / 4) for index in range(12)}, abs=1e-9)


def test_a_server_that_restarts_is_waited_for(kit: Any, bell: QuantumCircuit) -> None:
    port = kit.free_port()
    with kit.serving("--concurrency", "1", port=port, tokens=False) as backend:
        sampler = SamplerV2(Connection(backend.url))
        assert sampler.run([bell], shots=10).result()[0].data.c.num_shots == 10
    waiting = sampler.run([bell], shots=20)
    assert not waiting.in_final_state()
    with kit.serving("--concurrency", "1", port=port, tokens=False):
        # The new server knows neither the task nor the circuit.
        assert waiting.result()[0].data.c.num_shots == 20


def test_a_server_killed_under_a_job_does_not_lose_it(kit: Any) -> None:
    slow = QuantumCircuit(12, 1)
    slow.rx(0.3, range(12))
    slow.reset(0)
    slow.measure(0, 0)
    port = kit.free_port()
    with kit.serving("--concurrency", "1", port=port, tokens=False) as backend:
        job = SamplerV2(Connection(backend.url)).run([slow], shots=60_000)
        kit.until(lambda: backend.info()["running"] == 1, "the job runs")
        workers = backend.workers()
        backend.process.kill()
        backend.process.wait(30)
        for worker in workers:
            worker.kill()
    with kit.serving("--concurrency", "1", port=port, tokens=False):
        assert job.result()[0].data.c.num_shots == 60_000
