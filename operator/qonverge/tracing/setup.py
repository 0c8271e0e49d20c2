"""Whether spans are recorded, from the environment variables of OpenTelemetry's SDK."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping

from qonverge.tracing.spans import Attributes, SpanSink

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
TRACES_HEADERS = "OTEL_EXPORTER_OTLP_TRACES_HEADERS"
TRACEPARENT = "TRACEPARENT"
"""Of a program: the span that it belongs to."""
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def recorded(sink: SpanSink | None) -> Iterator[SpanSink | None]:
    """Give where spans go, and send what is left at the end of the block."""
    try:
        yield sink
    finally:
        if sink is not None:
            sink.close()


def span_sink(
    service: str, attributes: Attributes | None = None, environment: Mapping[str, str] | None = None
) -> SpanSink | None:
    """Return where spans go; None where no endpoint is set, or they cannot be sent, which is logged.

    Args:
        service: what this process is, unless ``OTEL_SERVICE_NAME`` says another name.
        attributes: what else is known of it.
        environment: variables; None: those of this process. The exporter reads its further ones itself.
    """
    given = os.environ if environment is None else environment
    endpoint = given.get(TRACES_ENDPOINT) or given.get(ENDPOINT)
    off = given.get("OTEL_SDK_DISABLED", "").lower() == "true" or given.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    if not endpoint or off:
        return None
    for name in _PROTOCOLS:
        if (protocol := given.get(name)) is not None:
            if protocol == _PROTOCOL:
                break
            logger.warning("%s is %s: no spans are sent, since that is done by %s only", name, protocol, _PROTOCOL)
            return None
    try:
        from qonverge.tracing.otlp import OtlpSink
    except ModuleNotFoundError as error:
        logger.warning("no spans are sent to %s: %s is missing, install qonverge[tracing]", endpoint, error.name)
        return None
    return OtlpSink(service, attributes or {}, endpoint)
