"""``qonverge session``: a backend of the cluster for a notebook on this machine, for a while."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from qonverge.api.base import API_VERSION
from qonverge.api.session import SessionStatus
from qonverge.cli import job_lines
from qonverge.cli.cluster import Cluster, NoAnswer, connected
from qonverge.cli.exits import COMPLETED, FAILED
from qonverge.cli.following import SeenJob, followed
from qonverge.cli.port_forward import PortForward
from qonverge.cli.session_files import TokenFile
from qonverge.client.errors import BackendUnreachable, TaskFailed, UntrustedBackend
from qonverge.client.transport.connection import Connection

# A token is renewed at half of its ten minutes.
_RENEWAL_SECONDS = 20.0
_PAUSE_SECONDS = 1.0
# A busy cluster may take so long to open a connection, and to count what was used at last.
_REACH_SECONDS = 60.0
_END_SECONDS = 30.0
_KEPT_SECONDS = 24 * 3600
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SessionFailed(Exception):
    """There was no session, or it ended badly."""


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What a person asks for."""

    duration: str
    """As Kubernetes writes it, such as 1h30m."""
    backend: str | None = None
    """NAME or NAMESPACE/NAME; None: any."""
    max_shots: int | None = None
    budget: Mapping[str, str] | None = None
    """Amount and currency."""
    priority_class: str | None = None

    def manifest(self) -> dict[str, Any]:
        """Return the job that asks the operator for it."""
        section = {"duration": self.duration, **({} if self.max_shots is None else {"maxShots": self.max_shots})}
        spec: dict[str, Any] = {"program": {"session": section}, "ttlSecondsAfterFinished": _KEPT_SECONDS}
        if self.backend is not None:
            namespace, _, name = self.backend.rpartition("/")
            spec["backend"] = {"name": name, **({"namespace": namespace} if namespace else {})}
        if self.budget is not None:
            spec["budget"] = dict(self.budget)
        if self.priority_class is not None:
            spec["priorityClassName"] = self.priority_class
        return {"apiVersion": API_VERSION, "kind": "HybridJob", "metadata": {"generateName": "session-"}, "spec": spec}


def run_session(
    request: SessionRequest, namespace: str | None, *, command: Sequence[str], url: str | None, port: int
) -> int:
    """Begin a session, keep it for a command or until a signal, end it, and return the exit status.

    Args:
        request: what is asked for.
        namespace: of the session; None: that of the context.
        command: runs with the backend in its environment; empty: the environment is printed.
        url: where this machine reaches the backend; None: through the API server.
        port: of this machine, to which connections are made then; 0: any.

    Raises:
        NoAnswer: the API server does not answer, or refuses.
        SessionFailed: the session did not begin, or ended badly.
        OSError: the port is taken, or the command cannot be started.
    """
    return asyncio.run(_run(request, namespace, command, url, port))


async def _run(
    request: SessionRequest, namespace: str | None, command: Sequence[str], url: str | None, port: int
) -> int:
    # From the first: what is created is ended.
    with _Signals() as signals:
        return await _begin(request, namespace, command, url, port, signals)


async def _begin(
    request: SessionRequest,
    namespace: str | None,
    command: Sequence[str],
    url: str | None,
    port: int,
    signals: _Signals,
) -> int:
    async with connected() as cluster:
        where = namespace or cluster.namespace
        made = await cluster.create(request.manifest(), where)
        if made is None:
            raise NoAnswer("the API server found no free name for the session: try again")
        watched = _Watched(cluster, where, made["metadata"]["name"])
        _say(f"hybridjob/{watched.name} created")
        try:
            async with _kept_up(watched.follow()):
                return await _use(watched, signals, command, url, port)
        finally:
            async with _kept_up(watched.follow()):
                await watched.end()


async def _use(watched: _Watched, signals: _Signals, command: Sequence[str], url: str | None, port: int) -> int:
    await _first(watched.running, watched.ended, signals.asked)
    if not watched.running.is_set():
        if watched.ended.is_set():
            raise SessionFailed(job_lines.failure(watched.seen))
        return signals.status
    with tempfile.TemporaryDirectory(prefix="qonverge-session-") as folder:
        token = TokenFile(Path(folder))
        token.write(await watched.token())
        forward = PortForward(watched.cluster, lambda: watched.session.service)
        try:
            place = url or await forward.listen(port)
            await _check(place, token, forward, signals)
            if signals.asked.is_set():
                return signals.status
            variables = {"QONVERGE_BACKEND_URL": place, "QONVERGE_TOKEN_FILE": str(token.path)}
            async with _kept_up(_renew(watched, token, command)):
                if command:
                    return await _child(command, variables, signals)
                for name, value in variables.items():
                    print(f"export {name}={value}", flush=True)
                _say("Ctrl-C ends the session")
                await _first(watched.ended, signals.asked)
                return FAILED if watched.ended.is_set() and not watched.seen.complete else COMPLETED
        finally:
            await forward.close()


