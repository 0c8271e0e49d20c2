"""Gives kept results over HTTP, on a port of its own: everybody is let to it, so nothing else may be there."""

from __future__ import annotations

import contextlib
import zlib
from functools import partial

from aiohttp import web

from qonverge.controller.results.kept_results import PodResults
from qonverge.wire.errors import WireError

_WITH_GZIP_HEADER = 31


def result_app(results: PodResults) -> web.Application:
    """Return the application that gives kept results."""
    app = web.Application()
    app.router.add_get("/v1/jobs/{namespace}/{name}/result", partial(_give, results))
    return app


async def _give(results: PodResults, request: web.Request) -> web.StreamResponse:
    """Answer with a job's kept result in JSON, compressed where the caller takes that.

    Any replica can: it needs the job's status and the pod.
    """
    key = f"{request.match_info['namespace']}/{request.match_info['name']}"
    packed = "gzip" in request.headers.get("accept-encoding", "")
    unpacker = zlib.decompressobj(_WITH_GZIP_HEADER)
    response = web.StreamResponse(headers={"content-type": "application/json", "cache-control": "no-store"})
    if packed:
        response.headers["content-encoding"] = "gzip"
    try:
        async with contextlib.aclosing(results.fetched(key, request.query.get("key", ""))) as pieces:
            async for piece in pieces:
                if not response.prepared:
                    await response.prepare(request)
                await response.write(piece if packed else unpacker.decompress(piece))
        await response.write_eof(b"" if packed else unpacker.flush())
        return response
    except WireError as error:
        if not response.prepared:
            return web.Response(text=f"{error.message}\n", status=error.status)
        # What was sent is not all of it, which a caller must not take for the end.
        if request.transport is not None:
            request.transport.abort()
        return response
