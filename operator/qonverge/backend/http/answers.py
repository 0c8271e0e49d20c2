"""How answers travel: in msgpack or JSON, and large ones in pieces."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from qonverge.backend.http.caller_limits import PIECE_BYTES
from qonverge.wire.codec import Buffer, parts

MSGPACK = "application/msgpack"
SMALL = 1024**2
"""Bodies and answers above this are counted: all that are on their way together have so much memory."""


def speaks_msgpack(request: Request) -> bool:
    """Return whether the request comes in msgpack, or asks for it."""
    return request.headers.get("content-type", "").startswith(MSGPACK) or MSGPACK in request.headers.get("accept", "")


def answer(request: Request, value: dict[str, Any], status: int = 200) -> Response:
    """Return an answer in the form that the request asks for."""
    if speaks_msgpack(request):
        buffers = parts(value)
        if sum(len(buffer) for buffer in buffers) <= SMALL:
            return Response(b"".join(buffers), status, media_type=MSGPACK)
        return Pieces(buffers, status)
    return Response(json.dumps(value, default=_plain) + "\n", status, media_type="application/json")


class Pieces(Response):
    """An answer of several buffers, which are sent as they are, a piece at a time."""

    def __init__(self, buffers: Sequence[Buffer], status: int, media_type: str = MSGPACK) -> None:
        """Keep the buffers until they are sent."""
        super().__init__(None, status, media_type=media_type)
        self._buffers = buffers
        self.headers["content-length"] = str(sum(len(buffer) for buffer in buffers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for buffer in self._buffers:
            view = memoryview(buffer)
            for begin in range(0, len(view), PIECE_BYTES):
                body = view[begin : begin + PIECE_BYTES]
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Held(Response):
    """An answer that gives back what it held when it is sent, or its caller is gone."""

    def __init__(self, answer: Response, held: contextlib.AsyncExitStack) -> None:
        """``held`` is closed at the end."""
        super().__init__(None, answer.status_code)
        self._answer = answer
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        async with self._held:
            await self._answer(scope, receive, send)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot travel as JSON")
