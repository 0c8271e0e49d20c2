"""The span of a task on this server."""

from __future__ import annotations

from dataclasses import dataclass

from qonverge.backend.executors.protocol import Request
from qonverge.tracing.spans import Attributes, Span, SpanContext, SpanScope, SpanSink
from qonverge.wire.messages import Task, TaskResult
from qonverge.wire.tokens import OPERATOR_SUBJECT


@dataclass(frozen=True, slots=True)
class TaskSpans:
    """A task's span, which is recorded at its end, and what it belongs to."""

    scope: SpanScope
    parent: SpanContext | None
    """The caller's; None: the trace begins here."""

    @classmethod
    def of(cls, task: Task, sink: SpanSink | None) -> TaskSpans | None:
        """Return the span of a task that comes in; None where none is to be recorded."""
        if sink is None:
            return None
        parent = SpanContext.parse(task.traceparent)
        own = SpanContext.new() if parent is None else parent.child()
        recorded = sink.samples(own.trace_id) if parent is None else parent.sampled
        return cls(SpanScope(sink, own), parent) if recorded else None

    def ended(self, request: Request, result: TaskResult, *, since: float, ran: float | None) -> None:
        """Record that the task has ended just now.

        Args:
            request: it.
            result: how it ended.
            since: seconds since it came in.
            ran: seconds since it began to run; None where it did not.
        """
        now, scope = self.scope.clock(), self.scope
        began = now if ran is None else now - ran
        scope.record("queue", now - since, began)
        if ran is not None:
            scope.record("run", began, now)
        error = "" if result.error is None else result.error.code
        known = _attributes(request, result)
        scope.sink.add(Span("task", scope.context, self.parent, now - since, now, "SERVER", known, error=error))


def _attributes(request: Request, result: TaskResult) -> Attributes:
    subject, task = request.caller.subject, request.task
    job = f"{task.namespace}/{task.job}" if subject == OPERATOR_SUBJECT and task.job else None
    return {
        "qonverge.task.id": task.id,
        "qonverge.task.state": result.state,
        "qonverge.job": job or (subject if request.caller.run else None),
        "qonverge.engine": result.engine or None,
        "qonverge.result.cached": result.cached,
    }
