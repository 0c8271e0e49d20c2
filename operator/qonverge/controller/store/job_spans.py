"""The spans of one job, which are the same ones in every operator that looks after it.

The trace follows from the job's uid, or from the caller's span that an annotation names, and so do the ids of the spans
that others belong to. So what one operator has sent goes on in the trace that its successor ends.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.conditions import seconds
from qonverge.api.job import TRACEPARENT_ANNOTATION
from qonverge.controller.store.phases import Sent
from qonverge.programs.kinds import kind_of
from qonverge.scheduling.model import Decision
from qonverge.tracing.spans import Event, Span, SpanContext, SpanScope, SpanSink, trace_id_of
from qonverge.wire.messages import TaskResult

_MOST_EVENTS = 32
_NUMBER = re.compile(r"[0-9]+")
_BEGUN = ("Placed", "Running")


class JobSpans:
    """What is recorded of one job."""

    def __init__(self, job: HybridJob, scope: SpanScope, parent: SpanContext | None) -> None:
        """Use ``spans_of``."""
        self._job, self.scope, self._parent = job, scope, parent
        self._asked: float | None = None
        self._said: list[Event] = []

    @property
    def trace_id(self) -> str:
        """The trace's id, as the job's status has it."""
        return self.scope.context.trace_id

    def task(self, identity: str) -> SpanContext:
        """Return the span of a task that is sent to a backend."""
        return self.scope.context.named(self._job.metadata.uid, "task", identity)

    def attempt(self, number: int) -> SpanContext:
        """Return the span of an attempt at a program."""
        return self.scope.context.named(self._job.metadata.uid, "attempt", number)

    def ask(self) -> None:
        """Begin to wait for a place."""
        self._asked = self._asked or self.scope.clock()

    def say(self, reason: str) -> None:
        """Take what a round said of the job that waits; figures that change with every round are no news."""
        last = str(self._said[-1].attributes["qonverge.reason"]) if self._said else ""
        if self._asked is not None and _NUMBER.sub("#", last) != _NUMBER.sub("#", reason):
            del self._said[: len(self._said) - _MOST_EVENTS + 1]
            self._said.append(Event("round", self.scope.clock(), {"qonverge.reason": reason}))

    def place(self, decision: Decision) -> None:
        """Record that the wait for a place is over."""
        if self._asked is not None:
            known = {"qonverge.backend": None if decision.backend is None else decision.backend.key}
            self.scope.record("place", self._asked, self.scope.clock(), attributes=known, events=tuple(self._said))
        self._asked, self._said = None, []

    def sent(self, sent: Sent, result: TaskResult | None) -> None:
        """Record how a task ended that was sent to a pod; None: it was taken back."""
        where = urlsplit(sent.endpoint.url)
        known = {
            "qonverge.task.id": sent.identity,
            "qonverge.task.state": "Cancelled" if result is None else result.state,
            "qonverge.backend": sent.backend_key,
            "k8s.pod.name": sent.endpoint.key.rpartition("/")[2],
            "server.address": where.hostname,
            "server.port": where.port,
        }
        error = "" if result is None or result.error is None else result.error.code
        now, own = self.scope.clock(), self.task(sent.identity)
        self.scope.record("task", sent.at, now, context=own, kind="CLIENT", attributes=known, error=error)

    def written(self, before: HybridJobStatus, after: HybridJobStatus, begun: float) -> None:
        """Record what has ended by a status that was written, and before which there was another.

        ``begun`` is when the operator began to write it, Unix seconds.
        """
        now, job = self.scope.clock(), self._job
        over = after.state not in _BEGUN or after.attempts != before.attempts
        if kind_of(job).calls_backends and before.state in _BEGUN and before.placed_at is not None and over:
            self._attempt_ended(before, after, now)
        if after.completed_at is None or before.completed_at is not None:
            return
        self.scope.record("result", begun, now)
        metadata = job.metadata
        created = now if metadata.creation_timestamp is None else seconds(metadata.creation_timestamp)
        known = {
            "k8s.namespace.name": metadata.namespace,
            "qonverge.job.name": metadata.name,
            "qonverge.job.uid": metadata.uid,
            "qonverge.job.state": after.state,
            "qonverge.job.attempts": after.attempts,
            "qonverge.backend": after.backend,
        }
        error = (after.reason or "Failed") if after.state == "Failed" else ""
        own = self.scope.context
        self.scope.sink.add(Span("HybridJob", own, self._parent, created, now, attributes=known, error=error))

    def _attempt_ended(self, before: HybridJobStatus, after: HybridJobStatus, now: float) -> None:
        number = before.attempts or 1
        known = {
            "k8s.namespace.name": self._job.metadata.namespace,
            "k8s.pod.name": after.pod or before.pod,
            "qonverge.attempt": number,
            "qonverge.backend": before.backend,
        }
        error = "" if after.state == "Complete" else after.reason or after.state
        begun = seconds(before.placed_at or "")
        self.scope.record("program", begun, now, context=self.attempt(number), attributes=known, error=error)


def spans_of(job: HybridJob, sink: SpanSink | None) -> JobSpans | None:
    """Return what is to be recorded of a job; None where nothing is."""
    if sink is None:
        return None
    metadata, told = job.metadata, job.status.trace_id
    parent = SpanContext.parse(metadata.annotations.get(TRACEPARENT_ANNOTATION, ""))
    if told is not None and parent is not None and parent.trace_id != told:
        # The annotation came when the trace had begun.
        parent = None
    trace_id = told or (trace_id_of(metadata.uid) if parent is None else parent.trace_id)
    if not (sink.samples(trace_id) if parent is None else parent.sampled):
        return None
    root = SpanContext(trace_id, "0" * 16).named(metadata.uid, "job")
    return JobSpans(job, SpanScope(sink, root), parent)
