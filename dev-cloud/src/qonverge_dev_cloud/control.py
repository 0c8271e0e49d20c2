"""The control API: what tests and people ask of the clouds, on a port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from aiohttp import web
from pydantic import Field, TypeAdapter, ValidationError

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.faults import Fault, FaultPlan
from qonverge_dev_cloud.journal import Journal
from qonverge_dev_cloud.values import Value

_FAULTS = TypeAdapter(tuple[Fault, ...])


class Controlled(Protocol):
    """A cloud, as the control API sees it."""

    name: str

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks as JSON has them."""

    def settle(self) -> None:
        """Run what has to have ended by now."""


class Advance(Value):
    """By how much the clock moves."""

    seconds: float = Field(gt=0)


class Control:
    """Answers requests of the control API."""

    def __init__(self, clouds: Sequence[Controlled], clock: Clock, journal: Journal, faults: FaultPlan) -> None:
        self._clouds, self._clock, self._journal, self._faults = clouds, clock, journal, faults

    def application(self) -> web.Application:
        """Return the application, to be served on a port."""
        application = web.Application(middlewares=[_refusals])
        application.add_routes(
            [
                web.get("/", self._state),
                web.get("/journal", self._read_journal),
                web.delete("/journal", self._clear_journal),
                web.get("/tasks", self._tasks),
                web.get("/faults", self._read_faults),
                web.put("/faults", self._set_faults),
                web.post("/clock/advance", self._advance),
            ]
        )
        return application

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "clouds": [cloud.name for cloud in self._clouds],
                "elapsed": self._clock.elapsed(),
                "virtualClock": self._clock.virtual,
            }
        )

    async def _read_journal(self, request: web.Request) -> web.Response:
        entries = self._journal.entries(request.query.get("cloud"), request.query.get("operation"))
        return web.json_response([entry.plain() for entry in entries])

    async def _clear_journal(self, request: web.Request) -> web.Response:
        self._journal.clear()
        return web.json_response({})

    async def _tasks(self, request: web.Request) -> web.Response:
        return web.json_response([{"cloud": cloud.name} | task for cloud in self._clouds for task in cloud.tasks()])

    async def _read_faults(self, request: web.Request) -> web.Response:
        return web.json_response([fault.model_dump(by_alias=True) for fault in self._faults.faults])

    async def _set_faults(self, request: web.Request) -> web.Response:
        self._faults.replace(_FAULTS.validate_json(await request.read()))
        return await self._read_faults(request)

    async def _advance(self, request: web.Request) -> web.Response:
        self._clock.advance(Advance.model_validate_json(await request.read()).seconds)
        for cloud in self._clouds:
            await asyncio.to_thread(cloud.settle)
        return await self._state(request)


@web.middleware
async def _refusals(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, own['loc'])) or 'body'}: {own['msg']}" for own in error.errors()]
        return web.json_response({"error": "; ".join(problems)}, status=400)
    except web.HTTPException as error:
        return web.json_response({"error": f"{request.method} {request.path}: {error.reason}"}, status=error.status)
    return response
