"""HTTP in front of an engine: a thin shell. The protocol is described in docs/protocol.md."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from qonverge.backend.http.answers import MSGPACK, SMALL, Held, Pieces, answer, speaks_msgpack
from qonverge.backend.http.caller_limits import Budget
from qonverge.backend.http.known_tasks import believed, sealed
from qonverge.backend.http.operations import OPERATIONS
from qonverge.backend.tasks.engine import Engine
from qonverge.backend.tasks.kept_results import KeptResults, room
from qonverge.backend.tasks.readings import link_readings
from qonverge.circuits.checker.checker import Checker
from qonverge.circuits.errors import CheckerLost, InvalidProgram
from qonverge.devices import Layout
from qonverge.documents import strict_json
from qonverge.documents.excerpt import excerpt
from qonverge.documents.faults import Unreadable
from qonverge.documents.reader import decoded
from qonverge.sites.peers import peers_from
from qonverge.sites.prober import BULK_BYTES, Prober
from qonverge.wire.codec import Buffer, unpack
from qonverge.wire.errors import (
    InvalidCircuit,
    InvalidTask,
    NotFound,
    TooLarge,
    TooSlow,
    WireError,
    WorkerLost,
    server_error,
)
from qonverge.wire.grants import Grant
from qonverge.wire.messages import Task, TaskResult
from qonverge.wire.proof import MOST_CHALLENGE, prove
from qonverge.wire.tokens import LOCAL_SUBJECT, OPERATOR_SUBJECT, Caller

MAX_BODY = 64 * 1024**2
MAX_HEAD = 8 * 1024**2
"""Of a body that is JSON, or of one in msgpack without its arrays: what is parsed takes many times its bytes."""
_MAX_JSON_ARRAYS = 8 * 1024**2
_BODIES_BYTES = 256 * 1024**2
_ANSWERS_BYTES = 512 * 1024**2
_BUDGET_SECONDS = 60.0
# A body may pause for so long, and comes at least at this rate, or is given up.
_PAUSE_SECONDS = 20.0
_SLOWEST_BYTES = 256 * 1024
_LONGEST_WAIT = 60.0
# For which an answer about readiness waits for the first worker: less than a probe waits for it.
_STARTING_SECONDS = 3.0
_LOCAL = Caller(LOCAL_SUBJECT)
_BULK = bytes(BULK_BYTES)

Handler = Callable[[Request], Awaitable[Response]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server proves of itself."""

    instance: str = ""
    """Its name: in a pod the pod's uid."""
    key: str = ""
    """Its backend's key; empty for a server that nobody asks for a proof."""


