"""What earlier processes began at a cloud for an attempt at a program that is over: found by its tag, and cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from qonverge.backend.clouds.errors import CloudError, CloudRefused
from qonverge.backend.clouds.protocol import TaggingCloud
from qonverge.backend.executors.cloud.calls import Calls
from qonverge.wire.vendor import VendorTask

# Whoever asks waits for so long, and asks again: one of the operator's workers is busy with nothing else meanwhile.
_ANSWER_SECONDS = 2.0

logger = logging.getLogger(__name__)


class Leftovers:
    """Ends what is left of attempts; each is looked after once at a time, however often that is asked for."""

    def __init__(self, calls: Calls, certain: float) -> None:
        """``certain`` is when listings have all that an earlier process sent, on the event loop's clock."""
        self._calls, self._certain = calls, certain
        self._clock = asyncio.get_running_loop().time
        self._ending: dict[str, asyncio.Task[tuple[VendorTask, ...]]] = {}

    async def end(self, run: str, known: Collection[str]) -> tuple[VendorTask, ...]:
        """Ask for the end of an attempt's tasks, and return those that may not have ended.

        Args:
            run: the attempt.
            known: ids of tasks that this process follows, and cancels itself.
        """
        ending = self._ending.get(run)
        if ending is None:
            ending = self._ending[run] = asyncio.create_task(self._end(run, known))
        await asyncio.wait((ending,), timeout=_ANSWER_SECONDS)
        if not ending.done():
            return (_waits(f"the cloud has not told what it has: {self._calls.trouble or 'it is asked'}"),)
        self._ending.pop(run, None)
        return ending.result()

    async def close(self) -> None:
        """Ask for nothing more."""
        for ending in self._ending.values():
            ending.cancel()
        await asyncio.gather(*self._ending.values(), return_exceptions=True)

    async def _end(self, run: str, known: Collection[str]) -> tuple[VendorTask, ...]:
        if not isinstance(self._calls.cloud, TaggingCloud):
            logger.warning(
                "the provider lists no tasks by their tags: what an earlier pod sent of %s is not ended", run
            )
            return ()
        asked = self._clock()
        try:
            ids = await self._calls.of_run(run)
        except CloudRefused as error:
            return (_waits(f"the cloud does not tell what it has: {error}"),)
        left = [await self._cancelled(identity) for identity in ids if identity not in known]
        if not left and asked < self._certain:
            return (_waits("what was sent just before this pod began may not be listed yet"),)
        return tuple(left)

    async def _cancelled(self, identity: str) -> VendorTask:
        """Ask for a task to end; whether it has is told by the next listing."""
        try:
            await self._calls.cancel(identity)
            message = "it was asked to end"
        except CloudError as error:
            message = f"it is not cancelled yet: {error}"
        return VendorTask(identity, "Queued", self._calls.cloud.link(identity), message)


def _waits(message: str) -> VendorTask:
    return VendorTask("", "Queued", message=message)
