"""The REST API on a port: paths, tokens and the form of replies are here; what operations mean is not."""

from __future__ import annotations

import uuid

from aiohttp import web
from pydantic import ValidationError

from qonverge_dev_cloud.gateway import Done, Gateway
from qonverge_dev_cloud.iqm.circuits import plain
from qonverge_dev_cloud.iqm.errors import Refused
from qonverge_dev_cloud.iqm.service import IqmService
from qonverge_dev_cloud.rest import Act, RestApi, read
from qonverge_dev_cloud.worker import Worker

_CODES = {
    400: "invalid_input",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    429: "rate_limit_exceeded",
}


class IqmHttp(RestApi[Refused]):
    """Answers requests as IQM Server does."""

    refused = Refused

    def __init__(self, service: IqmService, worker: Worker, gateway: Gateway) -> None:
        super().__init__(worker, gateway)
        self._service = service

    def _route(self, router: web.UrlDispatcher) -> None:
        service, computers = self._service, self._service.computers

        def add(method: str, path: str, operation: str, act: Act) -> None:
            router.add_route(method, f"/api/v1{path}", self._handler(operation, act))

        # Before the submission of a job, whose path has the same form.
        add("POST", "/jobs/{id}/cancel", "CancelJob", self._cancel)
        add("POST", "/jobs/{qc}/{type}", "SubmitJob", self._submit)
        add("GET", "/jobs/{id}", "GetJob", read(service.job, "id"))
        add("DELETE", "/jobs/{id}", "DeleteJob", self._delete)
        add("GET", "/jobs/{id}/payload", "GetJobPayload", self._payload)
        add("GET", "/jobs/{id}/artifacts/{type}", "GetJobArtifact", read(service.artifact, "id", "type"))
        add("GET", "/quantum-computers", "GetQuantumComputers", read(computers.all))
        for path, operation, method in (
            ("health", "GetHealth", computers.health),
            ("limits", "GetLimits", computers.limits),
            ("queue-availability", "GetQueue", computers.queue),
            ("artifacts/static-quantum-architectures", "GetStaticQuantumArchitecture", computers.architecture),
        ):
            add("GET", f"/quantum-computers/{{qc}}/{path}", operation, read(method, "qc"))
        for path, operation, own in (
            ("", "GetCalibrationSet", computers.calibration_set),
            ("/metrics", "GetQualityMetrics", computers.metrics),
            ("/dynamic-quantum-architecture", "GetDynamicQuantumArchitecture", computers.gates),
        ):
            add("GET", f"/calibration-sets/{{qc}}/{{set}}{path}", operation, read(own, "qc", "set"))

    def _admit(self, request: web.Request) -> None:
        if not _token(request):
            raise Refused(401, "unauthorized", "the request has no token")

    def _invalid(self, error: ValidationError) -> Refused:
        return Refused(400, "invalid_job_payload", "; ".join(plain(own) for own in error.errors()))

    def _failing(self, status: int, message: str) -> Refused:
        return Refused(status, _CODES.get(status, "internal_error"), message)

    def _error(self, error: Refused) -> web.Response:
        return web.json_response(
            {"error_code": error.code, "message": error.message, "request_id": str(uuid.uuid4())}, status=error.status
        )

    def _submit(self, request: web.Request, body: bytes) -> Done:
        names = request.match_info
        reply = self._service.submit(names["qc"], names["type"], body, request.query.get("tag"))
        return Done(web.json_response(reply, status=201), effect=True, made=reply["id"])

    def _payload(self, request: web.Request, body: bytes) -> Done:
        payload = self._service.payload(request.match_info["id"])
        return Done(web.Response(body=payload, content_type="application/json", headers={"IQM-Job-Type": "circuit"}))

    def _cancel(self, request: web.Request, body: bytes) -> Done:
        reply = self._service.cancel(request.match_info["id"])
        return Done(web.json_response(reply), effect=True, made=reply["id"])

    def _delete(self, request: web.Request, body: bytes) -> Done:
        self._service.delete(request.match_info["id"])
        return Done(web.Response(status=204), effect=True)


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""
