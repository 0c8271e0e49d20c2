"""An OpenTelemetry collector, as far as it takes traces by OTLP over HTTP in protobuf."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from qonverge.tracing.spans import Span


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def add(self, span: Span) -> None:
        self.spans.append(span)

    def samples(self, trace_id: str) -> bool:
        return True

    def close(self) -> None:
        """Nothing is left."""


@dataclass(frozen=True)
class Received:
    """A span as it arrived."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    kind: int
    attributes: dict[str, Any]
    events: tuple[str, ...]
    failed: bool


class Collector:
    """What arrived."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        """What it answers."""
        self.headers: list[dict[str, str]] = []
        self.raw = b""
        self._spans: list[Received] = []
        self._lock = threading.Lock()

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            self.headers.append(headers)
            if self.status != 200:
                return
            self.raw += body
            for resource in request.resource_spans:
                service = {each.key: _value(each.value) for each in resource.resource.attributes}["service.name"]
                for scope in resource.scope_spans:
                    self._spans += [_received(service, span) for span in scope.spans]

    @property
    def spans(self) -> list[Received]:
        with self._lock:
            return list(self._spans)

    def trace(self, identity: str) -> list[Received]:
        return [span for span in self.spans if span.trace == identity]


def _value(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value") or "string_value")


def _received(service: str, span: Any) -> Received:
    return Received(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.kind,
        {each.key: _value(each.value) for each in span.attributes},
        tuple(_value(each.value) for event in span.events for each in event.attributes),
        span.status.code == 2,
    )


@contextlib.contextmanager
def collecting(address: str = "127.0.0.1") -> Iterator[Collector]:
    """Run a collector at an address of this machine until the end of the block."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces", self.path
            assert self.headers["content-type"] == "application/x-protobuf"
            collector.take(body, {key.lower(): text for key, text in self.headers.items()})
            self.send_response(collector.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((address, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    collector.url = f"http://{address}:{server.server_address[1]}"
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
