"""The server's side of the processes that open circuits: one for what is short, and one for what turns out to be long.

One tenant's heavy circuits must not keep another's small task waiting. All is tried in the first process, for a short
time only, and tenants take turns at it. What takes longer is done in the second one, which is there while it is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any

from cachetools import LRUCache

from qonverge.backend.clouds.measurement import Measurement, reduced
from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.cloud.translating_lane import Lane, TookTooLong
from qonverge.backend.executors.protocol import Description
from qonverge.wire.errors import CircuitTooLarge
from qonverge.wire.messages import PubResult, Task

SHORT_SECONDS = 2.0
"""CPU time of a request in the first process."""
LONG_SECONDS = 120.0
"""The same in the second one: what takes longer is refused."""
_IDLE_SECONDS = 60.0
_REMEMBERED = 4096


class Translators:
    """Plan tasks, translate them and read their answers, in processes of their own."""

    def __init__(self, config: EngineConfig) -> None:
        """Start nothing yet."""
        config = _for_child(config)
        self._short, self._long = Lane(config, SHORT_SECONDS), Lane(config, LONG_SECONDS, idle_seconds=_IDLE_SECONDS)
        # Digests of circuits that took long.
        self._heavy: LRUCache[str, None] = LRUCache(_REMEMBERED)

    @property
    def description(self) -> Description:
        """What the provider's translator says of itself."""
        return self._short.description

    async def start(self) -> None:
        """Start the first process.

        Raises:
            RuntimeError: it does not start, or refuses the configuration.
        """
        await self._short.start()

    def configure(self, config: EngineConfig) -> None:
        """Translate by another configuration from the next call on, as with another calibration."""
        for lane in (self._short, self._long):
            lane.config = _for_child(config)

    async def plan(self, tenant: str, task: Task, most_shots: int | None) -> list[Measurement]:
        """See ``Translation.plan``; ``tenant`` is whose task it is."""
        reply = await self._ask(tenant, "plan", task, most_shots=most_shots)
        return [Measurement(*values) for values in reply["measurements"]]

    async def encode(self, tenant: str, task: Task, measurements: Sequence[Measurement]) -> Submission:
        """See ``Translation.encode``."""
        small, own = reduced(task, measurements)
        reply = await self._ask(tenant, "encode", small, own)
        return Submission(reply["program"], reply["shots"], reply["reading"], inputs=reply["inputs"])

    async def assemble(
        self,
        tenant: str,
        task: Task,
        found: Sequence[Measurement],
        readings: Sequence[Mapping[str, Any]],
        answers: Sequence[bytes],
        seed: int,
        places: Sequence[Sequence[int]],
    ) -> tuple[PubResult, ...]:
        """See ``Translation.assemble``."""
        more = {"readings": readings, "answers": answers, "seed": seed, "places": places}
        reply = await self._ask(tenant, "assemble", task, found, **more)
        return tuple(PubResult.from_dict(result) for result in reply["results"])

    async def close(self) -> None:
        """End the processes."""
        await asyncio.gather(self._short.close(), self._long.close())

    async def _ask(
        self, tenant: str, do: str, task: Task, found: Sequence[Measurement] = (), **more: Any
    ) -> dict[str, Any]:
        request = {"do": do, "task": task.to_dict(), "measurements": [astuple(each) for each in found], **more}
        if not self._heavy.keys() & task.circuits.keys():
            try:
                return await self._short.ask(tenant, request)
            except TookTooLong:
                self._heavy.update(dict.fromkeys(task.circuits))
        try:
            return await self._long.ask(tenant, request)
        except TookTooLong:
            raise CircuitTooLarge("the task takes too long to translate: send less at a time") from None


def _for_child(config: EngineConfig) -> EngineConfig:
    return replace(config, credentials="", concurrency=1, spare=False)
