"""Placement: where jobs go, and the sentence that says why."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from qonverge.amounts import format_bytes
from qonverge.api.base import LabelSelector
from qonverge.scheduling import Backend, Decision, Job, Needs, Snapshot, plan

AER = Backend("aer", "lab", admits_all_namespaces=True, memory_bytes=2**31)
JOB = Job("chem/bell", "chem", created=1.0, needs=Needs(2, 1024, True, 64))


def one(job: Job, *backends: Backend) -> Decision:
    (decision,) = plan(Snapshot((job,), backends, now=0.0)).decisions
    return decision


def test_the_shortest_queue_wins_and_ties_go_by_name() -> None:
    busy, idle = replace(AER, name="busy", load=3.0), replace(AER, name="idle")
    decision = one(JOB, busy, idle, replace(idle, name="idler"))
    assert decision.backend == idle
    assert decision.reason == (
        "lab/idle is the best of 3 that fit: fidelity not known; next is lab/idler: fidelity not known"
    )


def test_jobs_of_one_round_spread() -> None:
    backends = (AER, replace(AER, name="bee"))
    jobs = tuple(replace(JOB, key=f"chem/{n}", created=n) for n in range(4))
    decisions = plan(Snapshot(jobs, backends, 0.0)).decisions
    placed = [decision.backend.name for decision in decisions if decision.backend]
    assert placed == ["aer", "bee", "aer", "bee"]
    assert [decision.expected_start for decision in decisions] == [0.0, 0.0, 1.0, 1.0]


def test_a_circuit_that_can_never_fit_is_impossible_with_the_numbers() -> None:
    wide = replace(JOB, needs=Needs(40, 1, False, 16 << 40))
    decision = one(wide, AER)
    assert decision.impossible
    assert decision.reason == ("lab/aer has 2 GiB for a circuit and a statevector of 40 qubits needs 16 TiB")
    assert one(replace(JOB, needs=Needs(40, 1, True, 16 << 40)), AER).backend == AER
    assert one(replace(JOB, needs=Needs(20, 1, False, 16 << 20)), replace(AER, method="DensityMatrix")).impossible


def test_limits() -> None:
    assert one(JOB, replace(AER, max_qubits=1)).reason == "lab/aer takes 1 qubits and the circuit has 2"
    assert one(JOB, replace(AER, max_shots=5)).reason == "lab/aer takes 5 shots and the job asks for 1024"


def test_what_may_change_is_waited_for() -> None:
    stopped = replace(AER, serving=False, not_serving_reason="0 of 1 pods serve")
    full = replace(AER, name="full", room=0)
    decision = one(JOB, stopped, full)
    assert not decision.impossible
    assert decision.reason == (
        "2 of 2 backends rejected: lab/aer is not ready: 0 of 1 pods serve; lab/full's queue is full"
    )


def test_names_namespaces_and_selectors() -> None:
    private = Backend("aer", "chem", admits_all_namespaces=False)
    assert one(replace(JOB, backend_name="aer"), AER, private).backend == private
    assert one(replace(JOB, backend_name="aer", backend_namespace="lab"), AER, private).backend == AER
    foreign = replace(private, namespace="other")
    assert "does not admit jobs from namespace chem" in one(replace(JOB, backend_name="aer"), foreign).reason
    assert one(replace(JOB, backend_name="x"), AER).reason == "waiting for a QuantumBackend named x; there are lab/aer"
    selector = LabelSelector.model_validate({"matchLabels": {"tier": "edge"}})
    edge = replace(AER, name="edge", labels={"tier": "edge"})
    assert one(replace(JOB, backend_selector=selector), AER, edge).backend == edge
    assert one(replace(JOB, backend_selector=selector), AER).reason == (
        "waiting for a QuantumBackend with labels tier=edge; there are lab/aer"
    )
    assert one(JOB).reason == "waiting for a QuantumBackend: there is none that this namespace may use"


backends = st.lists(
    st.builds(
        Backend,
        name=st.sampled_from("abc"),
        namespace=st.sampled_from(["chem", "lab"]),
        admits_all_namespaces=st.booleans(),
        serving=st.booleans(),
        load=st.floats(0, 10),
        room=st.none() | st.integers(0, 2),
        max_qubits=st.none() | st.integers(1, 5),
    ),
    max_size=6,
    unique_by=lambda backend: backend.key,
)
jobs = st.lists(
    st.builds(
        Job,
        key=st.uuids().map(str),
        namespace=st.sampled_from(["chem", "bio"]),
        created=st.floats(0, 9),
        needs=st.none() | st.integers(1, 6).map(lambda n: Needs(n, 1, False, 16 << n)),
    ),
    max_size=6,
    unique_by=lambda job: job.key,
)


@settings(deadline=None)
@given(jobs, backends)
def test_no_hard_term_is_broken(waiting: list[Job], there: list[Backend]) -> None:
    snapshot = Snapshot(tuple(waiting), tuple(there), 0.0)
    decisions = plan(snapshot).decisions
    assert decisions == plan(snapshot).decisions
    assert {decision.job for decision in decisions} == {job.key for job in waiting}
    by_key = {job.key: job for job in waiting}
    for decision in decisions:
        assert decision.reason
        if (chosen := decision.backend) is not None:
            job = by_key[decision.job]
            assert chosen.serving
            assert chosen.admits_all_namespaces or chosen.namespace == job.namespace
            assert job.needs is None or chosen.max_qubits is None or job.needs.num_qubits <= chosen.max_qubits
    for backend in there:
        taken = sum(1 for decision in decisions if decision.backend and decision.backend.key == backend.key)
        assert backend.room is None or taken <= backend.room


def test_sizes_for_people() -> None:
    assert [format_bytes(size) for size in (1, 2048, 3 * 2**29, 2**70)] == ["1 B", "2 KiB", "1.5 GiB", "1024 EiB"]
    assert format_bytes(16 << 1000) == "2^1004 B"
