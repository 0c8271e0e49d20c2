"""How pods learn where spans go: the variables of OpenTelemetry's SDK. Pure."""

from __future__ import annotations

from typing import Any

from qonverge.controller.settings import Settings
from qonverge.tracing import setup

_HEADERS = "otlp-headers"


def secret_data(settings: Settings) -> dict[str, str]:
    """Return what a pod's Secret has of it: headers, which may hold a token."""
    return {_HEADERS: settings.otlp_headers} if settings.exports_spans and settings.otlp_headers else {}


def variables(settings: Settings, secret: str) -> list[dict[str, Any]]:
    """Return the variables of a container; ``secret`` is the name of that Secret."""
    if not settings.exports_spans:
        return []
    addresses = {setup.ENDPOINT: settings.otlp_endpoint, setup.TRACES_ENDPOINT: settings.otlp_traces_endpoint}
    found: list[dict[str, Any]] = [{"name": name, "value": url} for name, url in addresses.items() if url]
    if secret_data(settings):
        reference = {"name": secret, "key": _HEADERS}
        found.append({"name": setup.HEADERS, "valueFrom": {"secretKeyRef": reference}})
    return found
