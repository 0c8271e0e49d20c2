"""Python programs without a cluster: the engine on a loopback port, and a place for their reports."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from qonverge.accounting.conversion import prices_of
from qonverge.amounts import Amounts, Limits, Money
from qonverge.api import HybridJob
from qonverge.api.pricing import Pricing
from qonverge.backend.http.server import Server
from qonverge.backend.tasks.engine import Engine
from qonverge.circuits.checker.checker import Checker
from qonverge.documents.reports import Report, StoredContent
from qonverge.execution import reports
from qonverge.local import output_routes
from qonverge.programs.parameters import in_environment
from qonverge.storage.job_output import JobOutput
from qonverge.wire.errors import Unauthorized
from qonverge.wire.grants import Grant
from qonverge.wire.tokens import Caller


@dataclass(slots=True)
class Admission:
    """A program that may use an engine, and report."""

    token: str
    """Which opens the engine to it."""
    on_report: Callable[[Report], None]
    kept: JobOutput | None = None
    """What it keeps, if it can keep anything."""
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    """The results of the jobs that its job depends on, as JSON, by their names."""
    files: StoredContent | None = None
    """What it kept of files."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What its processes find there from Qonverge."""
    result: Report | None = None
    """The last report that had one."""
    used: Amounts = field(default_factory=Amounts)
    """What it used of the engine, once it has ended."""

    async def take(self, report: Report) -> float:
        """Take a report; the next is welcome whenever it comes.

        Raises:
            InvalidReport: the job would have too many metrics.
        """
        self.on_report(report)
        if report.has_result:
            self.result = report
        self.files = report.stored_files or self.files
        return 0.0


class ProgramHost:
    """Lets programs use one engine."""

    def __init__(self, engine: Engine, checker: Checker) -> None:
        """Use ``serving``."""
        self._engine = engine
        self._running: dict[str, Admission] = {}
        app = Server(engine, checker, self._verify).app()
        app.router.routes.append(Route("/v1/reports/{identity}", self._report, methods=["POST"]))
        app.router.routes.append(Route("/v1/inputs/{identity}/{name}", self._input, methods=["GET"]))
        app.router.routes.extend(output_routes.routes("/v1/output/{identity}", self._kept))
        self._app = app
        self._url = ""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve on a free loopback port."""
        # asyncio turns Nagle's delay off only for sockets that name their protocol; it costs 40 ms a task.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        self._url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(self._app, log_level="warning", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        # Signals belong to the command, which cancels what runs.
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving

    @contextlib.asynccontextmanager
    async def admitted(
        self,
        job: HybridJob,
        *,
        pricing: Pricing | None,
        budget: Money | None,
        used: Amounts,
        kept: JobOutput | None,
        inputs: Mapping[str, bytes],
        on_report: Callable[[Report], None],
    ) -> AsyncIterator[Admission]:
        """Let a job's program use the engine until the end of the block, within a budget at the backend's prices.

        ``used`` is what former attempts used of it. ``kept`` is where its files and checkpoints go; None: nowhere.
        ``inputs`` are what it may read of other jobs.
        """
        identity = secrets.token_hex(8)
        admission = self._running[identity] = Admission(secrets.token_urlsafe(32), on_report, kept, inputs)
        admission.environment = self._environment(job, identity, admission)
        boot = self._engine.accounts.tell().boot
        # As in a cluster, what costs nothing needs no budget.
        most = Limits(cost=None if pricing is None else budget) - used
        grant = Grant(most, most, prices_of(pricing), attempt=1, cost_is_budget=True)
        await self._engine.exchange({identity: grant}, boot)
        try:
            yield admission
        finally:
            del self._running[identity]
            meters = await self._engine.exchange({}, boot)
            admission.used = meters.by_account[identity].used

    def _environment(self, job: HybridJob, identity: str, admission: Admission) -> dict[str, str]:
        spec = job.spec
        store = {} if admission.kept is None else {"QONVERGE_STORE_URL": f"{self._url}/v1/output/{identity}"}
        given = {
            "QONVERGE_SEED": spec.seed,
            "QONVERGE_SHOTS": spec.shots,
            "QONVERGE_PRECISION": spec.precision,
            "QONVERGE_PARAMETERS": in_environment(job),
            "QONVERGE_INPUTS": ",".join(admission.inputs) or None,
            "QONVERGE_INPUTS_URL": f"{self._url}/v1/inputs/{identity}" if admission.inputs else None,
        }
        return {
            **{name: str(value) for name, value in given.items() if value is not None},
            "QONVERGE_BACKEND_URL": self._url,
            **store,
            "QONVERGE_TOKEN": admission.token,
            "QONVERGE_REPORT_URL": f"{self._url}/v1/reports/{identity}",
            "QONVERGE_JOB": f"{job.metadata.namespace}/{job.metadata.name}",
        }

    def _verify(self, token: str | None) -> Caller:
        for identity, running in self._running.items():
            if token and secrets.compare_digest(token.encode(), running.token.encode()):
                return Caller("local", identity, 1)
        raise Unauthorized("the token is not the one of this run")

    def _asking(self, request: Request) -> Admission | None:
        """Return the program that a request is from; None where it shows no good token."""
        running = self._running.get(request.path_params["identity"])
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        good = running is not None and secrets.compare_digest(token.encode(), running.token.encode())
        return running if good else None

    def _kept(self, request: Request) -> JobOutput | None:
        running = self._asking(request)
        return None if running is None else running.kept

    async def _input(self, request: Request) -> Response:
        running = self._asking(request)
        found = None if running is None else running.inputs.get(request.path_params["name"])
        if found is None:
            return Response("no program of this run reads this\n", 404)
        return Response(found, media_type="application/json")

    async def _report(self, request: Request) -> Response:
        running = self._asking(request)
        if running is None:
            return Response("no program of this run reports here\n", 404)
        answer = await reports.answer(await request.body(), running.take)
        return Response(answer.text or None, answer.status)
