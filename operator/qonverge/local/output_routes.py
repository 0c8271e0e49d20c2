"""What a program of the embedded mode keeps, over HTTP as in a cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from qonverge.storage.job_output import InvalidPath, JobOutput, OutputFull
from qonverge.storage.objects import NoObject, StoreFailed

_Find = Callable[[Request], JobOutput | None]
_Handler = Callable[[JobOutput, Request], Awaitable[Response]]


def routes(base: str, find: _Find) -> list[Route]:
    """Return the routes below a path; ``find`` returns what the program keeps that asks, None for anybody else."""
    single = base + "/{path:path}"
    return [
        Route(base, partial(_answered, _list, find), methods=["GET"]),
        Route(single, partial(_answered, _put, find), methods=["PUT"]),
        Route(single, partial(_answered, _get, find), methods=["GET"]),
        Route(single, partial(_answered, _delete, find), methods=["DELETE"]),
    ]


async def _answered(handler: _Handler, find: _Find, request: Request) -> Response:
    kept = find(request)
    if kept is None:
        return Response("no program of this run keeps anything here\n", 404)
    try:
        return await handler(kept, request)
    except InvalidPath as error:
        return Response(f"{error}\n", 400)
    except NoObject as error:
        return Response(f"{error}\n", 404)
    except OutputFull as error:
        return Response(f"{error}\n", 413)
    except StoreFailed as error:
        return Response(f"{error}\n", 503)


async def _list(kept: JobOutput, request: Request) -> Response:
    return JSONResponse(await kept.sizes(request.query_params.get("folder", "")))


async def _put(kept: JobOutput, request: Request) -> Response:
    return JSONResponse({"bytes": await kept.put(request.path_params["path"], request.stream())})


async def _get(kept: JobOutput, request: Request) -> Response:
    content = await kept.get(request.path_params["path"])
    return StreamingResponse(content.pieces, headers={"content-length": str(content.size)})


async def _delete(kept: JobOutput, request: Request) -> Response:
    await kept.delete(request.path_params["path"])
    return Response(status_code=204)
