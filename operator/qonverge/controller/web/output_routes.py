"""Takes what programs keep in their jobs' stores, and gives it back to them: any replica can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from aiohttp import web

from qonverge.api import HybridJob
from qonverge.controller.kube.client import KubeError
from qonverge.controller.results.job_outputs import JobOutputs
from qonverge.controller.web.callers import Callers
from qonverge.queueing import Turns
from qonverge.storage.job_output import InvalidPath, JobOutput, OutputFull
from qonverge.storage.objects import Content, NoObject, StoreFailed
from qonverge.wire.errors import Unauthorized

_PIECE_BYTES = 256 * 1024
# Each has two parts of an upload in memory.
_MOST_UPLOADS = 8
_SILENT_SECONDS = 60.0
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class OutputRoutes:
    """The routes, for the present attempts of jobs."""

    def __init__(self, callers: Callers, outputs: JobOutputs) -> None:
        """``callers`` are those that may ask."""
        self._callers = callers
        self._outputs = outputs
        self._uploads = Turns(_MOST_UPLOADS, most=_MOST_UPLOADS // 2)

    def add_to(self, app: web.Application) -> None:
        """Serve them."""
        base = "/v1/jobs/{namespace}/{name}/output"
        app.router.add_get(base, partial(_answered, self._list), allow_head=False)
        app.router.add_put(base + "/{path:.+}", partial(_answered, self._put))
        app.router.add_get(base + "/{path:.+}", partial(_answered, self._get), allow_head=False)
        app.router.add_delete(base + "/{path:.+}", partial(_answered, self._delete))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(await self._kept(self._callers.job(request)).sizes(request.query.get("folder", "")))

    async def _put(self, request: web.Request) -> web.StreamResponse:
        job = self._callers.job(request)
        kept = self._kept(job)
        await self._outputs.hold(job)
        async with self._uploads.turn(request.match_info["namespace"], 1.0):
            size = await kept.put(request.match_info["path"], _body(request))
        return web.json_response({"bytes": size})

    async def _get(self, request: web.Request) -> web.StreamResponse:
        return await given(request, await self._kept(self._callers.job(request)).get(request.match_info["path"]))

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        await self._kept(self._callers.job(request)).delete(request.match_info["path"])
        return web.Response(status=204)

    def _kept(self, job: HybridJob) -> JobOutput:
        """Return what a job keeps.

        Raises:
            LookupError: there is no store for it.
        """
        kept = self._outputs.of(job)
        if kept is None:
            raise LookupError("the installation has no store for the job's output")
        return kept


async def given(
    request: web.Request, content: Content, media_type: str = "application/octet-stream"
) -> web.StreamResponse:
    """Answer with an object, a piece at a time."""
    response = web.StreamResponse(headers={"content-type": media_type, "cache-control": "no-store"})
    response.content_length = content.size
    await response.prepare(request)
    try:
        async for piece in content.pieces:
            await response.write(piece)
    except StoreFailed:
        # What was sent is not all of it, which a caller must not take for the end.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


async def _answered(handler: _Handler, request: web.Request) -> web.StreamResponse:
    """Carry a request out, and say in a sentence what went wrong."""
    try:
        return await handler(request)
    except InvalidPath as error:
        return _refusal(400, error)
    except Unauthorized as error:
        return _refusal(401, error)
    except PermissionError as error:
        return _refusal(403, error)
    except (LookupError, NoObject) as error:
        return _refusal(404, error)
    except OutputFull as error:
        return _refusal(413, error)
    except (StoreFailed, KubeError, ConnectionResetError) as error:
        return _refusal(503, error)


def _refusal(status: int, error: Exception) -> web.Response:
    response = web.Response(text=f"{error.args[0] if error.args else error}\n", status=status)
    # The rest of a body that is not read is not the next request.
    response.force_close()
    return response


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    pieces = aiter(request.content.iter_chunked(_PIECE_BYTES))
    while True:
        try:
            # Whoever sends nothing must not keep others waiting.
            async with asyncio.timeout(_SILENT_SECONDS):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ConnectionResetError(f"nothing came for {_SILENT_SECONDS:g} s") from None
        yield piece
