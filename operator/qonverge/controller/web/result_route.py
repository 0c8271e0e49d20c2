"""Gives large results and files over HTTP, on a port of its own, to which everybody is let: nothing else is there."""

from __future__ import annotations

import contextlib
import zlib
from functools import partial

from aiohttp import web

from qonverge.controller.results.job_outputs import JobOutputs
from qonverge.controller.results.kept_results import PodResults
from qonverge.controller.web.output_routes import given
from qonverge.storage.job_output import FILES, RESULT, InvalidPath, JobOutput
from qonverge.storage.objects import NoObject, StoreFailed
from qonverge.wire.errors import NotFound, WireError

_WITH_GZIP_HEADER = 31


def result_app(results: PodResults, outputs: JobOutputs) -> web.Application:
    """Return the application that gives what jobs have in other places than their status."""
    app = web.Application()
    app.router.add_get("/v1/jobs/{namespace}/{name}/result", partial(_give, results))
    base = "/v1/jobs/{namespace}/{name}/output"
    app.router.add_get(base + "/result", partial(_give_stored, outputs))
    app.router.add_get(base + "/files", partial(_list_files, outputs))
    app.router.add_get(base + "/files/{path:.+}", partial(_give_file, outputs))
    return app


async def _give_stored(outputs: JobOutputs, request: web.Request) -> web.StreamResponse:
    """Answer with a job's result from its store, in JSON."""
    return await _from_store(outputs, request, RESULT)


async def _give_file(outputs: JobOutputs, request: web.Request) -> web.StreamResponse:
    """Answer with one of a job's files."""
    return await _from_store(outputs, request, FILES + request.match_info["path"])


async def _from_store(outputs: JobOutputs, request: web.Request, path: str) -> web.StreamResponse:
    try:
        what, media = ("result", "application/json") if path == RESULT else ("files", "application/octet-stream")
        return await given(request, await _kept(outputs, request, what).get(path), media)
    except (NotFound, NoObject, InvalidPath) as error:
        return web.Response(text=f"{error}\n", status=404)
    except StoreFailed as error:
        return web.Response(text=f"{error}\n", status=503)


async def _list_files(outputs: JobOutputs, request: web.Request) -> web.StreamResponse:
    """Answer with the sizes of a job's files in bytes, by their paths."""
    try:
        return web.json_response(await _kept(outputs, request, "files").sizes(FILES))
    except NotFound as error:
        return web.Response(text=f"{error}\n", status=404)
    except StoreFailed as error:
        return web.Response(text=f"{error}\n", status=503)


def _kept(outputs: JobOutputs, request: web.Request, what: str) -> JobOutput:
    key = f"{request.match_info['namespace']}/{request.match_info['name']}"
    return outputs.find(key, what, request.query.get("key", ""))


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
