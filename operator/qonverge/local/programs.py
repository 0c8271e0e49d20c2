"""Python programs without a cluster: a subprocess, the engine on a loopback port, and a place for its reports."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from qonverge.api import HybridJob
from qonverge.backend.engine import Engine
from qonverge.backend.server import Server
from qonverge.circuits.isolated import Checker
from qonverge.wire.errors import Unauthorized

LOG_LINES = 20
_LOG_CHARACTERS = 4000


@dataclass(slots=True)
class Ended:
    """How a program ended."""

    exit_code: int
    log: str
    result: Any = None
    has_result: bool = False


@dataclass(slots=True)
class _Running:
    """A program that may report."""

    on_report: Callable[[dict[str, Any]], None]
    reports: dict[str, Any] = field(default_factory=dict)


class ProgramHost:
    """Runs programs against one engine."""

    def __init__(self, engine: Engine, checker: Checker) -> None:
        """Use ``serving``."""
        self._token = secrets.token_urlsafe(32)
        self._running: dict[str, _Running] = {}
        app = Server(engine, checker, self._verify).app()
        app.router.routes.append(Route("/v1/reports/{identity}", self._report, methods=["POST"]))
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

    async def run(
        self,
        job: HybridJob,
        source: str,
        *,
        on_line: Callable[[str], None],
        on_report: Callable[[dict[str, Any]], None],
    ) -> Ended:
        """Run a program to its end; when the call is cancelled the program is ended."""
        identity = secrets.token_hex(8)
        running = self._running[identity] = _Running(on_report)
        python = job.spec.program.python
        assert python is not None
        with tempfile.TemporaryDirectory(prefix="qonverge-") as folder:
            file = Path(folder) / "program.py"
            file.write_text(source)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "qonverge.client.run", str(file), *python.args),
                env=self._environment(job, identity),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                log = await _follow(process, on_line)
                code = await process.wait()
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()
                del self._running[identity]
        reports = running.reports
        return Ended(code, log, reports.get("result"), "result" in reports)

    def _environment(self, job: HybridJob, identity: str) -> dict[str, str]:
        spec = job.spec
        given = {"QONVERGE_SEED": spec.seed, "QONVERGE_SHOTS": spec.shots, "QONVERGE_PRECISION": spec.precision}
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("QONVERGE_")},
            **{name: str(value) for name, value in given.items() if value is not None},
            "QONVERGE_BACKEND_URL": self._url,
            "QONVERGE_TOKEN": self._token,
            "QONVERGE_REPORT_URL": f"{self._url}/v1/reports/{identity}",
            "QONVERGE_JOB": f"{job.metadata.namespace}/{job.metadata.name}",
        }

    def _verify(self, token: str | None) -> str:
        if not token or not secrets.compare_digest(token, self._token):
            raise Unauthorized("the token is not the one of this run")
        return "local"

    async def _report(self, request: Request) -> Response:
        running = self._running.get(request.path_params["identity"])
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if running is None or not secrets.compare_digest(token, self._token):
            return Response("no program of this run reports here\n", 404)
        try:
            report = json.loads(await request.body())
        except ValueError:
            return Response("the report is not JSON\n", 400)
        running.reports |= report
        running.on_report(report)
        return Response(status_code=204)


async def _follow(process: asyncio.subprocess.Process, on_line: Callable[[str], None]) -> str:
    """Pass each line on and return the last ones, however much there is and however long a line."""
    assert process.stdout is not None
    last: deque[str] = deque(maxlen=LOG_LINES)
    rest = b""
    while chunk := await process.stdout.read(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LOG_CHARACTERS * 4:
            lines.append(rest)
            rest = b""
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r")
            last.append(text[:_LOG_CHARACTERS])
            on_line(text)
    if rest:
        last.append(rest.decode(errors="replace")[:_LOG_CHARACTERS])
        on_line(last[-1])
    return "\n".join(last)[-_LOG_CHARACTERS:]
