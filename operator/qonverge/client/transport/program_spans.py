"""The span of this process, as far as it is a program, and those of the tasks that it sends."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from qonverge.tracing.setup import TRACEPARENT, span_sink
from qonverge.tracing.spans import Span, SpanContext, SpanScope, SpanSink, spanning
from qonverge.wire.messages import Task


class ProgramSpan:
    """The span of a process, from when it is begun to its end."""

    def __init__(self) -> None:
        """Record nothing yet."""
        self._lock = threading.Lock()
        self._begun = False
        self._scope: SpanScope | None = None
        self._error = ""

    def fail(self, error: str) -> None:
        """Record that the process fails, and why: the name of an error."""
        self._error = error

    def begin(self) -> SpanScope | None:
        """Begin the span where that is not done, and return what spans of tasks belong to; None: none are recorded."""
        with self._lock:
            if not self._begun:
                self._begun = True
                sink = span_sink("qonverge-program", {"qonverge.job": os.environ.get("QONVERGE_JOB")})
                self._scope = None if sink is None else self._first(sink)
            return self._scope

    def _first(self, sink: SpanSink) -> SpanScope | None:
        parent = SpanContext.parse(os.environ.get(TRACEPARENT, ""))
        own = SpanContext.new() if parent is None else parent.child()
        if not (sink.samples(own.trace_id) if parent is None else parent.sampled):
            sink.close()
            return None
        start = time.time()

        def end() -> None:
            sink.add(Span("program", own, parent, start, time.time(), error=self._error))
            sink.close()

        atexit.register(end)
        return SpanScope(sink, own)


PROGRAM = ProgramSpan()
"""This process's."""


@contextlib.contextmanager
def sending(task: Task) -> Iterator[Task]:
    """Give the task as it is to be sent, with the span that is recorded of it until the end of the block."""
    scope, ambient = PROGRAM.begin(), _ambient()
    if scope is not None and ambient is not None and ambient.sampled:
        scope = replace(scope, context=ambient)
    with spanning(scope, "task", kind="CLIENT") as span:
        span.attributes["qonverge.task.id"] = task.id
        given = span.traceparent or ("" if ambient is None else ambient.traceparent)
        yield replace(task, traceparent=given) if given else task


def _ambient() -> SpanContext | None:
    """Return the span that the program itself has open, where it uses OpenTelemetry."""
    if (trace := sys.modules.get("opentelemetry.trace")) is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return SpanContext(f"{context.trace_id:032x}", f"{context.span_id:016x}", bool(context.trace_flags.sampled))
