"""A backend of several pods behind one name."""

from __future__ import annotations

import time
from typing import Any

import pytest
from qiskit import QuantumCircuit

from qonverge.client import SamplerV2
from qonverge.client.transport.connection import Connection

PODS = ["127.0.0.1", "127.0.0.2"]


def slow() -> QuantumCircuit:
    """Return a circuit that takes some tenths of a second."""
    circuit = QuantumCircuit(10, 1)
    circuit.rx(0.3, range(10))
    circuit.reset(0)
    circuit.measure(0, 0)
    return circuit


@pytest.fixture
def pods(kit: Any) -> Any:
    port = kit.free_port()
    with (
        kit.serving("--concurrency", "1", port=port, tokens=False, host=PODS[0]) as first,
        kit.serving("--concurrency", "1", port=port, tokens=False, host=PODS[1]) as second,
    ):
        yield first, second, Connection(f"http://backend:{port}", resolve=lambda *_: PODS)


def completed(pod: Any) -> float:
    return float(pod.metric('qonverge_backend_tasks_total{state="Completed"}'))


def test_tasks_at_the_same_time_go_to_all_pods(pods: Any) -> None:
    first, second, connection = pods
    sampler = SamplerV2(connection)
    for job in [sampler.run([slow()], shots=2000) for _ in range(6)]:
        job.result()
    assert (completed(first), completed(second)) == (3, 3)


def test_a_loop_stays_on_one_pod_while_others_are_no_better(pods: Any, bell: QuantumCircuit) -> None:
    first, second, connection = pods
    sampler = SamplerV2(connection)
    for _ in range(6):
        sampler.run([bell]).result()
    assert sorted((completed(first), completed(second))) == [0, 6]


def test_the_busy_pod_is_passed_over(pods: Any, kit: Any, endless: QuantumCircuit, bell: QuantumCircuit) -> None:
    first, second, connection = pods
    stuck = SamplerV2(Connection(first.url)).run([endless])
    kit.until(lambda: first.info()["running"] == 1, "the first pod is busy")
    began = time.monotonic()
    SamplerV2(connection).run([bell]).result()
    assert completed(second) == 1
    assert time.monotonic() - began < 30
    stuck.cancel()


def test_a_pod_that_ends_loses_nothing(pods: Any, kit: Any) -> None:
    first, second, connection = pods
    jobs = [SamplerV2(connection).run([slow()], shots=5000) for _ in range(4)]
    kit.until(lambda: first.info()["running"] + second.info()["running"] == 2, "both pods are busy")
    first.process.kill()
    assert [job.result()[0].data.c.num_shots for job in jobs] == [5000] * 4
