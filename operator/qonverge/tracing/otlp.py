"""Sends spans to an OpenTelemetry collector, by the SDK's exporter. Imported only where spans are recorded."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision

from qonverge import __version__
from qonverge.tracing.spans import Attributes, Span, SpanContext

_CLOSE_SECONDS = 1.0
# They tell of each try and each span; what matters of it is said here once.
_TALKATIVE = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal")

logger = logging.getLogger(__name__)


class _OwnIds(IdGenerator):
    """Gives the ids of the span that this thread is about to record."""

    def __init__(self) -> None:
        self._next = threading.local()

    def prepare(self, context: SpanContext) -> None:
        self._next.context = context

    def generate_span_id(self) -> int:
        context: SpanContext = self._next.context
        return int(context.span_id, 16)

    def generate_trace_id(self) -> int:
        context: SpanContext = self._next.context
        return int(context.trace_id, 16)


class _SaysOnce(SpanExporter):
    """An exporter that says when the receiver is away, and when it is back."""

    def __init__(self, inner: SpanExporter, endpoint: str) -> None:
        self._inner, self._endpoint = inner, endpoint
        self.failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self.failing:
            logger.warning("no spans arrive at %s: they are dropped until it takes them again", self._endpoint)
        elif self.failing and not failing:
            logger.warning("spans arrive at %s again", self._endpoint)
        self.failing = failing
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


class OtlpSink:
    """Spans on their way to a collector, in batches, from a thread of its own."""

    def __init__(self, service: str, attributes: Attributes, endpoint: str) -> None:
        """Take what else there is to set from the environment, as the SDK does.

        Args:
            service: name of this process, where the environment has none.
            attributes: of this process.
            endpoint: for messages.
        """
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        own: dict[str, str | int | float] = {"host.name": socket.gethostname(), "service.version": __version__}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            own[SERVICE_NAME] = service
        known = {key: value for key, value in attributes.items() if value}
        self._ids = _OwnIds()
        self._exporter = _SaysOnce(OTLPSpanExporter(), endpoint)
        self._processor = BatchSpanProcessor(self._exporter)
        # The process ends by ``close``, which waits for a moment only.
        self._provider = TracerProvider(
            id_generator=self._ids, resource=Resource.create(own | known), shutdown_on_exit=False
        )
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("qonverge", __version__)

        self._closing, self._flushed = threading.Event(), threading.Event()
        # Begun now: while the interpreter ends, no thread can be.
        threading.Thread(target=self._flush_at_close, name="qonverge-spans", daemon=True).start()

    def samples(self, trace_id: str) -> bool:
        """Return what the sampler of ``OTEL_TRACES_SAMPLER`` says of a trace that begins here."""
        sampler = self._provider.sampler
        decision = sampler.should_sample(None, int(trace_id, 16), "HybridJob").decision
        return decision is not Decision.DROP

    def add(self, span: Span) -> None:
        """Take a span; where too many wait, the oldest are dropped."""
        try:
            self._add(span)
        except Exception:
            # What it is about goes on.
            logger.exception("a span %s is not recorded", span.name)

    def _add(self, span: Span) -> None:
        parent = None if span.parent is None else trace.NonRecordingSpan(_sdk_context(span.parent))
        self._ids.prepare(span.context)
        made = self._tracer.start_span(
            span.name,
            context=trace.set_span_in_context(parent or trace.INVALID_SPAN),
            kind=trace.SpanKind[span.kind],
            attributes=_given(span.attributes),
            start_time=_nanoseconds(span.start),
        )
        for event in span.events:
            made.add_event(event.name, _given(event.attributes), _nanoseconds(event.at))
        if span.error:
            made.set_attribute("error.type", span.error)
            made.set_status(trace.StatusCode.ERROR)
        made.end(_nanoseconds(span.end))

    def close(self) -> None:
        """Send what is left, for a second at most, and at once where the receiver was away."""
        if not self._exporter.failing:
            self._closing.set()
            self._flushed.wait(_CLOSE_SECONDS)
        # Ends what waits for another try.
        self._exporter.shutdown()

    def flush(self) -> None:
        """Send what is left, and return when it has arrived or was dropped."""
        self._processor.force_flush()

    def _flush_at_close(self) -> None:
        self._closing.wait()
        self.flush()
        self._flushed.set()


def _sdk_context(context: SpanContext) -> trace.SpanContext:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if context.sampled else trace.TraceFlags.DEFAULT)
    return trace.SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote=False, trace_flags=flags)


def _given(attributes: Attributes) -> dict[str, str | int | float | bool]:
    return {key: value for key, value in attributes.items() if value is not None}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
