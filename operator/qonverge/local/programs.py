"""Python programs without a cluster: a subprocess, the engine on a loopback port, and a place for its reports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from qonverge.accounting.conversion import money_of, prices_of
from qonverge.amounts import Amounts, Limits
from qonverge.api import HybridJob
from qonverge.api.pricing import Pricing
from qonverge.backend.http.server import Server
from qonverge.backend.tasks.engine import Engine
from qonverge.circuits.checker.checker import Checker
from qonverge.documents.reports import Report
from qonverge.execution import reports
from qonverge.wire.errors import Unauthorized
from qonverge.wire.grants import Grant
from qonverge.wire.tokens import Caller

LOG_LINES = 20
_LOG_CHARACTERS = 4000
# For the last lines to arrive, when something that the program left behind holds its output open.
_DRAIN_SECONDS = 1.0


@dataclass(slots=True)
class Ended:
    """How a program ended."""

    exit_code: int
    """Minus the signal's number where one ended it."""
    used: Amounts = field(default_factory=Amounts)
    """What it used of the engine."""
    left: str = ""
    """What the client library left of why it failed."""
    result: Any = None
    has_result: bool = False


class Tail:
    """The last lines of what a program printed, however much there is and however long a line."""

    def __init__(self) -> None:
        """Start with none."""
        self._lines: deque[str] = deque(maxlen=LOG_LINES)

    def add(self, line: str) -> None:
        """Take the next line."""
        self._lines.append(line[:_LOG_CHARACTERS])

    def text(self) -> str | None:
        """Return the lines, None when there are none."""
        return "\n".join(self._lines)[-_LOG_CHARACTERS:] or None


@dataclass(slots=True)
class _Running:
    """A program that may report."""

    token: str
    """Which opens the engine to it."""
    on_report: Callable[[Report], None]
    result: Report | None = None
    """The last report that had one."""

    async def take(self, report: Report) -> None:
        """Take a report.

        Raises:
            InvalidReport: the job would have too many metrics.
        """
        self.on_report(report)
        if report.has_result:
            self.result = report


class ProgramHost:
    """Runs programs against one engine."""

    def __init__(self, engine: Engine, checker: Checker) -> None:
        """Use ``serving``."""
        self._engine = engine
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
        args: Sequence[str],
        *,
        pricing: Pricing | None,
        on_line: Callable[[str], None],
        on_report: Callable[[Report], None],
    ) -> Ended:
        """Run a program to its end, within its budget at the backend's prices; cancelled, the program is ended."""
        identity = secrets.token_hex(8)
        running = self._running[identity] = _Running(secrets.token_urlsafe(32), on_report)
        boot = self._engine.accounts.tell().boot
        # As in a cluster, what costs nothing needs no budget.
        most = Limits(cost=None if pricing is None else money_of(job.spec.budget))
        grant = Grant(most, most, prices_of(pricing), attempt=1, cost_is_budget=True)
        await self._engine.exchange({identity: grant}, boot)
        left = ""
        with tempfile.TemporaryDirectory(prefix="qonverge-") as folder:
            file, termination = Path(folder) / "program.py", Path(folder) / "termination-log"
            file.write_text(source, encoding="utf-8")
            # A pipe of our own: asyncio takes a process for running as long as any of its children holds asyncio's.
            reading, writing = os.pipe()
            following = asyncio.create_task(_follow(reading, on_line))
            try:
                try:
                    process = await asyncio.create_subprocess_exec(
                        sys.executable,
                        *("-m", "qonverge.client.program.run", str(file), *args),
                        env=self._environment(job, identity, running.token, termination),
                        stdin=asyncio.subprocess.DEVNULL,
                        stdout=writing,
                        stderr=writing,
                        start_new_session=True,
                    )
                finally:
                    os.close(writing)
                ended = asyncio.create_task(process.wait())
                try:
                    await asyncio.wait([ended, following], return_when=asyncio.FIRST_COMPLETED)
                    if following.done():
                        # Nobody takes the output any more: the program must not wait for ever to write it.
                        following.result()
                    code = await ended
                finally:
                    # As in a container, what the program started ends with it.
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    await ended
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(following), _DRAIN_SECONDS)
            finally:
                following.cancel()
                await asyncio.wait([following])
                del self._running[identity]
                meters = await self._engine.exchange({}, boot)
            with contextlib.suppress(FileNotFoundError):
                left = termination.read_text(encoding="utf-8", errors="replace")[:_LOG_CHARACTERS]
        last, used = running.result, meters.by_account[identity].used
        return Ended(code, used, left, None if last is None else last.result, last is not None)

    def _environment(self, job: HybridJob, identity: str, token: str, termination: Path) -> dict[str, str]:
        spec = job.spec
        given = {"QONVERGE_SEED": spec.seed, "QONVERGE_SHOTS": spec.shots, "QONVERGE_PRECISION": spec.precision}
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("QONVERGE_")},
            **{name: str(value) for name, value in given.items() if value is not None},
            "QONVERGE_BACKEND_URL": self._url,
            "QONVERGE_TOKEN": token,
            "QONVERGE_TERMINATION_LOG": str(termination),
            "QONVERGE_REPORT_URL": f"{self._url}/v1/reports/{identity}",
            "QONVERGE_JOB": f"{job.metadata.namespace}/{job.metadata.name}",
        }

    def _verify(self, token: str | None) -> Caller:
        for identity, running in self._running.items():
            if token and secrets.compare_digest(token.encode(), running.token.encode()):
                return Caller("local", identity, 1)
        raise Unauthorized("the token is not the one of this run")

    async def _report(self, request: Request) -> Response:
        running = self._running.get(request.path_params["identity"])
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if running is None or not secrets.compare_digest(token.encode(), running.token.encode()):
            return Response("no program of this run reports here\n", 404)
        answer = await reports.answer(await request.body(), running.take)
        return Response(answer.text or None, answer.status)


async def _follow(descriptor: int, on_line: Callable[[str], None]) -> None:
    """Pass each line on; a very long one in parts."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    rest = b""
    try:
        while chunk := await reader.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LOG_CHARACTERS * 4:
                lines.append(rest)
                rest = b""
            for line in lines:
                on_line(_text(line))
    finally:
        # Something that the program left behind may hold its output open: what came by now is all.
        transport.close()
        if rest:
            on_line(_text(rest))


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")
