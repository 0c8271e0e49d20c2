"""What is recorded of a job's way, in the trace that follows from it."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.job import TRACEPARENT_ANNOTATION
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.job_spans import JobSpans, spans_of
from qonverge.controller.store.phases import AwaitingPlacement, Sent
from qonverge.controller.store.pods import Endpoint
from qonverge.scheduling import Decision
from qonverge.tracing.spans import SpanContext
from qonverge.wire.errors import WorkerLost
from qonverge.wire.messages import TaskResult
from tests.span_collector import Kept

CALLER = SpanContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
PLACED = "2026-01-01T00:00:10Z"


def job(annotation: str = "", *, program: str = "circuit", **status: Any) -> HybridJob:
    given = {"circuit": {"openqasm": "x"}} if program == "circuit" else {"python": {"source": "pass"}}
    annotations = {TRACEPARENT_ANNOTATION: annotation} if annotation else {}
    metadata = {"name": "j", "namespace": "chem", "uid": "uid-j", "annotations": annotations}
    return HybridJob.model_validate({"metadata": metadata, "spec": {"program": given}, "status": status})


def recorded(of: HybridJob) -> tuple[JobSpans, Kept]:
    sink = Kept()
    spans = spans_of(of, sink)
    assert spans is not None
    return spans, sink


def test_every_operator_has_the_same_spans_of_a_job_and_the_callers_trace_goes_on() -> None:
    (first, _), (second, _) = recorded(job()), recorded(job())
    assert first.scope.context == second.scope.context
    assert (first.task("t-1"), first.attempt(2)) == (second.task("t-1"), second.attempt(2))
    third, _ = recorded(job(CALLER.traceparent))
    assert third.trace_id == CALLER.trace_id != first.trace_id
    # What the status says holds, whatever is annotated later.
    fourth, _ = recorded(job(CALLER.traceparent, traceId=first.trace_id))
    assert fourth.scope.context == first.scope.context


def test_what_the_caller_does_not_record_is_not_recorded_here() -> None:
    assert spans_of(job(CALLER.traceparent[:-1] + "0"), Kept()) is None
    assert spans_of(job(), None) is None


def test_a_wait_for_a_place_has_the_reasons_that_were_news() -> None:
    spans, sink = recorded(job())
    flight = Flight("uid-j", 1, spans=spans)
    flight.await_placement()
    for reason in ("aer is busy for 3 s", "aer is busy for 2 s", "the quota is used up"):
        flight.propose(Decision("chem/j", None, reason), (), tried_at=1.0)
    assert isinstance(flight.phase, AwaitingPlacement)
    flight.launch(Decision("chem/j", None, "aer is free"), 0.0)
    (place,) = sink.spans
    assert [event.attributes["qonverge.reason"] for event in place.events] == [
        "aer is busy for 3 s",
        "the quota is used up",
    ]
    # Another attempt waits anew.
    flight.await_placement()
    flight.launch(Decision("chem/j", None, "aer is free"), 0.0)
    assert [span.events for span in sink.spans[1:]] == [()]


@pytest.mark.parametrize("lost", [True, False])
def test_a_task_that_was_sent_is_told_of_with_where_it_ran(lost: bool) -> None:
    spans, sink = recorded(job())
    sent = Sent("t-1", Endpoint("uid", "lab/pod-0", "lab/aer-qb", "http://10.0.0.7:8080"), "lab/aer", 100.0)
    spans.sent(sent, TaskResult("t-1", "Failed", error=WorkerLost("cx q[0]")) if lost else None)
    (span,) = sink.spans
    assert (span.context, span.parent, span.start) == (spans.task("t-1"), spans.scope.context, 100.0)
    assert span.error == ("WorkerLost" if lost else "")
    assert span.attributes == {
        "qonverge.task.id": "t-1",
        "qonverge.task.state": "Failed" if lost else "Cancelled",
        "qonverge.backend": "lab/aer",
        "k8s.pod.name": "pod-0",
        "server.address": "10.0.0.7",
        "server.port": 8080,
    }


@pytest.mark.parametrize("again", [True, False])
def test_an_attempt_at_a_program_ends_with_the_job_or_with_the_next_one(again: bool) -> None:
    running = job(program="python", state="Running", attempts=1, backend="aer", pod="j-1", placedAt=PLACED)
    spans, sink = recorded(running)
    spans.written(running.status, running.status, 0.0)
    assert sink.spans == []
    change: dict[str, Any] = {"attempts": 2, "state": "Placed", "reason": "Placed"}
    end = {"state": "Failed", "reason": "OOMKilled", "completed_at": "2026-01-01T00:01:00Z"}
    after: HybridJobStatus = running.status.model_copy(update=change if again else end)
    spans.written(running.status, after, 0.0)
    attempt = sink.spans[0]
    assert (attempt.name, attempt.context, attempt.start) == ("program", spans.attempt(1), 1767225610.0)
    assert attempt.attributes["k8s.pod.name"] == "j-1"
    assert [span.name for span in sink.spans[1:]] == ([] if again else ["result", "HybridJob"])
    assert again or [span.error for span in sink.spans] == ["OOMKilled", "", "OOMKilled"]
