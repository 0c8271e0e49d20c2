"""An HTTP server on loopback that answers as a test tells it to, and remembers what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.codec import pack

_SIMULATOR = BackendInfo("Aer 1", "Automatic", (), (), 5, 1000, None, 1, 0, 0, 10, draining=False)


@dataclass(frozen=True)
class Received:
    """A request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Peer:
    """The other end: ``answer`` decides what each request gets, as (status, content type, body) or None to hang up."""

    port: int
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], tuple[int, str, bytes] | None] = lambda _: (204, "text/plain", b"")
    headers: dict[str, str] = field(default_factory=dict)
    """What each answer has besides."""
    info: BackendInfo = _SIMULATOR
    """What it says of itself before it is sent a task, which no test has to answer or to count."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def peer() -> Iterator[Peer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            chunked = self.headers.get("transfer-encoding") == "chunked"
            body = self._chunks() if chunked else self.rfile.read(int(self.headers.get("content-length") or 0))
            request = Received(
                self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body
            )
            answer: tuple[int, str, bytes] | None
            if self.path == "/v1/backend?without=calibration":
                answer = (200, "application/msgpack", pack(made.info.to_dict()))
            else:
                made.received.append(request)
                answer = made.answer(request)
            if answer is None:
                self.close_connection = True
                return
            status, kind, content = answer
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_DELETE = do_PUT = do_POST  # noqa: N815  # as above

        def _chunks(self) -> bytes:
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made = Peer(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()
