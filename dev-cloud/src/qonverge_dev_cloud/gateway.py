"""What every call of every cloud goes through: limits, faults before and after its effect, and the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.faults import Fault, FaultPlan
from qonverge_dev_cloud.journal import Journal
from qonverge_dev_cloud.limits import LimitPlan


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a call: its reply, and for the journal what it was and did."""

    response: web.Response
    effect: bool = False
    made: str | None = None


class Gateway:
    """Lets calls of one cloud through."""

    def __init__(self, cloud: str, clock: Clock, journal: Journal, faults: FaultPlan, limits: LimitPlan) -> None:
        self._cloud, self._clock, self._journal = cloud, clock, journal
        self._faults, self._limits = faults, limits

    async def call(
        self,
        request: web.Request,
        operation: str,
        values: dict[str, Any],
        carry_out: Callable[[], Done],
        error: Callable[[int], web.Response],
    ) -> web.Response:
        """Carry out a call, in a thread, unless a limit or a fault prevents it.

        Args:
            request: whose connection a fault may end.
            operation: by the vendor's name.
            values: what the request says, without credentials.
            carry_out: does it.
            error: makes the vendor's reply with the HTTP status of a fault, or 429.
        """
        done: Done | None = None
        faults: tuple[Fault, ...] = ()
        beyond = not self._limits.admits(self._cloud, operation, self._clock.elapsed())
        if beyond:
            response: web.Response | None = error(429)
        else:
            faults = self._faults.of(self._cloud, operation)
            response = await self._fault(request, faults, "before", error)
        if response is None:
            done = await asyncio.to_thread(carry_out)
            response = await self._fault(request, faults, "after", error) or done.response
        lost = request.transport is None or request.transport.is_closing()
        self._journal.add(
            time=self._clock.elapsed(),
            cloud=self._cloud,
            operation=operation,
            request=values,
            status=None if lost else response.status,
            effect=done is not None and done.effect,
            faults=("limit",) if beyond else tuple(f"{own.kind} {own.when}" for own in faults),
            made=None if done is None else done.made,
        )
        return response

    async def _fault(
        self, request: web.Request, faults: tuple[Fault, ...], when: str, error: Callable[[int], web.Response]
    ) -> web.Response | None:
        """Let the call go wrong, if it has to; return the reply that ends it."""
        for fault in faults:
            if fault.when != when:
                continue
            if fault.kind == "slow":
                await asyncio.sleep(fault.seconds)
            elif fault.kind == "lostReply":
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            else:
                return error(fault.status)
        return None
