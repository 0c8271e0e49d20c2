"""What an adapter of metrics does for an HPA: serves the operator's figures as ``external.metrics.k8s.io``."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography import x509

from e2e.cluster import ControlPlane
from e2e.cluster.commands import FRONT_PROXY
from e2e.cluster.credentials import write_server

_GROUP, _VERSION = "external.metrics.k8s.io", "v1beta1"
_GROUP_VERSION = f"{_GROUP}/{_VERSION}"
_NAME = f"{_VERSION}.{_GROUP}"
_ROOT = f"/apis/{_GROUP_VERSION}"


def serve_group(plane: ControlPlane, namespace: str, service: str, port: int) -> None:
    """Have the API server pass on requests for external metrics to a port of this machine.

    The server there needs a certificate of the control plane's authority for ``SERVICE.NAMESPACE.svc``.
    """
    authority = base64.b64encode(plane.layout.authority.read_bytes()).decode()
    objects = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": service, "namespace": namespace},
            # Endpoints may not be of the loopback interface.
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": _NAME},
            "spec": {
                "group": _GROUP,
                "version": _VERSION,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": authority,
                "service": {"namespace": namespace, "name": service, "port": port},
            },
        },
    ]
    plane.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def is_available(plane: ControlPlane) -> bool:
    """Return whether the API server reaches who serves external metrics."""
    condition = '{.status.conditions[?(@.type=="Available")].status}'
    return plane.kubectl("get", "apiservice", _NAME, f"--output=jsonpath={condition}") == "True"


class ExternalMetrics:
    """A server of one metric of one object, until the end of its block.

    Args:
        metric: the metric's name.
        of: value of the label ``name``, by which it is asked for.
        value: returns the figure, or None where it is not known.
    """

    def __init__(self, plane: ControlPlane, metric: str, of: str, value: Callable[[], float | None]) -> None:
        self._plane, self._metric, self._of, self._value = plane, metric, of, value

    def __enter__(self) -> ExternalMetrics:
        layout, service = self._plane.layout, "external-metrics"
        write_server(layout, service, service, datetime.now(UTC), [f"{service}.default.svc"])
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(layout.authority))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(layout.certificate(service), layout.key(service))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, name=service)
        self._thread.start()
        serve_group(self._plane, "default", service, self._server.server_address[1])
        return self

    def __exit__(self, *_: object) -> None:
        # Without its server it would keep clients from knowing what else there is.
        self._plane.kubectl("delete", "apiservice", _NAME)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, path: str) -> tuple[int, dict[str, Any]]:
        url = urllib.parse.urlsplit(path)
        if url.path == _ROOT:
            return 200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": _GROUP_VERSION, "resources": []}
        asked = urllib.parse.parse_qs(url.query).get("labelSelector")
        if url.path != f"{_ROOT}/namespaces/default/{self._metric}" or asked != [f"name={self._of}"]:
            return 404, {}
        items, value = [], self._value()
        # An HPA changes nothing where there is no item.
        if value is not None:
            item = {
                "metricName": self._metric,
                "metricLabels": {"name": self._of},
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "value": f"{round(value * 1000)}m",
            }
            items.append(item)
        return 200, {"kind": "ExternalMetricValueList", "apiVersion": _GROUP_VERSION, "items": items}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert isinstance(self.connection, ssl.SSLSocket)
                shown = self.connection.getpeercert(binary_form=True)
                assert shown is not None
                # Only the API server may name the caller.
                trusted = x509.load_der_x509_certificate(shown).subject.rfc4514_string() == f"CN={FRONT_PROXY}"
                status, content = answer(self.path) if trusted else (401, {})
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