class Server:
    """The routes of one engine."""

    def __init__(
        self,
        engine: Engine,
        checker: Checker,
        verify: Callable[[str | None], Caller] | None,
        identity: Identity = Identity(),
    ) -> None:
        """``verify`` returns who a token is for; without it every caller is trusted: for loopback only."""
        self._identity = identity
        self._engine = engine
        self._checker = checker
        self._verify = verify
        self._bodies = Budget(_BODIES_BYTES, "the bodies of tasks")
        self._kept = KeptResults(room(engine.config.memory_bytes), time.monotonic)
        engine.metrics.kept_bytes.set_function(lambda: self._kept.nbytes)
        self._prober = Prober()
        engine.metrics.read_links_at_scrape(lambda: link_readings(self._prober.links()))
        self._answers = Budget(_ANSWERS_BYTES, "the large results")

    def close(self) -> None:
        """Measure no links any more."""
        self._prober.close()

    def app(self) -> Starlette:
        """Return the ASGI application."""
        handlers: dict[str, Handler] = {
            "post": self._post,
            "list": self._list,
            "get": self._get,
            "delete": self._delete,
            "delivered": self._delivered,
            "backend": self._backend,
            "drain": self._drain,
            "peers": self._peers,
            "bulk": self._give_bulk,
            "meters": self._meters,
            "kept": self._list_kept,
            "keep": self._keep,
            "fetch": self._fetch,
            "forget": self._forget,
            "end_run": self._end_run,
            "identity": self._prove,
            "healthz": self._healthz,
            "readyz": self._readyz,
            "metrics": self._metrics,
            "openapi": self._openapi,
        }
        routes = [
            Route(
                each.path,
                self._guard(handlers[each.handler]),
                methods=[each.method],
            )
            for each in OPERATIONS
        ]
        return Starlette(routes=routes, exception_handlers={404: _nowhere, 405: _nowhere})

    def _guard(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except WireError as error:
                return answer(request, {"error": error.to_dict()}, error.status)
            except ClientDisconnect:
                return Response(status_code=499)
            except Exception as error:  # a caller reads every error in the protocol's form, those of the server too
                logger.exception("%s %s failed", request.method, request.url.path)
                return answer(request, {"error": server_error(error).to_dict()}, WireError.status)

        return guarded

    def _subject(self, request: Request) -> str:
        return self._caller(request).subject

    def _caller(self, request: Request) -> Caller:
        """Return the caller that the request's token names.

        Raises:
            AccessEnded: a program whose account is closed.
            Unauthorized: the token is not good.
        """
        if self._verify is None:
            return _LOCAL
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        caller = self._verify(token if scheme.lower() == "bearer" else None)
        if (refusal := self._engine.accounts.refusal(caller)) is not None:
            raise refusal
        return caller

    async def _post(self, request: Request) -> Response:
        caller = self._caller(request)
        announced = _announced(request)
        async with contextlib.AsyncExitStack() as held:
            if announced is None or announced > SMALL:
                await held.enter_async_context(self._bodies.hold(announced or MAX_BODY, _BUDGET_SECONDS))
            body = await _body(request)
            if request.headers.get("content-type", "").startswith(MSGPACK):
                try:
                    task = Task.from_dict(unpack(body, most_head=MAX_HEAD))
                except ValueError as error:
                    raise InvalidTask(f"the body is {error}") from None
            else:
                task = await self._from_json(body)
            if not task.traceparent and (context := request.headers.get("traceparent")) is not None:
                task = replace(task, traceparent=context)
            self._engine.submit(believed(task, caller, self._identity.key), caller)
        return await self._stand(request, task.id, caller.subject)

    async def _list(self, request: Request) -> Response:
        tasks = self._engine.unfinished(self._subject(request))
        return answer(request, {"tasks": [task.to_dict() for task in tasks]})

    async def _get(self, request: Request) -> Response:
        return await self._stand(request, request.path_params["identity"], self._subject(request))

    async def _delete(self, request: Request) -> Response:
        identity, subject = request.path_params["identity"], self._subject(request)
        await self._engine.cancel(identity, subject)
        return await self._stand(request, identity, subject)

    async def _delivered(self, request: Request) -> Response:
        dropped = self._engine.delivered(request.path_params["identity"], self._subject(request))
        return answer(request, {"dropped": dropped})

    async def _backend(self, request: Request) -> Response:
        self._subject(request)
        return self._told(request)

    async def _given(self, request: Request, name: str) -> Any:
        """Return a field of the body; None where it has none."""
        body = await _body(request)
        try:
            given = unpack(body, most_head=MAX_HEAD) if speaks_msgpack(request) else json.loads(bytes(body) or b"{}")
        except ValueError as error:
            raise InvalidTask(f"the body cannot be read: {error}") from None
        return given.get(name) if isinstance(given, dict) else None

    async def _drain(self, request: Request) -> Response:
        self._only_operator(request, "drains")
        on = await self._given(request, "on")
        if not isinstance(on, bool):
            raise InvalidTask('the body is {"on": true} or {"on": false}')
        self._engine.set_draining(on)
        return self._told(request)

    async def _peers(self, request: Request) -> Response:
        # Who may name addresses can look for what answers there: not even a server that trusts its callers lets them.
        if self._subject(request) != OPERATOR_SUBJECT:
            raise NotFound("peers are the operator's")
        try:
            self._prober.aim(peers_from(await self._given(request, "peers")))
        except ValueError as error:
            raise InvalidTask(str(error)) from None
        return self._told(request)

    async def _give_bulk(self, _: Request) -> Response:
        # A server that no operator made has no peers, and may be where anybody could let it send for nothing.
        if not self._identity.key:
            raise NotFound("this server has no key, and so no peers that measure their links to it")
        return Response(_BULK, media_type="application/octet-stream")

    def _told(self, request: Request) -> Response:
        prober = self._prober
        info = replace(
            self._engine.info(),
            kept_results=len(self._kept),
            keeps_bytes=self._kept.share,
            peers=prober.digest,
            links=prober.links(),
        )
        if request.query_params.get("without") == "calibration":
            # A device's figures are some 100 KB, too much for who asks every few seconds.
            info = replace(info, calibration=None)
        return answer(request, info.to_dict())

    def _only_operator(self, request: Request, what: str) -> None:
        if self._subject(request) not in (OPERATOR_SUBJECT, _LOCAL.subject):
            raise NotFound(f"{what} are the operator's")

    async def _meters(self, request: Request) -> Response:
        self._only_operator(request, "meters")
        body = await _body(request)
        try:
            given = unpack(body, most_head=MAX_HEAD) if speaks_msgpack(request) else json.loads(bytes(body) or b"{}")
            grants = given.get("grants")
            read = None if grants is None else {str(name): Grant.from_dict(one) for name, one in grants.items()}
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
            raise InvalidTask(f"the grants cannot be read: {error}") from None
        meters = await self._engine.exchange(read, str(given.get("boot", "")))
        return answer(request, meters.to_dict())

    async def _end_run(self, request: Request) -> Response:
        self._only_operator(request, "attempts at programs")
        left = await self._engine.end_run(request.path_params["identity"])
        return answer(request, {"vendor_tasks": [task.to_dict() for task in left]})

    async def _list_kept(self, request: Request) -> Response:
        self._only_operator(request, "kept results")
        results, dropped = self._kept.listed()
        return answer(request, {"results": results, "dropped": dropped})

    async def _keep(self, request: Request) -> Response:
        self._only_operator(request, "kept results")
        namespace, seconds = request.query_params.get("namespace", ""), _seconds(request, "seconds")
        announced = _announced(request)
        async with self._bodies.hold(MAX_BODY if announced is None else announced, _BUDGET_SECONDS):
            data, displaces = bytes(await _body(request)), request.query_params.get("displaces") != "false"
            self._kept.put(request.path_params["identity"], namespace, data, seconds, displaces=displaces)
        return await self._list_kept(request)

    async def _fetch(self, request: Request) -> Response:
        self._only_operator(request, "kept results")
        return Pieces([self._kept.fetch(request.path_params["identity"])], 200, "application/octet-stream")

    async def _forget(self, request: Request) -> Response:
        self._only_operator(request, "kept results")
        self._kept.drop(request.path_params["identity"])
        return await self._list_kept(request)

    async def _prove(self, request: Request) -> Response:
        sent, own = request.query_params.get("challenge", ""), self._identity
        if not own.key:
            raise NotFound("this server has no key to prove itself by")
        if not 0 < len(sent) <= MOST_CHALLENGE:
            raise InvalidTask(f"challenge has {len(sent)} characters; expected 1 to {MOST_CHALLENGE}")
        return answer(request, {"instance": own.instance, "proof": prove(own.key, sent, own.instance)})

    async def _healthz(self, _: Request) -> Response:
        return Response("ok\n")

    async def _readyz(self, _: Request) -> Response:
        # A probe that comes early has its answer at the first moment, rather than when it asks next.
        await self._engine.started(_STARTING_SECONDS)
        if self._engine.closing:
            return Response("draining\n", 503)
        # One that takes no new tasks for a while serves those that it has, and clients of them have to reach it.
        if self._engine.ready:
            return Response("ok\n")
        info = self._engine.info()
        return Response(f"{info.device.reason if info.device else 'no worker can take a task'}\n", 503)

    async def _metrics(self, _: Request) -> Response:
        return Response(self._engine.metrics.exposition(), media_type="text/plain; version=0.0.4")

    async def _openapi(self, _: Request) -> Response:
        # Its models take as long to load as the rest of the server's HTTP, and few ask for them.
        from qonverge.backend.http.openapi import document

        return Response(json.dumps(document()), media_type="application/json")

    async def _stand(self, request: Request, identity: str, subject: str) -> Response:
        """Return how the task stands, when it has ended or the caller's time to wait is over."""
        size = (await self._engine.wait(identity, _wait(request), subject)).nbytes
        if size <= SMALL:
            result = await self._engine.wait(identity, 0, subject)
            return _stands(request, sealed(result, subject, self._identity.key))
        if not speaks_msgpack(request) and size > _MAX_JSON_ARRAYS:
            raise TooLarge(
                f"the result has {size} bytes of arrays, too many for JSON: ask for it by GET /v1/tasks/{identity} "
                f"with Accept: {MSGPACK}, or run the task again without memory or with fewer shots"
            )
        # While it waits for its turn, nothing here holds the result.
        held = contextlib.AsyncExitStack()
        await held.enter_async_context(self._answers.hold(size, _BUDGET_SECONDS))
        try:
            return Held(_stands(request, await self._engine.wait(identity, 0, subject)), held)
        except BaseException:
            await held.aclose()
            raise

    async def _from_json(self, body: Buffer) -> Task:
        """Return the task of a JSON body, whose circuits are OpenQASM text."""
        if len(body) > MAX_HEAD:
            raise TooLarge(f"JSON is read up to {MAX_HEAD} bytes: split the task, or send it in msgpack with arrays")
        try:
            data = strict_json.loads(decoded(bytes(body)))
        except Unreadable as error:
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
                name: next(iter(values), 0.0) if isinstance(values, list) else values for name, values in given.items()
            }
            observables = pub.get("observables") or []
            if not isinstance(observables, list):
                raise InvalidTask('observables is a list such as ["ZZ", {"XX": 0.5, "YY": 0.5}]')
            try:
                layout = None if pub.get("layout") is None else Layout.from_dict(pub["layout"])
            except ValueError as error:
                raise InvalidTask(str(error)) from None
            try:
                checked = await self._checker.check(pub["openqasm"], sample, observables, layout)
            except InvalidProgram as error:
                raise InvalidCircuit(str(error), line=error.line, column=error.column) from None
            except CheckerLost as error:
                raise WorkerLost(str(error)) from None
            for name in checked.fixed:
                if isinstance(given[name], list) and len(set(given[name])) > 1:
                    raise InvalidTask(
                        f"the circuit itself depends on the parameter {name}, which has several values: "
                        "send a pub for each"
                    )
            circuits[checked.digest] = checked.qpy
            laid_out = None if checked.layout is None else checked.layout.to_dict()
            given_by_check = {"circuit": checked.digest, "observables": checked.observables, "layout": laid_out}
            pubs.append({**pub, **given_by_check})
        identity = data.get("id", f"task-{secrets.token_hex(8)}")
        return Task.from_dict({**data, "id": identity, "pubs": pubs, "circuits": circuits})


