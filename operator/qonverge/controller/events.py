"""Events for people: one for each thing that happened, not one for each time that it was noticed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Any

from qonverge.controller.kube import Kube, KubeError
from qonverge.lifecycle.transitions import timestamp

logger = logging.getLogger(__name__)
_MAX_MESSAGE = 1000


class Events:
    """Writes events; a second one about the same object, reason and message is the first."""

    def __init__(self, kube: Kube, clock: Callable[[], float]) -> None:
        """``clock`` gives Unix seconds."""
        self._kube = kube
        self._clock = clock

    async def warn(self, obj: dict[str, Any], reason: str, message: str) -> None:
        """Write a warning about an object."""
        await self._write(obj, "Warning", reason, message)

    async def note(self, obj: dict[str, Any], reason: str, message: str) -> None:
        """Write a normal event about an object."""
        await self._write(obj, "Normal", reason, message)

    async def _write(self, obj: dict[str, Any], kind: str, reason: str, message: str) -> None:
        metadata = obj["metadata"]
        digest = hashlib.sha256(f"{metadata['uid']}{reason}{message}".encode()).hexdigest()[:16]
        now = timestamp(self._clock())
        event = {
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
        try:
            await self._kube.create(event)
        except KubeError as error:
            # An event is a courtesy: without it nothing else stops.
            if error.status != 409:
                logger.warning("an event could not be written: %s", error)
