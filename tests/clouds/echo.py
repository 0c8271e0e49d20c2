"""A server in the place of three vendors that repeats in its errors what it was sent, credentials included.

For Amazon Braket, the test vendor and a server of our own protocol: the device answers, and each request to begin a
task fails in another way, the last with a refusal.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.codec import pack
from tests.unit.backend.clouds import braket_documents as documents

BRAKET_DEVICE = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
FAILURES = ("unauthorized", "error", "malformed", "busy", "refused")
"""In this order."""
_STATUS = {"unauthorized": 403, "error": 500, "malformed": 200, "busy": 429, "refused": 400}


class Echo:
    """Where it is, and what it has answered."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answered: dict[str, list[str]] = defaultdict(list)
        """By who asked: ``braket``, ``vendor``, ``remote``; how requests failed."""
        self.greetings = 0
        """Of the link: it is up after two."""
        self.bodies = ""

    @property
    def all_failures_answered(self) -> bool:
        """Whether each of the three had each failure."""
        return sorted(self.answered) == ["braket", "remote", "vendor"] and all(
            len(each) >= len(FAILURES) for each in self.answered.values()
        )

    def fail(self, who: str) -> str:
        """Return how the next request fails."""
        seen = self.answered[who]
        seen.append(FAILURES[min(len(seen), len(FAILURES) - 1)])
        return seen[-1]


@contextlib.contextmanager
def echo() -> Iterator[Echo]:
    """Serve until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            content = self.rfile.read(length)
            heads = " ".join(f"{name}: {value}" for name, value in self.headers.items())
            if self.path.startswith("/v1/"):
                self._remote(heads)
            elif self.path.startswith("/device/arn"):
                self._reply(200, json.dumps(_BRAKET))
            elif self.path == "/device":
                self._reply(200, '{"online": true, "price": ["0.01", "USD"]}')
            elif self.path == "/find":
                self._reply(200, "{}")
            elif self.path in ("/quantum-task", "/tasks"):
                self._fail("braket" if self.path == "/quantum-task" else "vendor", heads)
            else:
                self._reply(404, json.dumps({"message": f"nothing at {self.path} {content!r} {heads}"}))

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def _fail(self, who: str, heads: str) -> None:
            how = server.echo.fail(who)
            words = f"{how} {heads}"
            if how == "malformed":
                self._reply(200, f"<html>{words}</html>")
                return
            code = {"unauthorized": "AccessDeniedException", "busy": "ThrottlingException"}.get(
                how, "ValidationException"
            )
            self._reply(_STATUS[how], json.dumps({"__type": code, "message": words, heads: heads}))

        def _remote(self, heads: str) -> None:
            if server.echo.greetings < 2:
                server.echo.greetings += 1
                self._reply(200, pack(_SERVER.to_dict()), "application/msgpack")
                return
            how = server.echo.fail("remote")
            if how == "malformed":
                self._reply(200, f"<html>{heads}</html>")
            else:
                refusal = {"error": {"code": "Unauthorized", "message": f"{how} {heads}"}}
                self._reply(_STATUS[how], pack(refusal), "application/msgpack")

        def _reply(self, status: int, body: str | bytes, kind: str = "application/json") -> None:
            data = body.encode() if isinstance(body, str) else body
            server.echo.bodies += data.decode("utf-8", "replace")
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        echo: Echo

    server = Server(("127.0.0.1", 0), Handler)
    server.echo = Echo(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.echo
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


_SERVER = BackendInfo("Aer 1", "Automatic", (), (), 5, 1000, None, 1, 0, 0, 10, draining=False)
_BRAKET = {
    "deviceArn": BRAKET_DEVICE,
    "deviceName": "SV1",
    "providerName": "Amazon Braket",
    "deviceType": "SIMULATOR",
    "deviceStatus": "ONLINE",
    "deviceCapabilities": json.dumps(documents.sv1()),
    "deviceQueueInfo": [],
}
