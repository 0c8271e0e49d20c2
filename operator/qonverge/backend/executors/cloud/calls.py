"""Calls of a cloud: on threads, paced, counted, and told apart by what their failure means."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal, TypeVar

from qonverge.backend.clouds.errors import CannotFind, CloudBusy, CloudError, CloudRefused, ReplyLost
from qonverge.backend.clouds.protocol import (
    Cloud,
    CloudTask,
    Device,
    ProgramFailure,
    ProgramSetCloud,
    Submission,
    TaggingCloud,
)
from qonverge.backend.executors.cloud.pacing import Pacer
from qonverge.backend.executors.cloud.patience import Patience
from qonverge.telemetry import BackendMetrics

_THREADS = 16
_Answer = TypeVar("_Answer")
_Kind = Literal["submit", "read", "cancel"]

logger = logging.getLogger(__name__)


class Calls:
    """A cloud's methods, awaitable. Those that change nothing are repeated until they are answered."""

    def __init__(
        self,
        cloud: Cloud,
        metrics: BackendMetrics,
        patience: Patience,
        redact: Callable[[str], str],
        troubled: Callable[[], None],
    ) -> None:
        """``redact`` takes credentials out of the cloud's words; ``troubled`` is told when ``trouble`` has changed."""
        self.cloud, self._redact = cloud, redact
        self._metrics, self._troubled = metrics, troubled
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="cloud")
        clock = asyncio.get_running_loop().time
        rates: dict[_Kind, float] = {"submit": cloud.rates.submit, "read": cloud.rates.read}
        self._cancelling: _Kind = "submit"
        if cloud.rates.cancel is not None:
            self._cancelling, rates["cancel"] = "cancel", cloud.rates.cancel
        self._pacers = {
            kind: Pacer(rate, patience, clock, metrics.cloud_wait_seconds.labels(kind=kind).inc)
            for kind, rate in rates.items()
        }
        self._trouble: dict[_Kind, CloudError | None] = dict.fromkeys(rates)

    @property
    def trouble(self) -> CloudError | None:
        """Why what is to be sent or read fails now, and so waits; None where it does not."""
        return self._trouble["submit"] or self._trouble["read"]

    async def submit(self, prepare: Callable[[], Awaitable[tuple[str, Sequence[Submission]] | None]]) -> str:
        """Send once what ``prepare`` gives when it is its turn; None: nothing, and the id is empty."""
        return await self._once("submit", "submit", self._send, prepare) or ""

    def _send(self, key: str, submissions: Sequence[Submission]) -> str:
        if len(submissions) == 1:
            return self.cloud.submit(key, submissions[0])
        return self._set_cloud.submit_set(key, submissions)

    @property
    def _set_cloud(self) -> ProgramSetCloud:
        if not isinstance(self.cloud, ProgramSetCloud):
            raise CloudRefused("the provider says that a task may have several programs, and cannot send such a task")
        return self.cloud

    async def cancel(self, identity: str) -> None:
        """Ask once for a task to end; where that counts as sending, before all that wait to be sent."""
        urgent = self._cancelling == "submit"
        await self._once(self._cancelling, "cancel", self.cloud.cancel, _these(identity), urgent=urgent)

    @property
    def cancel_backlog(self) -> float:
        """Seconds until a task is asked to end that joins those which wait for that, by the cloud's limit."""
        return self._pacers[self._cancelling].backlog

    async def look(self) -> Device:
        """Ask once for the device."""
        device = await self._once("read", "device", self.cloud.device, _these())
        assert device is not None
        return replace(device, reason=self._redact(device.reason))

    async def tasks(self, pick: Callable[[], Sequence[str]]) -> Mapping[str, CloudTask]:
        """Ask once how tasks stand; ``pick`` says which when it is its turn."""
        told = await self._once("read", "tasks", self.cloud.tasks, _picked(pick)) or {}
        return {identity: replace(task, message=self._redact(task.message)) for identity, task in told.items()}

    async def find(self, pick: Callable[[], tuple[Sequence[str], float]]) -> Mapping[str, str]:
        """Ask once which of some keys are there; ``pick`` says which, and since when, when it is its turn."""

        async def given() -> tuple[Sequence[str], float] | None:
            keys, since = pick()
            return (keys, since) if keys else None

        return await self._once("read", "find", self.cloud.find, given) or {}

    async def of_run(self, run: str) -> Sequence[str]:
        """Ask until it is told which tasks of an attempt at a program have not ended; of a cloud that tells, none else.

        Raises:
            CloudRefused: it will not tell.
        """
        cloud = self.cloud
        if not isinstance(cloud, TaggingCloud):
            return ()
        return await self._answered(f"what is left of {run}", "of_run", cloud.of_run, run) or ()

    async def result(self, identity: str) -> str:
        """Return the answer of a task, asked for until there is one.

        Raises:
            CloudRefused: there is none.
        """
        return await self._answered(f"the result of {identity}", "result", self.cloud.result, identity) or ""

    async def results(self, identity: str) -> Sequence[str | ProgramFailure]:
        """Return the answers of a task of several programs, asked for until there are some.

        Raises:
            CloudRefused: there are none.
        """
        found = await self._answered(f"the results of {identity}", "result", self._set_results, identity) or ()
        return [
            replace(each, message=self._redact(each.message)) if isinstance(each, ProgramFailure) else each
            for each in found
        ]

    def _set_results(self, identity: str) -> Sequence[str | ProgramFailure]:
        return self._set_cloud.results(identity)

    async def _answered(
        self, what: str, name: str, function: Callable[[str], _Answer], argument: str
    ) -> _Answer | None:
        """Call until there is an answer; only ``CloudRefused`` is one of the errors."""
        while True:
            try:
                return await self._once("read", name, function, _these(argument))
            except CloudRefused:
                raise
            except CloudError as error:
                logger.info("%s is asked for again: %s", what, error)

    def reopened(self) -> None:
        """Take that the device is there again, or that nothing waits: what is sent next needs not wait longer."""
        self._worked("submit")

    def close(self) -> None:
        """Begin no more calls."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _once(
        self,
        kind: _Kind,
        name: str,
        function: Callable[..., _Answer],
        prepare: Callable[[], Awaitable[tuple[Any, ...] | None]],
        *,
        urgent: bool = False,
    ) -> _Answer | None:
        """Make a call when it is its turn, with the arguments that ``prepare`` gives then; None: not at all."""
        pacer = self._pacers[kind]
        async with pacer.turn(urgent=urgent):
            arguments = await prepare()
            if arguments is None:
                return None
            try:
                answer = await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
            except Exception as error:
                failure = self._told(name, error)
                self._metrics.cloud_calls.labels(call=name, result=failure.code).inc()
                if isinstance(failure, CloudRefused | CannotFind):
                    # The cloud has answered, or was not asked.
                    self._worked(kind)
                else:
                    pacer.failed(failure.after if isinstance(failure, CloudBusy) else None)
                    self._set(kind, failure)
                raise failure from None
        self._metrics.cloud_calls.labels(call=name, result="Ok").inc()
        self._worked(kind)
        return answer

    def _told(self, name: str, error: Exception) -> CloudError:
        if isinstance(error, CloudError):
            error.args = tuple(self._redact(str(part)) for part in error.args)
            return error
        # A defect of the provider. Its message may be anything, a credential too; and nobody knows what was sent.
        logger.error("the provider's %s failed with %s, which is none of its errors", name, type(error).__name__)
        return ReplyLost(f"the provider's {name} failed with {type(error).__name__}, a defect of it")

    def _worked(self, kind: _Kind) -> None:
        self._pacers[kind].worked()
        self._set(kind, None)

    def _set(self, kind: _Kind, failure: CloudError | None) -> None:
        before, self._trouble[kind] = self._trouble[kind], failure
        if str(before or "") != str(failure or ""):
            self._troubled()


def _these(*arguments: Any) -> Callable[[], Awaitable[tuple[Any, ...]]]:
    async def given() -> tuple[Any, ...]:
        return arguments

    return given


def _picked(pick: Callable[[], Sequence[str]]) -> Callable[[], Awaitable[tuple[Sequence[str]] | None]]:
    async def given() -> tuple[Sequence[str]] | None:
        picked = pick()
        return (picked,) if picked else None

    return given
