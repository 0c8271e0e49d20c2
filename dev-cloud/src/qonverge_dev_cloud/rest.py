"""What REST APIs of clouds have in common: how a request becomes a call of the gateway."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from aiohttp import web
from pydantic import ValidationError

from qonverge_dev_cloud.gateway import Done, Gateway
from qonverge_dev_cloud.worker import Worker

Act = Callable[[web.Request, bytes], Done]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LARGEST_REQUEST = 64 << 20
_Refused = TypeVar("_Refused", bound=Exception)


def read(method: Callable[..., Any], *names: str) -> Act:
    """Return what answers with the method's value for these parts of the path."""
    return lambda request, _: Done(web.json_response(method(*(request.match_info[name] for name in names))))


class RestApi(ABC, Generic[_Refused]):
    """An API with its paths; ``refused`` is the error of a call that is refused in the vendor's way."""

    refused: type[_Refused]

    def __init__(self, worker: Worker, gateway: Gateway) -> None:
        self._worker, self._gateway = worker, gateway

    def application(self) -> web.Application:
        """Return the application, to be served on a port."""
        application = web.Application(client_max_size=_LARGEST_REQUEST)
        self._route(application.router)
        application.router.add_route("*", "/{path:.*}", self._unknown)
        return application

    @abstractmethod
    def _route(self, router: web.UrlDispatcher) -> None:
        """Add the paths."""

    @abstractmethod
    def _admit(self, request: web.Request) -> None:
        """Raise ``refused`` where a request has no credentials."""

    @abstractmethod
    def _invalid(self, error: ValidationError) -> _Refused:
        """Return the error of a request with wrong values."""

    @abstractmethod
    def _failing(self, status: int, message: str) -> _Refused:
        """Return the error of a status: of a path that does not exist, or as a scenario wants it."""

    @abstractmethod
    def _error(self, error: _Refused) -> web.Response:
        """Return the reply of an error."""

    def _values(self, request: web.Request) -> dict[str, Any]:
        """Return what path and query say, for the journal."""
        return dict(request.match_info) | dict(request.query)

    def _handler(self, operation: str, act: Act, *, secret: bool = False) -> Handler:
        """Return what answers requests of an operation; ``secret``: its body is credentials, and is not recorded."""

        async def handle(request: web.Request) -> web.StreamResponse:
            body, values = await request.read(), self._values(request)
            if body and not secret:
                values["body"] = body.decode(errors="replace")

            def carry_out() -> Done:
                try:
                    if not secret:
                        self._admit(request)
                    done = act(request, body)
                except ValidationError as error:
                    return Done(self._error(self._invalid(error)))
                except self.refused as error:
                    return Done(self._error(error))
                if done.effect:
                    self._worker.wake()
                return done

            def fault(status: int) -> web.Response:
                return self._error(self._failing(status, "the scenario says so"))

            return await self._gateway.call(request, operation, values, carry_out, fault)

        return handle

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        return self._error(self._failing(404, f"dev-cloud does not do {request.method} {request.path}"))
