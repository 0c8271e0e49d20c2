"""A server on this machine that answers as it is told, and keeps what it was asked."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Request:
    method: str
    target: str
    """As it was sent: path and query."""
    body: Any
    authorization: str
    token: str

    @property
    def path(self) -> str:
        """The target, without the escapes of URLs."""
        return unquote(self.target)

    @property
    def place(self) -> str:
        """The path alone, without a query."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)


@dataclass
class Service:
    """What the server answers, and what it was asked."""

    url: str
    answer: Callable[[Request], tuple[int, Any] | None] = lambda request: (200, {})
    """Gives the status and the body; None: the connection is closed without an answer."""
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)


@contextmanager
def answering() -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            data = self.rfile.read(int(self.headers.get("content-length") or 0))
            body = json.loads(data) if data.startswith(b"{") else data.decode()
            heads = (self.headers.get("authorization", ""), self.headers.get("x-amz-security-token", ""))
            request = Request(self.command, self.path, body, *heads)
            state.requests.append(request)
            given = state.answer(request)
            if given is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, answer = given
            content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**state.headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Service(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()
