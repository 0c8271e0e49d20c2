"""The result cache of a real server: within a namespace, marked, and off by default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qonverge.client import EstimatorV2, SamplerV2
from qonverge.client.transport.connection import Connection
from qonverge.wire.messages import TaskResult
from qonverge.wire.tokens import OPERATOR_SUBJECT


@pytest.fixture(scope="module")
def caching(kit: Any) -> Iterator[Any]:
    with kit.serving("--concurrency", "1", "--result-cache", str(2**20)) as running:
        yield running


def outcome(answer: Any) -> tuple[bool, Any]:
    result = TaskResult.from_dict(answer.body)
    assert result.state == "Completed"
    return result.cached, result.results[0].counts


def test_a_repeated_task_comes_from_the_cache_and_says_so(caching: Any, kit: Any, bell: QuantumCircuit) -> None:
    done = caching.metric("qonverge_backend_run_seconds_count")
    first = outcome(caching.send(kit.task(bell, "first", seed=3, shots=1000), subject="chem/a"))
    second = outcome(caching.send(kit.task(bell, "second", seed=3, shots=1000), subject="chem/b"))
    assert (first[0], second[0]) == (False, True)
    assert first[1] == second[1]
    assert caching.metric("qonverge_backend_run_seconds_count") == done + 1
    assert caching.ask("GET", "/v1/tasks/second", subject="chem/b").body["cached"] is True


def test_another_seed_or_no_seed_runs(caching: Any, kit: Any, bell: QuantumCircuit) -> None:
    for number, seed in enumerate((21, 22, None, None)):
        answer = caching.send(kit.task(bell, f"seed-{number}", seed=seed, shots=1000), subject="chem/a")
        assert not outcome(answer)[0]


def test_a_namespace_sees_no_other_ones_results(caching: Any, kit: Any, bell: QuantumCircuit) -> None:
    assert not outcome(caching.send(kit.task(bell, "n1", seed=5, shots=100), subject="chem/a"))[0]
    assert not outcome(caching.send(kit.task(bell, "n2", seed=5, shots=100), subject="bio/a"))[0]
    assert outcome(caching.send(kit.task(bell, "n3", seed=5, shots=100), subject="bio/b"))[0]


def test_the_operator_asks_for_namespaces(caching: Any, kit: Any, bell: QuantumCircuit) -> None:
    from dataclasses import replace

    def send(identity: str, namespace: str, subject: str) -> bool:
        task = replace(kit.task(bell, identity, seed=6, shots=100), namespace=namespace)
        return outcome(caching.send(task, subject=subject))[0]

    assert not send("o1", "chem", OPERATOR_SUBJECT)
    assert send("o2", "chem", OPERATOR_SUBJECT)
    assert not send("o3", "bio", OPERATOR_SUBJECT)
    assert not send("o4", "", OPERATOR_SUBJECT)
    # A program may not take another namespace's by naming it.
    assert not send("o5", "chem", "evil/job")
    assert send("o6", "evil", "chem/job")


def test_programs_see_that_a_result_is_an_earlier_one(caching: Any, bell: QuantumCircuit) -> None:
    connection = Connection(caching.url, lambda: caching.token("lab/program"))
    sampler, estimator = SamplerV2(connection, seed=8), EstimatorV2(connection)
    plain = QuantumCircuit(2)
    plain.h(0)
    for turn in (False, True):
        metadata = sampler.run([bell]).result()[0].metadata
        assert metadata.get("cached", False) is turn
        metadata = estimator.run([(plain, SparsePauliOp("IX"))]).result()[0].metadata
        assert metadata.get("cached", False) is turn


def test_nothing_is_kept_by_default(backend: Any, kit: Any, bell: QuantumCircuit) -> None:
    for number in range(2):
        assert not outcome(backend.send(kit.task(bell, f"default-{number}", seed=3, shots=1000)))[0]
