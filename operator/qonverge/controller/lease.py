"""Leader election by a Lease, as client-go does it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from qonverge.controller.kube import Kube, KubeError

logger = logging.getLogger(__name__)

DURATION_SECONDS = 15
RENEW_SECONDS = 2.0


class Election:
    """Takes and holds the Lease."""

    def __init__(self, kube: Kube, namespace: str, name: str, identity: str, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds, only differences count."""
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._seen: tuple[str, float] = ("", 0.0)
        self._held_at: float | None = None
        self._answered: float | None = None

    @property
    def leading(self) -> bool:
        """Whether the Lease is held, and was renewed so recently that nobody else can have taken it."""
        return self._held_at is not None and self._clock() - self._held_at < DURATION_SECONDS * 0.8

    def answered_within(self, limit: float) -> bool:
        """Return whether the API server answered in the last so many seconds."""
        return self._answered is not None and self._clock() - self._answered < limit

    async def campaign(self, on_change: Callable[[bool], None]) -> None:
        """Try to get and keep the Lease until cancelled."""
        leading = False
        while True:
            try:
                await self._attempt()
                self._answered = self._clock()
            except KubeError as error:
                # Without an API server nobody else can take the Lease, but nobody can know that it is still ours.
                logger.warning("the lease could not be renewed: %s", error)
            if leading != self.leading:
                leading = self.leading
                on_change(leading)
            await asyncio.sleep(RENEW_SECONDS)

    async def release(self) -> None:
        """Give the Lease back, so that another replica takes it at once."""
        if self._held_at is None:
            return
        self._held_at = None
        lease = await self._kube.get("Lease", self._namespace, self._name)
        if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
            lease["spec"] = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
            await self._kube.replace(lease)

    async def _attempt(self) -> None:
        now = self._clock()
        lease = await self._kube.get("Lease", self._namespace, self._name)
        if lease is None:
            await self._write(self._kube.create, {"metadata": {}, "spec": {}}, now)
            return
        spec = lease.get("spec") or {}
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, now)
        holder = spec.get("holderIdentity")
        # Times on other machines are not compared: a Lease is free when it has not changed for its duration here.
        expired = now - self._seen[1] > spec.get("leaseDurationSeconds", DURATION_SECONDS)
        if holder in (self._identity, "", None) or expired:
            await self._write(self._kube.replace, lease, now)
        else:
            self._held_at = None

    async def _write(self, write: Callable[[dict[str, Any]], Any], lease: dict[str, Any], now: float) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = lease["spec"]
        changed = spec.get("holderIdentity") != self._identity
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {**lease["metadata"], "namespace": self._namespace, "name": self._name},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": DURATION_SECONDS,
                "acquireTime": stamp if changed else spec.get("acquireTime", stamp),
                "renewTime": stamp,
                "leaseTransitions": spec.get("leaseTransitions", 0) + (1 if changed else 0),
            },
        }
        try:
            await write(body)
        except KubeError as error:
            if error.status != 409:
                raise
            self._held_at = None
            return
        self._held_at = now
