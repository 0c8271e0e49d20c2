"""The REST API on a port: paths, keys and the form of replies are here; what operations mean is not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from qonverge_dev_cloud.gateway import Done, Gateway
from qonverge_dev_cloud.ionq.circuits import plain
from qonverge_dev_cloud.ionq.errors import Refused
from qonverge_dev_cloud.ionq.jobs import CreateJob, CreateSession, EstimateQuery, ListQuery
from qonverge_dev_cloud.ionq.service import IonqService
from qonverge_dev_cloud.worker import Worker

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_CREATE_JOB, _CREATE_SESSION = TypeAdapter(CreateJob), TypeAdapter(CreateSession)
_ERRORS = {
    400: "BadRequestError",
    401: "UnauthorizedError",
    404: "NotFoundError",
    409: "ConflictError",
    429: "TooManyRequestsError",
}


class IonqHttp:
    """Answers requests as IonQ's API does."""

    def __init__(self, service: IonqService, worker: Worker, gateway: Gateway) -> None:
        self._service, self._worker, self._gateway = service, worker, gateway

    def application(self) -> web.Application:
        """Return the application, to be served on a port."""
        service, backends = self._service, self._service.backends
        application = web.Application(client_max_size=64 << 20)

        def add(method: str, path: str, operation: str, act: Callable[[web.Request, bytes], Done]) -> None:
            application.router.add_route(method, f"/v0.4{path}", self._handler(operation, act))

        def read(method: Callable[..., Any], *names: str) -> Callable[[web.Request, bytes], Done]:
            return lambda request, _: _done(method(*(request.match_info[name] for name in names)))

        add("POST", "/jobs", "CreateJob", self._create_job)
        add("GET", "/jobs", "GetJobs", self._list_jobs)
        add("GET", "/jobs/estimate", "EstimateJobCost", self._estimate)
        add("GET", "/jobs/{id}", "GetJob", read(service.job, "id"))
        add("DELETE", "/jobs/{id}", "DeleteJob", self._delete)
        add("GET", "/jobs/{id}/cost", "GetJobCost", read(service.cost, "id"))
        add("GET", "/jobs/{id}/results/probabilities", "GetProbabilities", read(service.probabilities, "id"))
        add("PUT", "/jobs/{id}/status/cancel", "CancelJob", self._cancel)
        add("GET", "/whoami", "GetWhoami", read(service.whoami))
        add("POST", "/sessions", "CreateSession", self._create_session)
        add("GET", "/sessions", "GetSessions", read(service.sessions))
        add("GET", "/sessions/{id}", "GetSession", read(service.session, "id"))
        add("POST", "/sessions/{id}/end", "EndSession", self._end_session)
        add("GET", "/backends", "GetBackends", read(backends.all))
        add("GET", "/backends/{name}", "GetBackend", read(backends.one, "name"))
        add(
            "GET",
            "/backends/{name}/characterizations",
            "GetCharacterizations",
            read(backends.characterizations, "name"),
        )
        add(
            "GET",
            "/backends/{name}/characterizations/{id}",
            "GetCharacterization",
            read(backends.characterization, "name", "id"),
        )
        application.router.add_route("*", "/{path:.*}", _unknown)
        return application

    def _handler(self, operation: str, act: Callable[[web.Request, bytes], Done]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            values: dict[str, Any] = dict(request.match_info) | dict(request.query)
            if body:
                values["body"] = body.decode(errors="replace")

            def carry_out() -> Done:
                try:
                    # Backends are public.
                    if not request.path.startswith("/v0.4/backends") and not _key(request):
                        raise Refused(401, "UnauthorizedError", "the request has no API key")
                    done = act(request, body)
                except ValidationError as error:
                    problems = "; ".join(plain(own) for own in error.errors())
                    return Done(_error(Refused(400, "BadRequestError", problems)))
                except Refused as error:
                    return Done(_error(error))
                if done.effect:
                    self._worker.wake()
                return done

            def fault(status: int) -> web.Response:
                return _error(Refused(status, _ERRORS.get(status, "InternalServerError"), "the scenario says so"))

            return await self._gateway.call(request, operation, values, carry_out, fault)

        return handle

    def _create_job(self, request: web.Request, body: bytes) -> Done:
        reply = self._service.create_job(_CREATE_JOB.validate_json(body))
        return Done(web.json_response(reply, status=201), effect=True, made=reply["id"])

    def _list_jobs(self, request: web.Request, body: bytes) -> Done:
        asked: dict[str, Any] = dict(request.query)
        if "ids" in asked:
            asked["ids"] = request.query.getall("ids")
        return _done(self._service.list_jobs(ListQuery.model_validate(asked)))

    def _estimate(self, request: web.Request, body: bytes) -> Done:
        return _done(self._service.estimate(EstimateQuery.model_validate(dict(request.query))))

    def _delete(self, request: web.Request, body: bytes) -> Done:
        return Done(web.json_response(self._service.delete(request.match_info["id"])), effect=True)

    def _cancel(self, request: web.Request, body: bytes) -> Done:
        reply, effect = self._service.cancel(request.match_info["id"])
        return Done(web.json_response(reply), effect=effect, made=reply["id"])

    def _create_session(self, request: web.Request, body: bytes) -> Done:
        reply = self._service.create_session(_CREATE_SESSION.validate_json(body))
        return Done(web.json_response(reply, status=201), effect=True, made=reply["id"])

    def _end_session(self, request: web.Request, body: bytes) -> Done:
        reply, effect = self._service.end_session(request.match_info["id"])
        return Done(web.json_response(reply), effect=effect, made=reply["id"])


async def _unknown(request: web.Request) -> web.StreamResponse:
    return _error(Refused(404, "NotFoundError", f"dev-cloud does not do {request.method} {request.path}"))


def _key(request: web.Request) -> str:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key if scheme == "apiKey" else ""


def _done(values: Any) -> Done:
    return Done(web.json_response(values))


def _error(error: Refused) -> web.Response:
    return web.json_response(
        {"statusCode": error.status, "error": error.error, "message": error.message}, status=error.status
    )
