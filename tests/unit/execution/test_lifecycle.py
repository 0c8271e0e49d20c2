"""A job's status from step to step."""

from __future__ import annotations

from qonverge.api import HybridJobStatus
from qonverge.execution.transitions import complete, fail, move, seconds, timestamp
from qonverge.programs import circuit as circuits
from qonverge.wire.messages import PubResult, TaskResult


def truths(status: HybridJobStatus) -> dict[str, str]:
    return {condition.type: condition.status for condition in status.conditions}


def test_conditions_follow_the_state_and_keep_their_times() -> None:
    placed = move(HybridJobStatus(), "Placed", reason="Placed", message="aer", now=10, generation=1)
    running = move(placed, "Running", reason="Running", message="", now=20, generation=1)
    done = complete(running, now=30, generation=1, message="done")
    assert truths(placed) == {"Placed": "True", "Ready": "False", "Reconciling": "True"}
    assert truths(done) == {"Placed": "True", "Running": "False", "Complete": "True", "Ready": "True"}
    times = {condition.type: seconds(condition.last_transition_time) for condition in done.conditions}
    assert times == {"Placed": 10, "Running": 30, "Complete": 30, "Ready": 30}
    assert done.completed_at == timestamp(30) == "1970-01-01T00:00:30Z"
    assert done.progress == "100%"


def test_a_failed_job_is_stalled_for_kstatus() -> None:
    failed = fail(HybridJobStatus(), reason="InvalidProgram", message="line 1", now=5, generation=2)
    assert truths(failed)["Stalled"] == "True"
    assert truths(failed)["Failed"] == "True"
    assert (failed.state, failed.reason, failed.observed_generation) == ("Failed", "InvalidProgram", 2)


def test_resuming_shows_that_a_job_is_no_longer_suspended() -> None:
    held = move(HybridJobStatus(), "Suspended", reason="Suspended", message="", now=1, generation=1)
    again = move(held, "Pending", reason="Waiting", message="", now=2, generation=2)
    assert truths(again)["Suspended"] == "False"


def test_provenance_names_the_engine_that_was_chosen() -> None:
    chosen = PubResult(method="stabilizer", engine="Stim 1.16.0")
    assert (
        circuits.provenance("text", TaskResult("t", "Completed", (chosen,), engine="Automatic (...)")).engine
        == "Stim 1.16.0"
    )
    own = PubResult(method="statevector")
    assert circuits.provenance("text", TaskResult("t", "Completed", (own,), engine="Aer 0.18")).engine == "Aer 0.18"


def test_provenance_says_why_the_method_and_whether_the_result_is_an_earlier_one() -> None:
    pub = PubResult(counts=({"0": 1},), shots=1, method="stabilizer", reason="all gates are Clifford, on 40 qubits")
    fresh = circuits.provenance("text", TaskResult("t", "Completed", (pub,), seed=1))
    assert (fresh.method, fresh.method_reason, fresh.cached) == (
        "stabilizer",
        "all gates are Clifford, on 40 qubits",
        None,
    )
    again = circuits.provenance("text", TaskResult("t", "Completed", (pub,), seed=1, cached=True)).to_dict()
    assert again["methodReason"] == "all gates are Clifford, on 40 qubits"
    assert again["cached"] is True
