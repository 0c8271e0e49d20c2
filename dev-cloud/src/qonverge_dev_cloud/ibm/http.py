"""The REST API on a port: paths, tokens and the form of replies are here; what operations mean is not."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import jwt
from aiohttp import web
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from qonverge_dev_cloud.gateway import Done, Gateway
from qonverge_dev_cloud.ibm.errors import Refused
from qonverge_dev_cloud.ibm.jobs import CreateJob, CreateSession, ListQuery
from qonverge_dev_cloud.ibm.service import NAMESPACE, IBMService
from qonverge_dev_cloud.rest import Act, RestApi, read
from qonverge_dev_cloud.worker import Worker

BASE = "/experimental/api/v1"
"""The SDK takes an address that has this word for the API itself, and makes none of its own of it."""
INSTANCE = "crn:v1:bluemix:public:quantum-computing:us-east:a/dev-cloud:00000000-0000-4000-8000-000000000000::"
_CREATE_JOB, _CREATE_SESSION = TypeAdapter(CreateJob), TypeAdapter(CreateSession)
# The SDK reads when a token ends, and nobody checks who signed it.
_SIGNING_KEY = "dev-cloud signs tokens with a key that is no secret"
_TOKEN_SECONDS = 3600


class _Tags(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    tags: list[str]


class _Accepting(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    accepting_jobs: bool


class IBMHttp(RestApi[Refused]):
    """Answers requests as IBM Quantum's API and IBM Cloud's IAM do."""

    refused = Refused

    def __init__(self, service: IBMService, worker: Worker, gateway: Gateway) -> None:
        super().__init__(worker, gateway)
        self._service = service

    def _route(self, router: web.UrlDispatcher) -> None:
        service, backends = self._service, self._service.backends

        def add(method: str, path: str, operation: str, act: Act) -> None:
            router.add_route(method, f"{BASE}{path}", self._handler(operation, act))

        def change(method: Callable[[str], bool]) -> Act:
            def act(request: web.Request, body: bytes) -> Done:
                identity = request.match_info["id"]
                return Done(web.Response(status=204), effect=method(identity), made=identity)

            return act

        router.add_post("/identity/token", self._handler("GetToken", self._token, secret=True))
        add("GET", "/backends", "ListBackends", read(backends.all))
        add("GET", "/backends/{name}/status", "GetBackendStatus", read(backends.status, "name"))
        add("GET", "/backends/{name}/configuration", "GetBackendConfiguration", read(backends.configuration, "name"))
        add("GET", "/backends/{name}/properties", "GetBackendProperties", read(backends.properties, "name"))
        add("GET", "/instances/usage", "GetUsage", self._usage)
        add("POST", "/jobs", "CreateJob", self._create_job)
        add("GET", "/jobs", "ListJobs", self._list_jobs)
        add("GET", "/jobs/{id}", "GetJob", self._job)
        add("DELETE", "/jobs/{id}", "DeleteJob", change(service.delete))
        add("GET", "/jobs/{id}/results", "GetJobResults", self._result)
        add("GET", "/jobs/{id}/metrics", "GetJobMetrics", read(service.metrics, "id"))
        add("GET", "/jobs/{id}/logs", "GetJobLogs", self._logs)
        add("POST", "/jobs/{id}/cancel", "CancelJob", change(service.cancel))
        add("PUT", "/jobs/{id}/tags", "ReplaceJobTags", self._set_tags)
        add("POST", "/sessions", "CreateSession", self._create_session)
        add("GET", "/sessions/{id}", "GetSession", read(service.session, "id"))
        add("PATCH", "/sessions/{id}", "UpdateSession", self._update_session)
        add("DELETE", "/sessions/{id}/close", "CloseSession", change(lambda one: service.close(one, cancel=True)))

    def _admit(self, request: web.Request) -> None:
        if not request.headers.get("Authorization", "").startswith("Bearer "):
            raise Refused(401, "the request has no token", 1210)

    def _invalid(self, error: ValidationError) -> Refused:
        words = "; ".join(f"{'.'.join(map(str, own['loc']))}: {own['msg']}" for own in error.errors())
        return Refused(400, words, 1207)

    def _failing(self, status: int, message: str) -> Refused:
        return Refused(status, message)

    def _error(self, error: Refused) -> web.Response:
        trace = uuid.uuid5(NAMESPACE, error.message).hex
        one = {"code": error.code, "message": error.message, "solution": "", "more_info": ""}
        return web.json_response({"errors": [one], "trace": trace}, status=error.status)

    def _values(self, request: web.Request) -> dict[str, Any]:
        tags = {"tags": request.query.getall("tags")} if "tags" in request.query else {}
        return super()._values(request) | tags

    def _token(self, request: web.Request, body: bytes) -> Done:
        if b"apikey=" not in body:
            raise Refused(400, "Provided API key could not be found.", 1210)
        now = int(time.time())
        token = jwt.encode({"iat": now, "exp": now + _TOKEN_SECONDS}, _SIGNING_KEY, algorithm="HS256")
        reply = {"access_token": token, "refresh_token": "not_supported", "token_type": "Bearer"}
        return Done(web.json_response(reply | {"expires_in": _TOKEN_SECONDS, "expiration": now + _TOKEN_SECONDS}))

    def _usage(self, request: web.Request, body: bytes) -> Done:
        used = self._service.seconds_used()
        reply = {"usage_consumed_seconds": used, "usage_limit_reached": False, "instance_id": INSTANCE}
        return Done(web.json_response(reply))

    def _create_job(self, request: web.Request, body: bytes) -> Done:
        reply = self._service.create_job(_CREATE_JOB.validate_json(body))
        return Done(web.json_response(reply), effect=True, made=reply["id"])

    def _list_jobs(self, request: web.Request, body: bytes) -> Done:
        asked = {name: value for name, value in request.query.items() if name != "tags"}
        found = self._service.list_jobs(ListQuery.model_validate(asked), request.query.getall("tags", []))
        return Done(web.json_response(found))

    def _job(self, request: web.Request, body: bytes) -> Done:
        short = request.query.get("exclude_params") == "true"
        return Done(web.json_response(self._service.job(request.match_info["id"], params=not short)))

    def _result(self, request: web.Request, body: bytes) -> Done:
        text = self._service.result(request.match_info["id"])
        return Done(web.Response(text=text) if text else web.Response(status=204))

    def _logs(self, request: web.Request, body: bytes) -> Done:
        job = self._service.job(request.match_info["id"], params=False)
        return Done(web.Response(text=f"{job['created']} created, {job['status']}\n"))

    def _set_tags(self, request: web.Request, body: bytes) -> Done:
        self._service.set_tags(request.match_info["id"], _Tags.model_validate_json(body).tags)
        return Done(web.Response(status=204), effect=True)

    def _create_session(self, request: web.Request, body: bytes) -> Done:
        reply = self._service.create_session(_CREATE_SESSION.validate_json(body))
        return Done(web.json_response(reply), effect=True, made=reply["id"])

    def _update_session(self, request: web.Request, body: bytes) -> Done:
        if _Accepting.model_validate_json(body).accepting_jobs:
            raise Refused(400, "a session that is closed is not opened again", 1217)
        effect = self._service.close(request.match_info["id"], cancel=False)
        return Done(web.Response(status=204), effect=effect)
