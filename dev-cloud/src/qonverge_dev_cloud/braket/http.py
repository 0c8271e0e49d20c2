"""The REST API on a port: regions, faults and the journal are here; what operations mean is not."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Sequence
from typing import Any

from aiohttp import web
from botocore.model import OperationModel

from qonverge_dev_cloud.braket.api import Refused, ServiceApi
from qonverge_dev_cloud.braket.service import BraketService, Call, Reply
from qonverge_dev_cloud.braket.worker import Worker
from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.faults import Fault, FaultPlan
from qonverge_dev_cloud.journal import Journal

_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/(?P<region>[a-z0-9-]+)/braket/aws4_request")


class BraketHttp:
    """Answers requests as Braket's endpoint does."""

    def __init__(
        self, service: BraketService, worker: Worker, clock: Clock, journal: Journal, faults: FaultPlan
    ) -> None:
        self._service, self._worker, self._clock = service, worker, clock
        self._journal, self._faults = journal, faults
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
            return self._error(Refused("ValidationException", f"no operation {request.method} {path}"), 404)
        model, members = route
        region = _SCOPE.search(request.headers.get("Authorization", ""))
        if region is None:
            refused = Refused("AccessDeniedException", "the request is not signed for braket")
            return self._error(refused, self._api.error_status(refused.code))
        body = await request.read()
        faults = self._faults.of("braket", model.name)
        return await self._carry_out(request, model, region["region"], (members, query, body), faults)

    async def _carry_out(
        self,
        request: web.Request,
        model: OperationModel,
        region: str,
        sent: tuple[dict[str, str], str, bytes],
        faults: Sequence[Fault],
    ) -> web.StreamResponse:
        values: dict[str, Any] = {}
        reply: Reply | None = None
        try:
            values = self._api.request(model, *sent)
            response = await self._fault(request, model, faults, "before")
            if response is None:
                reply = await asyncio.to_thread(self._service.call, Call(model.name, region, values))
                status, text = self._api.reply(model, reply.values)
                if reply.effect:
                    self._worker.wake()
                response = await self._fault(request, model, faults, "after")
                if response is None:
                    response = self._response(status, text)
        except Refused as error:
            response = self._error(error, self._api.error_status(error.code))
        lost = request.transport is None or request.transport.is_closing()
        self._journal.add(
            time=self._clock.elapsed(),
            cloud="braket",
            operation=model.name,
            request=values,
            status=None if lost else response.status,
            effect=reply is not None and reply.effect,
            faults=tuple(f"{own.kind} {own.when}" for own in faults),
            made=None if reply is None else reply.task,
        )
        return response

    async def _fault(
        self, request: web.Request, model: OperationModel, faults: Sequence[Fault], when: str
    ) -> web.Response | None:
        """Let the call go wrong, if it has to; return the reply that ends it."""
        for fault in faults:
            if fault.when != when:
                continue
            if fault.kind == "slow":
                await asyncio.sleep(fault.seconds)
            elif fault.kind == "lostReply":
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            else:
                code = self._api.error_of_status(model, fault.status)
                return self._error(Refused(code, "set by the scenario"), fault.status)
        return None

    def _error(self, error: Refused, status: int) -> web.Response:
        response = web.json_response({"message": error.message}, status=status)
        response.headers["x-amzn-ErrorType"] = error.code
        response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
        return response

    def _response(self, status: int, text: bytes) -> web.Response:
        response = web.Response(status=status, body=text, content_type="application/json")
        response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
        return response
