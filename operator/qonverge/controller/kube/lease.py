"""Leader election by a Lease, as client-go does it, and the peace between operators that meet in a namespace."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from qonverge.controller.kube.claims import Claim, Standing, next_standing, rival
from qonverge.controller.kube.client import Kube, KubeError

logger = logging.getLogger(__name__)

LABEL = "qonverge.io/operator"
"""Selects the operators' Leases; its value says nothing."""
_WATCHES = "qonverge.io/watches"
_STANDING = "qonverge.io/standing"
_ADDRESS = "qonverge.io/reports"
# Shares of the Lease's duration: how often it is renewed, how often others look, how long the holder believes in it.
_RENEW, _LOOK, _BELIEVE = 0.25, 0.0625, 0.8
# Another operator waits longer for one that is silent than its own replicas do, so that one of those takes over.
_PATIENCE = 2.0

Lease = dict[str, Any]


class Election:
    """Takes and holds the Lease of an operator that consists of one or more replicas."""

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str,
        name: str,
        identity: str,
        watches: tuple[str, ...],
        address: str,
        seconds: int,
        clock: Callable[[], float],
    ) -> None:
        """Take what the Lease says.

        Args:
            kube: the API server.
            namespace: where the Leases of all operators of the cluster lie.
            name: of the Lease that the replicas of this operator share.
            identity: this replica.
            watches: namespaces that it looks after; empty: all.
            address: where programs' reports reach this replica, a URL.
            seconds: how long the Lease is good without being renewed.
            clock: gives seconds, only differences count.
        """
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._watches = watches
        self._address = address
        self._seconds = seconds
        self._clock = clock
        # When each Lease was last seen to change, with its resource version.
        self._seen: dict[str, tuple[str, float]] = {}
        self._held: Lease | None = None
        self._held_at: float | None = None
        # How often this replica began to act.
        self._terms = 0
        self._answered: float | None = None
        self.problem: str | None = None
        """Why this replica has the Lease and may not act, or cannot know whether it may."""
        self.leader: str | None = None
        """The address of the replica that holds the Lease."""

    @property
    def leading(self) -> bool:
        """Whether this replica acts: nobody else can have taken its Lease, or what it looks after."""
        return self._held_at is not None and self._clock() - self._held_at < self._seconds * _BELIEVE

    def answered_within(self, limit: float) -> bool:
        """Return whether the API server answered in the last so many seconds."""
        return self._answered is not None and self._clock() - self._answered < limit

    async def campaign(
        self, on_change: Callable[[bool], None], on_refusal: Callable[[Lease, str], Awaitable[None]]
    ) -> None:
        """Try to get and keep the Lease until cancelled.

        Args:
            on_change: is called with whether this replica leads when that has changed. Of a lapse it is told also where
                a renewal that was late has ended it by then: what came meanwhile was left to another leader.
            on_refusal: is called with the Lease and a sentence when another operator looks after the same namespaces.
        """
        told, refused = 0, None
        while True:
            try:
                async with asyncio.timeout(self._seconds / 2):
                    await self._attempt()
                self._answered = self._clock()
            except (KubeError, TimeoutError) as error:
                # Without an API server nobody else can take the Lease, but nobody can know that it is still ours.
                logger.warning("the lease could not be renewed: %s", str(error) or "the API server is too slow")
                if isinstance(error, KubeError) and error.status in (401, 403, 404):
                    self.problem, self._answered = str(error), self._clock()
            term = self._terms if self.leading else 0
            if told and term > told:
                logger.warning("the lease was renewed so late that another replica might have taken it meanwhile")
            if told and told != term:
                on_change(False)
            if term and told != term:
                on_change(True)
            told = term
            if refused != self.problem:
                refused = self.problem
                if refused is not None and self._held is not None:
                    logger.warning("%s", refused)
                    await on_refusal(self._held, refused)
            await asyncio.sleep(self._seconds * (_RENEW if term else _LOOK))

    async def release(self) -> None:
        """Give the Lease back, so that another replica takes it at once, and another operator soon."""
        self._held_at = None
        if self._held is not None:
            spec = {**self._held["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
            try:
                await self._kube.replace({**self._held, "spec": spec})
            except KubeError as error:
                # 409: somebody else has it by now.
                if error.status != 409:
                    raise

    async def _attempt(self) -> None:
        now = self._clock()
        leases = await self._list()
        own = leases.get(self._name)
        if own is not None and not self._is_free(own):
            self._held = self._held_at = self.problem = None
            self.leader = _annotations(own).get(_ADDRESS)
            return
        # Only who has held it all the time may trust that no other operator has begun meanwhile.
        standing = Standing.HELD if self.leading else Standing.WAITING
        standing = self._judge(standing, leases)
        own = await self._write(own, standing)
        if own is not None and standing == Standing.WANTED:
            standing = self._judge(standing, await self._list())
            if standing != Standing.WANTED:
                own = await self._write(own, standing)
        begun = own is not None and standing == Standing.HELD
        if begun and not self.leading:
            self._terms += 1
        self._held, self._held_at = own, now if begun else None
        self.leader = self._address if begun else None

    def _judge(self, standing: Standing, leases: dict[str, Lease]) -> Standing:
        """Return how far this operator is by what the others' Leases say, and stop at once where another one acts."""
        claim, others = self._claim(standing), self._others(leases)
        self.problem = self._sentence(rival(claim, others))
        following = next_standing(claim, others)
        if following != Standing.HELD:
            self._held_at = None
        return following

    async def _list(self) -> dict[str, Lease]:
        """Return the Leases of all operators by name, and keep in mind when each was seen to change."""
        leases = {lease["metadata"]["name"]: lease async for lease in self._kube.list("Lease", self._namespace, LABEL)}
        now, known = self._clock(), self._seen
        self._seen = {}
        for name, lease in leases.items():
            version = lease["metadata"]["resourceVersion"]
            before = known.get(name)
            self._seen[name] = before if before is not None and before[0] == version else (version, now)
        return leases

    def _is_free(self, lease: Lease) -> bool:
        """Return whether this replica may take its operator's Lease, or has it."""
        return _spec(lease).get("holderIdentity") in (self._identity, "", None) or self._silent(lease, 1.0)

    def _silent(self, lease: Lease, times: float) -> bool:
        """Return whether a Lease has not changed for so many times its duration.

        Times on other machines are not compared: what counts is how long no change was seen here.
        """
        since = self._seen[lease["metadata"]["name"]][1]
        duration: int = _spec(lease).get("leaseDurationSeconds", self._seconds)
        return self._clock() - since > times * duration

    def _claim(self, standing: Standing) -> Claim:
        return Claim(self._name, standing, frozenset(self._watches))

    def _others(self, leases: dict[str, Lease]) -> list[Claim]:
        """Return the claims of the other operators that live."""
        found = []
        for name, lease in leases.items():
            if name != self._name and not self._silent(lease, _PATIENCE):
                told = _annotations(lease)
                namespaces = frozenset(told.get(_WATCHES, "").split(",")) - {""}
                found.append(Claim(name, _standing(told.get(_STANDING)), namespaces))
        return found

    def _sentence(self, other: Claim | None) -> str | None:
        if other is None:
            return None
        own = self._claim(Standing.WAITING).scope
        return (
            f"another operator, of the Lease {self._namespace}/{other.lease}, looks after {other.scope}: this one, "
            f"which is to look after {own}, waits until that one is gone; remove one of them, or let each watch "
            "namespaces of its own"
        )

    async def _write(self, lease: Lease | None, standing: Standing) -> Lease | None:
        """Write the Lease as this replica's, and return it; None where somebody else was faster."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        metadata: dict[str, Any] = {} if lease is None else lease["metadata"]
        spec: dict[str, Any] = {} if lease is None else _spec(lease)
        changed = spec.get("holderIdentity") != self._identity
        told = {_WATCHES: ",".join(self._watches), _STANDING: str(standing), _ADDRESS: self._address}
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                **metadata,
                "namespace": self._namespace,
                "name": self._name,
                "labels": {**metadata.get("labels", {}), LABEL: "true"},
                "annotations": {**metadata.get("annotations", {}), **told},
            },
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": self._seconds,
                "acquireTime": stamp if changed else spec.get("acquireTime", stamp),
                "renewTime": stamp,
                "leaseTransitions": spec.get("leaseTransitions", 0) + (1 if changed else 0),
            },
        }
        try:
            return await (self._kube.create(body) if lease is None else self._kube.replace(body))
        except KubeError as error:
            if error.status != 409:
                raise
            return None


def _annotations(lease: Lease) -> dict[str, str]:
    return lease["metadata"].get("annotations") or {}


def _spec(lease: Lease) -> dict[str, Any]:
    return lease.get("spec") or {}


def _standing(text: str | None) -> Standing:
    """Return what an operator says of itself; one of another release may say what this one does not know."""
    try:
        return Standing(text or Standing.WAITING)
    except ValueError:
        return Standing.HELD
