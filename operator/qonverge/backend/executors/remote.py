"""Tasks that another server of the task protocol runs: the executor of backends at a site, at the edge, elsewhere.

A task has its key in its id there, so it may be sent again whenever its fate is not known: the other server takes it
once. While the link is cut tasks wait and say why; nothing is on disk here, since a caller that sends a task again
after a restart has the same key.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from dataclasses import replace

from cachetools import LRUCache

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.protocol import Description, Execution, Outcome, Request, RunFacts, failing
from qonverge.backend.executors.remote_link import LinkDown, NotReached, RemoteLink
from qonverge.backend.executors.remote_listing import RemoteListing
from qonverge.backend.executors.remote_site import RemoteSite
from qonverge.devices.noise import Noise
from qonverge.providers.remote import RemoteOptions
from qonverge.queueing import Backoff
from qonverge.telemetry import BackendMetrics
from qonverge.wire.errors import (
    Cancelled,
    Draining,
    NotFound,
    Unauthorized,
    UnknownCircuit,
    WireError,
)
from qonverge.wire.messages import Task, TaskResult
from qonverge.wire.vendor import VendorTask

_POLL_SECONDS = 20.0
# Requests that wait at the other server at the same time; of more tasks it is asked for the list.
_MOST_POLLS = 64
_MOST_SENDS = 16
_BACKOFF = Backoff(0.1, 15.0)
# For an answer to a caller who cancels; it goes on afterwards.
_CANCEL_SECONDS = 5.0
# How often a task that may be under way is looked for before it is believed not to be there.
_CANCEL_TRIES = 4
_KNOWN_CIRCUITS = 4096

logger = logging.getLogger(__name__)


class Remote:
    """Forwards tasks."""

    def __init__(self, config: EngineConfig, metrics: BackendMetrics) -> None:
        """Ask nothing yet.

        Raises:
            RuntimeError: the options name no server.
        """
        try:
            options = RemoteOptions.read(config.options)
        except LookupError as error:
            raise RuntimeError(str(error.args[0])) from None
        self._link = RemoteLink(options, config.credentials, metrics)
        self._site = RemoteSite(self._link, config)
        self._following: dict[str, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._listing = RemoteListing(self._link)
        self._polls = asyncio.Semaphore(_MOST_POLLS)
        self._sends = asyncio.Semaphore(_MOST_SENDS)
        self._known: LRUCache[str, None] = LRUCache(_KNOWN_CIRCUITS)

    @property
    def config(self) -> EngineConfig:
        """What tasks run with there, as far as it is known."""
        return self._site.config

    @property
    def description(self) -> Description:
        """What the other server says of itself, and how the link is."""
        return self._site.description

    @property
    def capacity(self) -> int:
        """How many tasks run there at once."""
        return self._site.workers

    @property
    def ready(self) -> bool:
        """Whether the other server has answered since the start: then tasks wait for the link where it is cut."""
        return self._site.known

    @property
    def durable(self) -> bool:
        """Tasks go on there when this process ends."""
        return True

    def recover(self) -> Iterable[Request]:
        """Callers send their tasks again."""
        return ()

    async def start(self) -> None:
        """Return when the other server has answered."""
        await self._site.start()

    def submit(self, execution: Execution) -> None:
        """Send a task, or find the one that was sent before."""
        key = _identity(execution.request)
        following = self._following[key] = asyncio.create_task(self._follow(execution, key))
        following.add_done_callback(lambda _: self._following.pop(key, None))

    async def cancel(self, execution: Execution) -> None:
        """Cancel a task there; where the link is cut, as soon as it is back."""
        key = _identity(execution.request)
        following = self._following.get(key)
        if following is not None:
            following.cancel()
            await asyncio.wait([following])
        cancelling = self._spawn(self._cancel(execution, key))
        await asyncio.wait([cancelling], timeout=_CANCEL_SECONDS)

    def forget(self, request: Request, *, answered: bool) -> None:
        """Let the other server drop an end that a caller was given a while ago."""
        if answered:
            self.delivered(request)

    def delivered(self, request: Request) -> None:
        """Let the other server drop an end that the caller has."""
        self._site.acknowledge(_identity(request))

    async def end_run(self, run: str) -> tuple[VendorTask, ...]:
        """Cancel what is there of an attempt at a program, whoever sent it; see ``Executor.end_run``."""
        try:
            left = [identity for identity in await self._listing.states() if identity.startswith(f"{run}.")]
            for identity in left:
                await self._link.ask("cancel", "DELETE", f"/v1/tasks/{identity}")
        except (LinkDown, WireError) as error:
            return (VendorTask("", "Queued", message=str(error)),)
        return tuple(VendorTask(identity, "Running", message="it was asked to end") for identity in left)

    async def recalibrate(self, noise: Noise) -> None:
        """Refuse: the other server has its own calibration."""
        raise RuntimeError(f"a remote backend has the calibration of its server, and does not imitate {noise.name}")

    async def close(self) -> None:
        """Stop asking; tasks go on there."""
        tasks = [*self._following.values(), *self._background]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._listing.close()
        await self._site.close()
        await self._link.close()

    async def _follow(self, execution: Execution, key: str) -> None:
        """Bring a task to its end."""
        with failing(execution):
            request = execution.request
            # What this side says of namespaces and jobs the other one does not believe.
            task = replace(request.task, id=key, namespace="", job="")
            state, sent, tries, polls = "Queued", False, 0, 0
            while not execution.ended:
                try:
                    result = await (self._poll(key, state, polls) if sent else self._send(task))
                except (LinkDown, WireError) as error:
                    if not _passes(error, sent=sent):
                        raise
                    if isinstance(error, NotFound | LinkDown) and not isinstance(error, NotReached):
                        task = replace(task, again=True)
                    sent = sent and not isinstance(error, NotFound)
                    if isinstance(error, LinkDown):
                        self._site.lost(str(error))
                    execution.note((VendorTask(key, state, message=str(error)),))
                    await asyncio.sleep(_BACKOFF.wait(tries + 1))
                    await self._site.up.wait()
                    tries += 1
                    continue
                sent = not isinstance(result.error, Draining)
                if not sent:
                    # It was handed back, and begins anew when that server does.
                    execution.note((VendorTask(key, "Queued", message=str(result.error)),))
                    await asyncio.sleep(_BACKOFF.wait(tries + 1))
                    tries += 1
                    continue
                tries, polls, state = 0, polls + 1, result.state
                _report(execution, key, result, len(task.pubs))
        execution.release()

    async def _send(self, task: Task) -> TaskResult:
        async with self._sends:
            lacking = {digest: qpy for digest, qpy in task.circuits.items() if digest not in self._known}
            try:
                answer = await self._link.ask("submit", "POST", "/v1/tasks", replace(task, circuits=lacking).to_dict())
            except UnknownCircuit:
                answer = await self._link.ask("submit", "POST", "/v1/tasks", task.to_dict())
            self._known.update(dict.fromkeys(task.circuits))
        return _read(answer)

    async def _poll(self, key: str, state: str, polls: int) -> TaskResult:
        wait = 0.0
        if len(self._following) > _MOST_POLLS:
            await self._listing.changed(key, state)
        else:
            # An answer comes at the end only: that a task has begun is seen between two requests.
            wait = min(_POLL_SECONDS, 0.5 * 2.0 ** min(polls, 10))
        async with self._polls:
            return _read(await self._link.ask("poll", "GET", f"/v1/tasks/{key}?wait={wait:g}", wait=wait))

    async def _cancel(self, execution: Execution, key: str) -> None:
        tries = 0
        while True:
            try:
                await self._link.ask("cancel", "DELETE", f"/v1/tasks/{key}")
                break
            except NotFound:
                # What was sent when the link broke may still be on its way.
                if tries >= _CANCEL_TRIES:
                    break
            except LinkDown as error:
                self._site.lost(str(error))
                await self._site.up.wait()
            except WireError as error:
                if not _passes(error, sent=True):
                    logger.warning("task %s is not cancelled at the other site: %s", execution.request.task.id, error)
                    break
            await asyncio.sleep(_BACKOFF.wait(tries + 1))
            tries += 1
        execution.release()

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


def _identity(request: Request) -> str:
    """Return a task's id there: its key, behind what tells an attempt at a program from all others."""
    run = request.caller.run
    return f"{run}.{request.key}" if run else request.key