async def _nowhere(request: Request, _: Exception) -> Response:
    message = f"{request.method} {request.url.path} is not served here: see docs/protocol.md"
    return answer(request, {"error": NotFound(message).to_dict()}, NotFound.status)


def _announced(request: Request) -> int | None:
    """Return the length that the request gives its body; None where it gives none."""
    text = request.headers.get("content-length")
    if text is None:
        return None if "transfer-encoding" in request.headers else 0
    if (length := int(text)) > MAX_BODY:
        raise _over()
    return length


def _over() -> TooLarge:
    return TooLarge(f"the body is over {MAX_BODY} bytes: split the task")


async def _body(request: Request) -> bytearray:
    # It grows in place: joining the pieces would need twice the memory.
    body = bytearray()
    now = asyncio.get_running_loop().time
    began = now()
    try:
        async with asyncio.timeout(_PAUSE_SECONDS) as limit:
            async for part in request.stream():
                if len(body) + len(part) > MAX_BODY:
                    raise _over()
                body += part
                limit.reschedule(began + _PAUSE_SECONDS + len(body) / _SLOWEST_BYTES)
    except TimeoutError:
        raise TooSlow(
            f"{len(body)} bytes of the body came within {now() - began:.0f} s: send at least {_SLOWEST_BYTES >> 10} "
            "KiB/s, or split the task"
        ) from None
    return body


def _wait(request: Request) -> float:
    return max(0.0, min(_LONGEST_WAIT, _seconds(request, "wait")))


def _seconds(request: Request, name: str) -> float:
    text = request.query_params.get(name, "0").removesuffix("s")
    try:
        return float(text)
    except ValueError:
        raise InvalidTask(f"{name} is {excerpt(text)}; give seconds, such as 20") from None


def _stands(request: Request, result: TaskResult) -> Response:
    return answer(request, result.to_dict(), 200 if result.done else 202)
