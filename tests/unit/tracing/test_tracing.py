"""Contexts that travel, what is recorded, and an exporter whose receiver is away."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qonverge.tracing.otlp import OtlpSink
from qonverge.tracing.setup import span_sink
from qonverge.tracing.spans import SpanContext, SpanScope, spanning, trace_id_of
from tests.span_collector import Kept, collecting

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        # Of a later version what is known of it is read.
        (f"cc-{TRACE}-{SPAN}-01-what-will-be", True),
    ],
)
def test_a_context_is_read_as_the_recommendation_says(text: str, sampled: bool) -> None:
    assert SpanContext.parse(text) == SpanContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"cc-{TRACE}-{SPAN}-01-{'x' * 1000}",
    ],
)
def test_a_context_that_is_none_is_passed_over(text: str) -> None:
    assert SpanContext.parse(text) is None


def test_named_spans_are_the_same_in_every_process_and_others_are_not() -> None:
    root = SpanContext(trace_id_of("uid"), SPAN)
    assert root.named("uid", "task", "1") == SpanContext(trace_id_of("uid"), SPAN).named("uid", "task", "1")
    ids = {root.named("uid", "task", "1").span_id, root.named("uid", "task1").span_id, root.child().span_id}
    assert len(ids) == 3
    assert SpanContext.parse(root.traceparent) == root


def test_a_block_is_a_span_and_its_failure_is_told_by_name_only() -> None:
    sink, times = Kept(), iter((1.0, 2.5))
    scope = SpanScope(sink, SpanContext(TRACE, SPAN), lambda: next(times))
    with pytest.raises(ValueError, match="cx q"), spanning(scope, "translate", kind="CLIENT") as opened:
        opened.attributes["qonverge.cloud.task.id"] = "t-1"
        raise ValueError("cx q[0], q[1]")
    (span,) = sink.spans
    assert opened.scope is not None
    assert (span.parent, span.context) == (scope.context, opened.scope.context)
    assert (span.start, span.end, span.kind, span.error) == (1.0, 2.5, "CLIENT", "ValueError")
    assert span.attributes == {"qonverge.cloud.task.id": "t-1"}


def test_without_an_endpoint_nothing_is_recorded_and_nothing_imported() -> None:
    code = (
        "import sys, qonverge.controller.operator, qonverge.backend.serving, qonverge.client.program.run\n"
        "from qonverge.client.transport.program_spans import PROGRAM\n"
        "from qonverge.tracing.setup import span_sink\n"
        "assert PROGRAM.begin() is None and span_sink('x') is None\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env={}).returncode == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
    ],
)
def test_the_variables_of_the_sdk_turn_it_off(name: str, value: str) -> None:
    assert span_sink("x", environment={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", name: value}) is None


def _sink(monkeypatch: pytest.MonkeyPatch, url: str) -> OtlpSink:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    sink = span_sink("test")
    assert isinstance(sink, OtlpSink)
    return sink


def test_a_receiver_that_refuses_is_told_of_once_and_its_return_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with collecting() as collector:
        sink = _sink(monkeypatch, collector.url)
        scope = SpanScope(sink, SpanContext(TRACE, SPAN))
        for status in (400, 400, 200, 200):
            collector.status = status
            scope.record("one", 1.0, 2.0, attributes={"qonverge.none": None, "qonverge.attempt": 2}, error="Lost")
            sink.flush()
        sink.close()
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == [
        f"no spans arrive at {collector.url}: they are dropped until it takes them again",
        f"spans arrive at {collector.url} again",
    ]
    first, _ = collector.spans
    assert (first.trace, first.parent, first.service, first.failed) == (TRACE, SPAN, "test", True)
    assert (first.start, first.end) == (10**9, 2 * 10**9)
    assert first.attributes == {"qonverge.attempt": 2, "error.type": "Lost"}


@pytest.mark.parametrize(
    ("ending", "code", "error"), [("raise ValueError('cx q[0]')", 1, "ValueError"), ("sys.exit(3)", 3, "SystemExit")]
)
def test_the_span_of_a_program_that_fails_has_its_error(tmp_path: Path, ending: str, code: int, error: str) -> None:
    """By its name alone."""
    file = tmp_path / "program.py"
    file.write_text(f"import sys\n{ending}\n")
    with collecting() as collector:
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        command = [sys.executable, "-m", "qonverge.client.program.run", str(file)]
        assert subprocess.run(command, check=False, env=environment, stderr=subprocess.DEVNULL).returncode == code
    (span,) = collector.spans
    assert (span.name, span.failed, span.attributes["error.type"]) == ("program", True, error)
    assert b"cx q" not in collector.raw


def test_more_spans_than_a_receiver_that_is_away_leaves_room_for_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody listens there; each try would last for an hour.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    sink = _sink(monkeypatch, "http://127.0.0.1:1")
    scope = SpanScope(sink, SpanContext(TRACE, SPAN))
    for _ in range(100):
        scope.record("one", 1.0, 2.0)
    sink.close()


def test_a_part_of_the_traces_is_recorded_and_the_same_ones_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    first, second = (_sink(monkeypatch, "http://127.0.0.1:1") for _ in range(2))
    ids = [trace_id_of(str(number)) for number in range(200)]
    taken = [each for each in ids if first.samples(each)]
    assert 60 < len(taken) < 140
    assert taken == [each for each in ids if second.samples(each)]
