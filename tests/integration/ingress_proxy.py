"""A proxy that does what an Ingress says, as an ingress controller does, and nothing else."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import urllib3

_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class IngressProxy(ThreadingHTTPServer):
    """Ends TLS for the hosts of an Ingress, and passes requests below its paths on."""

    daemon_threads = True

    def __init__(self, ingress: Mapping[str, Any], certificate: Path, services: Mapping[tuple[str, Any], str]) -> None:
        """Listen at a free port.

        Args:
            ingress: ``networking.k8s.io/v1`` object, whose paths are all of the type Prefix.
            certificate: folder with ``tls.crt`` and ``tls.key``, as the Secret that the Ingress names has.
            services: URLs by the names of a Service and of its port.
        """
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pool = urllib3.PoolManager(retries=False)
        self.passed: list[str] = []
        """Paths that were asked for and passed on."""
        self.refused: list[str] = []
        """Paths that were asked for and that no rule is about."""
        self._rules = ingress["spec"]["rules"]
        self._services = services
        (encrypted,) = ingress["spec"]["tls"]
        assert {rule["host"] for rule in self._rules} <= set(encrypted["hosts"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "tls.crt", certificate / "tls.key")
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    @contextlib.contextmanager
    def serving(self) -> Iterator[IngressProxy]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self.serve_forever, name="ingress")
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()

    def target(self, host: str, path: str) -> str | None:
        """Return the URL of the Service that a request is for; None where no rule is about it."""
        for rule in self._rules:
            if rule["host"] != host:
                continue
            for each in rule["http"]["paths"]:
                assert each["pathType"] == "Prefix"
                if f"{path}/".startswith(f"{each['path']}/"):
                    service = each["backend"]["service"]
                    return self._services.get((service["name"], service["port"]["name"]))
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: IngressProxy

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path, host = self.path.partition("?")[0], self.headers["host"].partition(":")[0]
        if (target := self.server.target(host, path)) is None:
            self.server.refused.append(path)
            self._answer(404, {}, b"no rule is about it")
            return
        self.server.passed.append(path)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_CONNECTION}
        answer = self.server.pool.request(
            self.command, f"{target}{self.path}", body=body or None, headers=headers, decode_content=False, timeout=120
        )
        self._answer(answer.status, answer.headers, answer.data)

    do_GET = do_POST = do_DELETE = _pass  # noqa: N815 - the base class sets the names

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _OF_THE_CONNECTION:
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
