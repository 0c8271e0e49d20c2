"""The REST form of the API on a port: paths, tokens and the form of replies are here; what operations mean is not."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from qonverge_dev_cloud.gateway import Done, Gateway
from qonverge_dev_cloud.google import transcoding
from qonverge_dev_cloud.google.errors import CODES, HTTP_STATUS, Refused
from qonverge_dev_cloud.google.service import GoogleService
from qonverge_dev_cloud.worker import Worker

_EFFECTS = ("Create", "Update", "Delete", "Cancel")


class GoogleHttp:
    """Answers requests as Google's API does."""

    def __init__(self, service: GoogleService, worker: Worker, gateway: Gateway) -> None:
        self._service, self._worker, self._gateway = service, worker, gateway

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        found = transcoding.route(request.method, request.path)
        if found is None:
            return _error(Refused("NOT_FOUND", f"dev-cloud does not do {request.method} {request.path}"))
        route, path = found
        query, body = dict(request.query), await request.read()
        values: dict[str, Any] = path | query
        if body:
            values["body"] = body.decode(errors="replace")

        def carry_out() -> Done:
            try:
                if not request.headers.get("Authorization", "").startswith("Bearer "):
                    raise Refused("UNAUTHENTICATED", "the request has no access token")
                asked = transcoding.request(route, path, query, body)
                message = self._service.operation(route.operation)(asked)
            except Refused as error:
                return Done(_error(error))
            effect = route.operation.startswith(_EFFECTS)
            if effect:
                self._worker.wake()
            text = transcoding.reply(message, numbers="enum-encoding=int" in query.get("$alt", ""))
            made = message.name if route.operation.startswith("Create") else None
            return Done(web.Response(text=text, content_type="application/json"), effect=effect, made=made)

        def fault(status: int) -> web.Response:
            return _error(Refused(CODES.get(status, "UNKNOWN"), "the scenario says so"), status)

        return await self._gateway.call(request, route.operation, values, carry_out, fault)


def _error(error: Refused, status: int | None = None) -> web.Response:
    status = status or HTTP_STATUS[error.code]
    told = {"error": {"code": status, "message": error.message, "status": error.code}}
    return web.Response(status=status, text=json.dumps(told), content_type="application/json")