def _passes(error: LinkDown | WireError, *, sent: bool) -> bool:
    """Return whether what went wrong is waited out: it had no effect, or what has its effect is found again."""
    if isinstance(error, NotFound):
        return sent
    return isinstance(error, LinkDown | Unauthorized) or error.retryable


def _read(answer: dict[str, object]) -> TaskResult:
    try:
        return TaskResult.from_dict(answer)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LinkDown(f"the other server's answer is none of the protocol ({type(error).__name__}: {error})") from None


def _report(execution: Execution, key: str, result: TaskResult, pubs: int) -> None:
    """Report how a task stands there."""
    task = VendorTask(key, result.state, run_seconds=result.run_seconds if result.done else None)
    if not result.done:
        if result.state == "Running":
            execution.begin()
        execution.note((task, *result.vendor_tasks))
        return
    execution.note((task, *result.vendor_tasks))
    if result.error is not None or result.state != "Completed":
        execution.fail(result.error or Cancelled("the task was cancelled at the other site"))
        return
    if len(result.results) != pubs:
        raise WireError(f"the other server gave {len(result.results)} results for {pubs} circuits")
    execution.begin()
    run = RunFacts(result.engine, result.seed, result.run_seconds, result.cached)
    vendor_tasks = (task, *result.vendor_tasks)
    execution.complete(Outcome(result.results, result.calibration, result.peak_bytes, vendor_tasks, run))
