"""The REST API on a port: paths, keys and the form of replies are here; what operations mean is not."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from qonverge_dev_cloud.gateway import Done, Gateway
from qonverge_dev_cloud.ionq.circuits import plain
from qonverge_dev_cloud.ionq.errors import Refused
from qonverge_dev_cloud.ionq.jobs import CreateJob, CreateSession, EstimateQuery, ListQuery
from qonverge_dev_cloud.ionq.service import IonqService
from qonverge_dev_cloud.rest import Act, RestApi, read
from qonverge_dev_cloud.worker import Worker

_CREATE_JOB, _CREATE_SESSION = TypeAdapter(CreateJob), TypeAdapter(CreateSession)
_ERRORS = {
    400: "BadRequestError",
    401: "UnauthorizedError",
    404: "NotFoundError",
    409: "ConflictError",
    429: "TooManyRequestsError",
}


class IonqHttp(RestApi[Refused]):
    """Answers requests as IonQ's API does."""

    refused = Refused

    def __init__(self, service: IonqService, worker: Worker, gateway: Gateway) -> None:
        super().__init__(worker, gateway)
        self._service = service

    def _route(self, router: web.UrlDispatcher) -> None:
        service, backends = self._service, self._service.backends

        def add(method: str, path: str, operation: str, act: Act) -> None:
            router.add_route(method, f"/v0.4{path}", self._handler(operation, act))

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

    def _admit(self, request: web.Request) -> None:
        # Backends are public.
        if not request.path.startswith("/v0.4/backends") and not _key(request):
            raise Refused(401, "UnauthorizedError", "the request has no API key")

    def _invalid(self, error: ValidationError) -> Refused:
        return Refused(400, "BadRequestError", "; ".join(plain(own) for own in error.errors()))

    def _failing(self, status: int, message: str) -> Refused:
        return Refused(status, _ERRORS.get(status, "InternalServerError"), message)

    def _error(self, error: Refused) -> web.Response:
        return web.json_response(
            {"statusCode": error.status, "error": error.error, "message": error.message}, status=error.status
        )

    def _create_job(self, request: web.Request, body: bytes) -> Done:
        reply = self._service.create_job(_CREATE_JOB.validate_json(body))
        return Done(web.json_response(reply, status=201), effect=True, made=reply["id"])

    def _list_jobs(self, request: web.Request, body: bytes) -> Done:
        asked: dict[str, Any] = dict(request.query)
        if "ids" in asked:
            asked["ids"] = request.query.getall("ids")
        return Done(web.json_response(self._service.list_jobs(ListQuery.model_validate(asked))))

    def _estimate(self, request: web.Request, body: bytes) -> Done:
        return Done(web.json_response(self._service.estimate(EstimateQuery.model_validate(dict(request.query)))))

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


def _key(request: web.Request) -> str:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key if scheme == "apiKey" else ""