class _Watched:
    """A session as the API server shows it."""

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self._namespace = namespace
        self._seen: SeenJob | None = None
        self._told: tuple[object, ...] = ()
        self._placed: SessionStatus | None = None
        self.running = asyncio.Event()
        self.ended = asyncio.Event()

    @property
    def seen(self) -> SeenJob:
        """The job as it was last seen, which it was."""
        assert self._seen is not None
        return self._seen

    @property
    def session(self) -> SessionStatus:
        """How the session is used, which has begun."""
        assert self._placed is not None
        return self._placed

    async def follow(self) -> None:
        """See what becomes of it until it has ended, and say so."""
        silent = False
        while not self.ended.is_set():
            try:
                if self._seen is not None and not await self._is_there():
                    self._take(SeenJob(self._namespace, self.name, "", "", self._seen.status, deleted=True))
                    return
                async for changed in followed(self.cluster, self._namespace, [self.name]):
                    silent = False
                    self._take(changed[-1])
                    if self.ended.is_set():
                        return
            except NoAnswer as error:
                # The session goes on, and may be used, as long as its token is good.
                if not silent:
                    _say(f"what becomes of {self.name} is not known for now: {error}")
                silent = True
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _is_there(self) -> bool:
        return bool((await self.cluster.listed("hybridjobs", self._namespace, f"metadata.name={self.name}"))[0])

    def _take(self, job: SeenJob) -> None:
        self._seen = job
        if (placed := job.status.session) is not None:
            self._placed = placed
        if self._told != (now := job_lines.key(job)):
            self._told = now
            if job.status.state == "Running":
                _say(f"{job.name}  Running on {job.status.backend}  until {self.session.ends_at}")
            elif not job.ended:
                _say(job_lines.line(job, time.time()))
        if job.status.state == "Running" and self._placed is not None:
            self.running.set()
        if job.ended:
            self.ended.set()

    async def token(self) -> str:
        """Return the token as it is now.

        Raises:
            NoAnswer: the API server does not answer, or refuses.
        """
        path = f"/api/v1/namespaces/{quote(self._namespace)}/secrets/{quote(self.session.secret)}"
        return base64.b64decode((await self.cluster.read(path))["data"]["token"]).decode()

    async def end(self) -> None:
        """End the session where it has not ended, and say what was used."""
        if not self.ended.is_set():
            try:
                await self.cluster.change_job(self.name, self._namespace, {"cancel": True})
                async with asyncio.timeout(_END_SECONDS):
                    await self.ended.wait()
            except NoAnswer as error:
                until = "" if self._placed is None else f", and ends by itself at {self._placed.ends_at}"
                _say(f"{self.name} was not ended{until}: {error}")
                return
            except TimeoutError:
                _say(f"{self.name} is about to end: kubectl get hybridjob {self.name} tells what it used")
                return
        elif not self.running.is_set():
            # Why it never began is an error.
            return
        _say(summary(self.seen))


def summary(job: SeenJob) -> str:
    """Return how a session ended, and what was used in it, in a line."""
    status = job.status
    if job.deleted:
        return f"{job.name} was deleted"
    told = [] if status.started_at is None else [f"in {status.duration}"]
    if (used := status.usage) is not None:
        told += [f"{used.shots} shots", f"{used.seconds:.3g} s of the backend"]
        told += [f"{each.amount} {each.currency}" for each in used.costs or ()]
    return f"{job.name} {status.state}: {status.message}" + (f"; used: {', '.join(told)}" if told else "")


async def _renew(watched: _Watched, token: TokenFile, command: Sequence[str]) -> None:
    """Keep the token's file up, until the session ends: then programs read why."""
    while not watched.ended.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RENEWAL_SECONDS):
                await watched.ended.wait()
        if not watched.ended.is_set():
            # A cluster that is silent for a moment is asked again.
            with contextlib.suppress(NoAnswer):
                token.write(await watched.token())
    why = "it was deleted" if watched.seen.deleted else str(watched.seen.status.message)
    token.end(f"the session {watched.name} has ended: {why}")
    if command:
        _say(f"{watched.name} has ended: {why}; {command[0]} goes on without a backend")


async def _check(url: str, token: TokenFile, forward: PortForward, signals: _Signals) -> None:
    """See that the backend answers at the URL and takes the token, unless a signal comes first.

    Raises:
        SessionFailed: it does not.
    """
    backend = Connection(url, lambda: token.path.read_text(encoding="ascii"))
    until = time.monotonic() + _REACH_SECONDS
    while not signals.asked.is_set():
        try:
            await asyncio.to_thread(backend.info)
        except TaskFailed as error:
            raise SessionFailed(f"{url} does not take the session's token: {error}") from None
        except UntrustedBackend as error:
            raise SessionFailed(str(error)) from None
        except BackendUnreachable as error:
            if forward.problem or time.monotonic() > until:
                raise SessionFailed(forward.problem or str(error)) from None
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return


async def _child(command: Sequence[str], variables: Mapping[str, str], signals: _Signals) -> int:
    """Run a command until it ends, and return its exit status as a shell tells it."""
    environment = {name: value for name, value in os.environ.items() if name != "QONVERGE_TOKEN"}
    process = await asyncio.create_subprocess_exec(*command, env={**environment, **variables})
    with signals.passed_to(process):
        code = await process.wait()
    return code if code >= 0 else 128 - code


class _Signals:
    """What asks this process to end."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.status = 0
        """As a shell tells the signal."""
        self._process: asyncio.subprocess.Process | None = None

    def __enter__(self) -> _Signals:
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._take, number)
        return self

    def __exit__(self, *_: object) -> None:
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)

    @contextlib.contextmanager
    def passed_to(self, process: asyncio.subprocess.Process) -> Iterator[None]:
        """Leave it to a command to end until the end of the block."""
        self._process = process
        try:
            yield
        finally:
            self._process = None

    def _take(self, number: signal.Signals) -> None:
        self.status = 128 + number
        if self._process is None:
            self.asked.set()
        elif not (number == signal.SIGINT and sys.stdin is not None and sys.stdin.isatty()):
            # A terminal has given Ctrl-C to the command too.
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


@contextlib.asynccontextmanager
async def _kept_up(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do something beside the block, whose failure ends the block.

    Raises:
        Exception: what it failed of.
    """
    block, task = asyncio.current_task(), asyncio.create_task(work)
    assert block is not None

    def end(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            block.cancel()

    task.add_done_callback(end)
    try:
        yield
    except asyncio.CancelledError:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            block.uncancel()
            raise error from None
        raise
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
