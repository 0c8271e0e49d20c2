"""Events for people: one for each thing that happened, not one for each time that it was noticed."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qonverge.api.conditions import timestamp
from qonverge.controller.kube.client import Kube, KubeError

logger = logging.getLogger(__name__)
_MAX_MESSAGE = 1000
# Of one namespace and type: so many at once, and so many a second from then on. Thousands of jobs that end together
# would otherwise cost as many writes again, and the status of each says all.
_BURST = 50.0
_RATE = 1.0
_MOST_NAMESPACES = 1000
_END_SECONDS = 2.0


@dataclass(slots=True)
class _Allowance:
    """How many events may be written, as of a time."""

    left: float
    at: float

    def take(self, now: float) -> bool:
        self.left, self.at = min(_BURST, self.left + max(0.0, now - self.at) * _RATE), now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Events:
    """Writes events, beside all other work; a second one about the same object, reason and message is the first."""

    def __init__(self, kube: Kube, clock: Callable[[], float]) -> None:
        """``clock`` gives Unix seconds."""
        self._kube = kube
        self._clock = clock
        self._waiting: deque[dict[str, Any]] = deque()
        self._news = asyncio.Event()
        self._allowances: dict[tuple[str, str], _Allowance] = {}

    def warn(self, obj: dict[str, Any], reason: str, message: str) -> None:
        """Write a warning about an object, unless its namespace had very many lately."""
        self._add(obj, "Warning", reason, message)

    def note(self, obj: dict[str, Any], reason: str, message: str) -> None:
        """Write a normal event about an object, unless its namespace had very many lately."""
        self._add(obj, "Normal", reason, message)

    async def run(self) -> None:
        """Write what was noted until cancelled."""
        while True:
            await self._news.wait()
            await self.flush()

    async def flush(self) -> None:
        """Write what was noted until now."""
        while self._waiting:
            event = self._waiting.popleft()
            try:
                await self._kube.create(event)
            except KubeError as error:
                # An event is a courtesy: without it nothing else stops.
                if error.status != 409:
                    logger.warning("an event could not be written: %s", error)
        self._news.clear()

    async def close(self) -> None:
        """Write what is left, as far as that is quick."""
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self.flush()
        except TimeoutError:
            logger.warning("%d events were not written", len(self._waiting))

    def _add(self, obj: dict[str, Any], kind: str, reason: str, message: str) -> None:
        if self._admits(obj["metadata"]["namespace"], kind):
            self._waiting.append(self._event(obj, kind, reason, message))
            self._news.set()

    def _admits(self, namespace: str, kind: str) -> bool:
        now = self._clock()
        if len(self._allowances) > _MOST_NAMESPACES:
            self._allowances.clear()
        return self._allowances.setdefault((namespace, kind), _Allowance(_BURST, now)).take(now)

    def _event(self, obj: dict[str, Any], kind: str, reason: str, message: str) -> dict[str, Any]:
        metadata = obj["metadata"]
        digest = hashlib.sha256(f"{metadata['uid']}{reason}{message}".encode()).hexdigest()[:16]
        now = timestamp(self._clock())
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name'][:200]}.{digest}", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": obj["apiVersion"],
                "kind": obj["kind"],
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "type": kind,
            "reason": reason,
            "message": message[:_MAX_MESSAGE],
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": "qonverge"},
        }
