"""The REST API on a port: regions and the form of replies are here; what operations mean is not."""

from __future__ import annotations

import re
import uuid
from typing import Any

from aiohttp import web

from qonverge_dev_cloud.braket.api import Refused, ServiceApi
from qonverge_dev_cloud.braket.calls import Call
from qonverge_dev_cloud.braket.service import BraketService
from qonverge_dev_cloud.gateway import Done, Gateway
from qonverge_dev_cloud.worker import Worker

_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/(?P<region>[a-z0-9-]+)/braket/aws4_request")


class BraketHttp:
    """Answers requests as Braket's endpoint does."""

    def __init__(self, service: BraketService, worker: Worker, gateway: Gateway) -> None:
        self._service, self._worker, self._gateway = service, worker, gateway
        self._api = ServiceApi("braket")

    def application(self) -> web.Application:
        """Return the application, to be served on a port."""
        # Circuits are within Braket's own limit of a request.
        application = web.Application(client_max_size=64 << 20)
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        route = self._api.route(request.method, path)
        if route is None:
            return _error(Refused("ValidationException", f"no operation {request.method} {path}"), 404)
        model, members = route
        body = await request.read()
        scope = _SCOPE.search(request.headers.get("Authorization", ""))
        values: dict[str, Any] = {}
        refused: Refused | None = None
        try:
            if scope is None:
                raise Refused("AccessDeniedException", "the request is not signed for braket")
            values = self._api.request(model, members, query, body)
        except Refused as error:
            refused = error

        def carry_out() -> Done:
            try:
                if refused is not None or scope is None:
                    raise refused or AssertionError("unsigned requests are refused")
                reply = self._service.call(Call(model.name, scope["region"], values))
            except Refused as error:
                return Done(_error(error, self._api.error_status(error.code)))
            if reply.effect:
                self._worker.wake()
            status, text = self._api.reply(model, reply.values)
            response = web.Response(status=status, body=text, content_type="application/json")
            response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
            return Done(response, reply.effect, reply.task)

        def fault(status: int) -> web.Response:
            return _error(Refused(self._api.error_of_status(model, status), "the scenario says so"), status)

        return await self._gateway.call(request, model.name, values, carry_out, fault)


def _error(error: Refused, status: int) -> web.Response:
    response = web.json_response({"message": error.message, **error.details}, status=status)
    response.headers["x-amzn-ErrorType"] = error.code
    response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
    return response
