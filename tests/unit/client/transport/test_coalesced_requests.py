"""A small request leaves in one piece."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.client.transport.coalesced_requests import one_piece_pool


class Socket:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(bytes(data))

    def settimeout(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("body", "pieces"), [(None, 1), (b"", 1), (b"abc", 1), (b"x" * 10**6, 2)])
def test_head_and_body_leave_together_unless_the_body_is_large(body: bytes | None, pieces: int) -> None:
    pool: Any = one_piece_pool(1).connection_from_url("http://127.0.0.1:1")
    connection, wire = pool._get_conn(), Socket()
    connection.sock = wire
    for _ in range(2):
        connection.request("POST", "/v1/tasks", body, {"accept": "x"})
        assert len(wire.sent) == pieces
        whole = b"".join(wire.sent)
        assert whole.startswith(b"POST /v1/tasks HTTP/1.1\r\n")
        assert whole.endswith(b"\r\n\r\n" + (body or b""))
        wire.sent.clear()
        # As when the answer was read.
        connection._HTTPConnection__state = "Idle"
