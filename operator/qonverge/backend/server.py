"""HTTP in front of an engine: a thin shell. The protocol is described in docs/protocol.md."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from qonverge.backend.engine import Engine
from qonverge.circuits.errors import CheckerLost, InvalidProgram
from qonverge.circuits.isolated import Checker
from qonverge.wire.codec import pack, unpack
from qonverge.wire.errors import InvalidCircuit, InvalidTask, NotFound, TooLarge, WireError, WorkerLost
from qonverge.wire.messages import Task, TaskResult

MSGPACK = "application/msgpack"
MAX_BODY = 64 * 1024**2
_LONGEST_WAIT = 60.0

Handler = Callable[[Request], Awaitable[Response]]


class Server:
    """The routes of one engine."""

    def __init__(self, engine: Engine, checker: Checker, verify: Callable[[str | None], str] | None) -> None:
        """``verify`` returns the subject of a token; without it every caller is trusted: for loopback only."""
        self._engine = engine
        self._checker = checker
        self._verify = verify

    def app(self) -> Starlette:
        """Return the ASGI application."""
        routes = [
            Route("/v1/tasks", self._guard(self._post), methods=["POST"]),
            Route("/v1/tasks", self._guard(self._list), methods=["GET"]),
            Route("/v1/tasks/{identity}", self._guard(self._get), methods=["GET"]),
            Route("/v1/tasks/{identity}", self._guard(self._delete), methods=["DELETE"]),
            Route("/v1/backend", self._guard(self._backend), methods=["GET"]),
            Route("/healthz", self._healthz, methods=["GET"]),
            Route("/readyz", self._readyz, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
        ]
        return Starlette(routes=routes, exception_handlers={404: _nowhere, 405: _nowhere})

    def _guard(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except WireError as error:
                return _answer(request, {"error": error.to_dict()}, error.status)
            except ClientDisconnect:
                return Response(status_code=499)

        return guarded

    def _subject(self, request: Request) -> str:
        if self._verify is None:
            return "local"
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self._verify(token if scheme.lower() == "bearer" else None)

    async def _post(self, request: Request) -> Response:
        subject = self._subject(request)
        body = await _body(request)
        if request.headers.get("content-type", "").startswith(MSGPACK):
            try:
                task = Task.from_dict(unpack(body))
            except ValueError as error:
                raise InvalidTask(f"the body is {error}") from None
        else:
            task = await self._from_json(body)
        self._engine.submit(task, subject)
        return self._stand(request, await self._engine.wait(task.id, _wait(request), subject))

    async def _list(self, request: Request) -> Response:
        tasks = self._engine.unfinished(self._subject(request))
        return _answer(request, {"tasks": [task.to_dict() for task in tasks]})

    async def _get(self, request: Request) -> Response:
        subject = self._subject(request)
        result = await self._engine.wait(request.path_params["identity"], _wait(request), subject)
        return self._stand(request, result)

    async def _delete(self, request: Request) -> Response:
        subject = self._subject(request)
        return self._stand(request, await self._engine.cancel(request.path_params["identity"], subject))

    async def _backend(self, request: Request) -> Response:
        self._subject(request)
        info = self._engine.info()
        if request.query_params.get("without") == "calibration":
            # A device's figures are some 100 KB, too much for who asks every few seconds.
            info = replace(info, calibration=None)
        return _answer(request, info.to_dict())

    async def _healthz(self, _: Request) -> Response:
        return Response("ok\n")

    async def _readyz(self, _: Request) -> Response:
        info = self._engine.info()
        if info.draining:
            return Response("draining\n", 503)
        return Response("ok\n") if self._engine.ready.is_set() else Response("no worker is ready yet\n", 503)

    async def _metrics(self, _: Request) -> Response:
        return Response(self._engine.metrics.exposition(), media_type="text/plain; version=0.0.4")

    def _stand(self, request: Request, result: TaskResult) -> Response:
        return _answer(request, result.to_dict(), 200 if result.done else 202)

    async def _from_json(self, body: bytes) -> Task:
        """Return the task of a JSON body, whose circuits are OpenQASM text."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InvalidTask(f"the body is not JSON: {error}") from None
        if not isinstance(data, dict) or not isinstance(data.get("pubs"), list):
            raise InvalidTask('the body is an object such as {"pubs": [{"openqasm": "...", "shots": 1024}]}')
        circuits: dict[str, bytes] = {}
        pubs = []
        for pub in data["pubs"]:
            if not isinstance(pub, dict) or not isinstance(pub.get("openqasm"), str):
                raise InvalidTask("each pub needs the circuit's text in openqasm")
            given = pub.get("parameters") or {}
            if not isinstance(given, dict):
                raise InvalidTask("parameters is an object: a number, or a list of numbers, for each name")
            # Names are checked with one value each; every value is checked with the task.
            sample = {
                name: values[0] if isinstance(values, list) and values else values for name, values in given.items()
            }
            observables = pub.get("observables") or []
            if not isinstance(observables, list):
                raise InvalidTask('observables is a list such as ["ZZ", {"XX": 0.5, "YY": 0.5}]')
            try:
                checked = await self._checker.check(pub["openqasm"], sample, observables)
            except InvalidProgram as error:
                raise InvalidCircuit(str(error), line=error.line, column=error.column) from None
            except CheckerLost as error:
                raise WorkerLost(str(error)) from None
            circuits[checked.digest] = checked.qpy
            pubs.append({**pub, "circuit": checked.digest, "observables": checked.observables})
        identity = data.get("id", f"task-{secrets.token_hex(8)}")
        return Task.from_dict({**data, "id": identity, "pubs": pubs, "circuits": circuits})


async def _nowhere(request: Request, _: Exception) -> Response:
    message = f"{request.method} {request.url.path} is not served here: see docs/protocol.md"
    return _answer(request, {"error": NotFound(message).to_dict()}, NotFound.status)


def _speaks_msgpack(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith(MSGPACK) or MSGPACK in request.headers.get("accept", "")


async def _body(request: Request) -> bytes:
    if int(request.headers.get("content-length") or 0) > MAX_BODY:
        raise TooLarge(f"the body is over {MAX_BODY} bytes: split the task")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise TooLarge(f"the body is over {MAX_BODY} bytes: split the task")
        parts.append(part)
    return b"".join(parts)


def _wait(request: Request) -> float:
    text = request.query_params.get("wait", "0").removesuffix("s")
    try:
        return max(0.0, min(_LONGEST_WAIT, float(text)))
    except ValueError:
        raise InvalidTask(f"wait is {text!r}; give seconds, such as 20") from None


def _answer(request: Request, value: dict[str, Any], status: int = 200) -> Response:
    if _speaks_msgpack(request):
        return Response(pack(value), status, media_type=MSGPACK)
    return Response(json.dumps(value, default=_plain) + "\n", status, media_type="application/json")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot travel as JSON")
