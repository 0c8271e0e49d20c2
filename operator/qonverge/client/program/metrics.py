"""A program's metrics: what its process asked of backends and what it reported, in Prometheus' text format."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

from qonverge.client.program.reports import latest
from qonverge.client.transport.usage_counts import COUNTS
from qonverge.telemetry import ProgramMetrics, Reading
from qonverge.telemetry import definitions as names

_PATIENCE_SECONDS = 5.0


def answer(connection: socket.socket, peer: Any) -> None:
    """Answer one request; one that is none, or does not come, is passed over."""
    with contextlib.suppress(OSError):
        _Answer(connection, peer, None)  # type: ignore[arg-type]  # it asks nothing of a server


class _Answer(BaseHTTPRequestHandler):
    timeout = _PATIENCE_SECONDS

    def do_GET(self) -> None:
        known = self.path.partition("?")[0] == "/metrics"
        body = _METRICS.exposition() if known else b"metrics are at /metrics\n"
        self.send_response(200 if known else 404)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing: the log is the program's."""


def _readings() -> Iterator[Reading]:
    counts = COUNTS.read()
    yield from (Reading(names.PROGRAM_TASKS, number, (state,)) for state, number in counts.ended.items())
    yield Reading(names.PROGRAM_TASKS_UNDER_WAY, counts.under_way)
    yield Reading(names.PROGRAM_WAITS, counts.waits)
    yield Reading(names.PROGRAM_WAIT_SECONDS, counts.wait_seconds)
    yield Reading(names.PROGRAM_TASK_SECONDS, counts.task_seconds)
    yield Reading(names.PROGRAM_QUEUE_SECONDS, counts.queue_seconds)
    yield Reading(names.PROGRAM_RUN_SECONDS, counts.run_seconds)
    yield Reading(names.PROGRAM_SHOTS, counts.shots)
    yield Reading(names.PROGRAM_SENT_BYTES, counts.sent_bytes)
    yield Reading(names.PROGRAM_RECEIVED_BYTES, counts.received_bytes)
    progress, metrics, reported = latest()
    if progress is not None:
        yield Reading(names.PROGRAM_PROGRESS, progress)
    if reported is not None:
        yield Reading(names.PROGRAM_REPORTED, reported)
    yield from (Reading(names.PROGRAM_METRIC, value, (name,)) for name, value in metrics.items())


_METRICS = ProgramMetrics(_readings)
