"""What the operator serves: health, metrics, and the programs' reports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from qonverge.controller.jobs.reconciler import Jobs
from qonverge.controller.kube.client import KubeError
from qonverge.controller.kube.lease import Election
from qonverge.controller.placement.traces import Traces
from qonverge.controller.web.input_routes import InputRoutes
from qonverge.controller.web.output_routes import OutputRoutes
from qonverge.documents.reports import INTERVAL_HEADER
from qonverge.environment import host_and_port
from qonverge.execution import reports
from qonverge.execution.result_room import MAX_RESULT
from qonverge.telemetry import OperatorMetrics
from qonverge.wire.errors import Unauthorized
from qonverge.wire.tokens import Caller

# What JSON escapes may take several times the room that it takes in a status.
_MAX_REPORT = 3 * MAX_RESULT
_REPORT = "report"
_PASSED_ON = "x-qonverge-passed-on"
# What passes with a request from one replica to another.
_HEADERS = ("authorization", "content-type")
# And with the answer.
_TOLD = ("content-type", INTERVAL_HEADER)
_LEADER_TIMEOUT = aiohttp.ClientTimeout(total=8, sock_connect=2)


def health_app(problem: Callable[[], str | None], metrics: OperatorMetrics, traces: Traces) -> web.Application:
    """Return the application for probes, scrapes and traces; ``problem`` says what keeps the operator from its work."""

    async def healthz(_: web.Request) -> web.Response:
        # That this answers shows that the loop turns; watches that fail are restarted from within.
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        text = problem()
        return web.Response(text="ok\n") if text is None else web.Response(text=text + "\n", status=503)

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"content-type": "text/plain; version=0.0.4"})

    async def trace(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/x-ndjson"})
        await response.prepare(request)
        for line in traces.lines():
            await response.write(line.encode())
        return response

    app = web.Application()
    app.router.add_get("/trace", trace)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", exposition)
    return app


def report_app(
    jobs: Jobs,
    verify: Callable[[str, str | None], Caller],
    election: Election,
    others: Iterable[OutputRoutes | InputRoutes],
) -> web.Application:
    """Return the application that takes reports and output of programs, and gives them inputs.

    ``verify`` returns whom a token is for; ``others`` are routes that any replica answers.

    A replica that does not lead passes reports on to the one that does: the Service has all replicas behind it.
    """

    async def report(request: web.Request) -> web.Response:
        key = f"{request.match_info['namespace']}/{request.match_info['name']}"
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            caller = verify(key, token)
            if caller.subject != key:
                return web.Response(text="the token is another job's\n", status=403)
        except Unauthorized as error:
            return web.Response(text=f"{error}\n", status=401)
        try:
            answer = await reports.answer(await request.read(), partial(jobs.report, key, caller))
        except KubeError as error:
            return web.Response(text=f"{error}\n", status=503)
        headers = {INTERVAL_HEADER: f"{answer.interval:g}"} if answer.interval else {}
        return web.Response(text=answer.text or None, status=answer.status, headers=headers)

    passing_on = _PassingOn(election)
    app = web.Application(client_max_size=_MAX_REPORT, middlewares=[passing_on.middleware])
    app.cleanup_ctx.append(passing_on.serving)
    app.router.add_post("/v1/jobs/{namespace}/{name}/report", report, name=_REPORT)
    for each in others:
        each.add_to(app)
    return app


class _PassingOn:
    """Requests that reach a replica which does not lead."""

    def __init__(self, election: Election) -> None:
        self._election = election
        self._session: aiohttp.ClientSession

    async def serving(self, _: web.Application) -> AsyncIterator[None]:
        """Keep connections to the leader while the application serves."""
        async with aiohttp.ClientSession(timeout=_LEADER_TIMEOUT) as self._session:
            yield

    @property
    def middleware(self) -> Middleware:
        """What every request goes through: only the leader writes what programs report."""

        @web.middleware
        async def lead_or_pass_on(request: web.Request, handler: Handler) -> web.StreamResponse:
            here = self._election.leading or request.match_info.route.name != _REPORT
            return await handler(request) if here else await self._pass_on(request)

        return lead_or_pass_on

    async def _pass_on(self, request: web.Request) -> web.Response:
        leader = self._election.leader
        if leader is None or _PASSED_ON in request.headers:
            return _try_again("no replica leads at the moment")
        headers = {name: request.headers[name] for name in _HEADERS if name in request.headers} | {_PASSED_ON: "true"}
        body = await request.read()
        try:
            async with self._session.request(
                request.method, leader + request.path_qs, data=body, headers=headers
            ) as answer:
                told = {name: answer.headers[name] for name in _TOLD if name in answer.headers}
                return web.Response(status=answer.status, body=await answer.read(), headers=told)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return _try_again(f"the replica that leads does not answer ({str(error) or type(error).__name__})")


def _try_again(why: str) -> web.Response:
    response = web.Response(text=f"{why}: try again\n", status=503)
    # The Service balances connections: another try on this one would come here again.
    response.force_close()
    return response


async def listen(app: web.Application, address: str) -> web.AppRunner:
    """Serve an application on ``host:port``."""
    host, port = host_and_port(address)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
