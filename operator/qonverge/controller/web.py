"""What the operator serves: health, metrics, and the programs' reports."""

from __future__ import annotations

import json
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from qonverge.controller.jobs import Jobs
from qonverge.controller.kube import KubeError
from qonverge.controller.traces import Traces
from qonverge.lifecycle.results import MAX_RESULT
from qonverge.wire.errors import ResultTooLarge, Unauthorized
from qonverge.wire.tokens import Caller

# What JSON escapes may take several times the room that it takes in a status.
_MAX_REPORT = 3 * MAX_RESULT


def health_app(problem: Callable[[], str | None], registry: CollectorRegistry, traces: Traces) -> web.Application:
    """Return the application for probes, scrapes and traces; ``problem`` says what keeps the operator from its work."""

    async def healthz(_: web.Request) -> web.Response:
        # That this answers shows that the loop turns; watches that fail are restarted from within.
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        text = problem()
        return web.Response(text="ok\n") if text is None else web.Response(text=text + "\n", status=503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"content-type": "text/plain; version=0.0.4"})

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
    app.router.add_get("/metrics", metrics)
    return app


def report_app(jobs: Jobs, verify: Callable[[str, str | None], Caller], leading: Callable[[], bool]) -> web.Application:
    """Return the application that takes reports; ``verify`` returns whom a token is for."""

    async def report(request: web.Request) -> web.Response:
        key = f"{request.match_info['namespace']}/{request.match_info['name']}"
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            caller = verify(key, token)
            if caller.subject != key:
                return web.Response(text="the token is another job's\n", status=403)
        except Unauthorized as error:
            return web.Response(text=f"{error}\n", status=401)
        if not leading():
            response = web.Response(text="this replica does not lead: try again\n", status=503)
            # The Service balances connections: another try on this one would come here again.
            response.force_close()
            return response
        try:
            body = json.loads(await request.read())
            if not isinstance(body, dict):
                raise TypeError("the report is not an object")
            await jobs.report(key, caller, body)
        except (ValueError, TypeError, AttributeError) as error:
            return web.Response(text=f"the report cannot be read: {error}\n", status=400)
        except PermissionError as error:
            return web.Response(text=f"{error}\n", status=403)
        except LookupError as error:
            return web.Response(text=f"{error.args[0]}\n", status=404)
        except ResultTooLarge as error:
            return web.Response(text=f"{error}\n", status=413)
        except KubeError as error:
            return web.Response(text=f"{error}\n", status=503)
        return web.Response(status=204)

    app = web.Application(client_max_size=_MAX_REPORT)
    app.router.add_post("/v1/jobs/{namespace}/{name}/report", report)
    return app


async def listen(app: web.Application, address: str) -> web.AppRunner:
    """Serve an application on ``host:port``."""
    host, _, port = address.rpartition(":")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, int(port)).start()
    return runner
