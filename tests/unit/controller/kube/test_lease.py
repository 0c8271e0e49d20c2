"""Who leads, and which of several operators may act, over an API server that keeps Leases as the real one does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from qonverge.controller.kube.claims import Claim, Standing, next_standing, rival
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.kube.lease import Election
from qonverge.controller.settings import Settings

SECONDS = 8


class Leases(Kube):
    """Keeps Leases with resource versions. Whoever asks waits for a moment that the test's chance chooses."""

    def __init__(self, chance: random.Random) -> None:
        self.leases: dict[str, dict[str, Any]] = {}
        self._chance = chance
        self._version = 0

    async def _later(self) -> None:
        for _ in range(self._chance.randrange(6)):
            await asyncio.sleep(0)

    def list(
        self, kind: str, namespace: str | None, labels: str = "", *, fields: str = "", metadata_only: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        async def items() -> AsyncIterator[dict[str, Any]]:
            await self._later()
            found = list(self.leases.values())
            await self._later()
            for lease in found:
                yield lease

        return items()

    async def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        return await self._put(obj, None)

    async def replace(self, obj: dict[str, Any]) -> dict[str, Any]:
        return await self._put(obj, obj["metadata"]["resourceVersion"])

    async def _put(self, obj: dict[str, Any], version: str | None) -> dict[str, Any]:
        await self._later()
        name = obj["metadata"]["name"]
        known = self.leases.get(name)
        if (None if known is None else known["metadata"]["resourceVersion"]) != version:
            raise KubeError(409, "conflict")
        self._version += 1
        self.leases[name] = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._version)}}
        await self._later()
        return self.leases[name]


class Replicas:
    """Replicas of operators on one clock."""

    def __init__(self, leases: Leases) -> None:
        self.leases, self.now = leases, 1000.0
        self.all: list[Election] = []

    def add(self, operator: str, identity: str, *watches: str, seconds: int = SECONDS) -> Election:
        election = Election(
            self.leases,
            namespace="kube-system",
            name=operator,
            identity=identity,
            watches=watches,
            address=f"http://{identity}",
            seconds=seconds,
            clock=lambda: self.now,
        )
        self.all.append(election)
        return election

    async def tick(self, *elections: Election) -> None:
        """Let these replicas try once, all at the same time, then let a second pass."""
        await asyncio.gather(*(election._attempt() for election in elections))
        self.now += 1.0


@pytest.mark.parametrize("seed", range(25))
def test_of_operators_that_meet_never_more_than_one_acts_and_one_does(seed: int) -> None:
    """Replicas start, stop without a word, sleep and wake in any order; each round trip may be overtaken."""

    async def play() -> None:
        chance = random.Random(seed)
        replicas = Replicas(Leases(chance))
        everywhere, west, east, both = (
            [replicas.add(f"{name}-operator", f"{name}-{n}", *watched) for n in range(2)]
            for name, watched in (("b", ()), ("a", ("west",)), ("c", ("east",)), ("d", ("west", "east")))
        )
        groups = [everywhere, west, east, both]
        scopes = {id(e): s for group, s in zip(groups, ("we", "w", "e", "we"), strict=True) for e in group}

        def check() -> None:
            acting = "".join(scopes[id(election)] for election in replicas.all if election.leading)
            assert len(acting) == len(set(acting)), [e._identity for e in replicas.all if e.leading]

        async def watch() -> None:
            while True:
                check()
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        awake = set(replicas.all)
        for _ in range(150):
            if chance.random() < 0.1:
                election = chance.choice(replicas.all)
                awake.symmetric_difference_update({election})
            await replicas.tick(*(election for election in replicas.all if election in awake and chance.random() < 0.8))
            check()
        for _ in range(4 * SECONDS):
            await replicas.tick(*replicas.all)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert watching.cancelled(), watching.exception()
        served = "".join(scopes[id(election)] for election in replicas.all if election.leading)
        assert served, [lease["metadata"]["annotations"] for lease in replicas.leases.leases.values()]

    asyncio.run(play())


def acts(election: Election) -> bool:
    return election.leading


def problem(election: Election) -> str | None:
    return election.problem


def test_the_second_waits_says_why_and_takes_over_when_the_first_is_gone() -> None:
    async def play() -> None:
        replicas = Replicas(Leases(random.Random(0)))
        first, second = replicas.add("first", "f-0", "chem"), replicas.add("second", "s-0")
        await replicas.tick(first)
        assert acts(first)
        await replicas.tick(first, second)
        assert not acts(second)
        assert problem(second) == (
            "another operator, of the Lease kube-system/first, looks after the namespaces chem: this one, which is to "
            "look after all namespaces, waits until that one is gone; remove one of them, or let each watch namespaces "
            "of its own"
        )
        assert problem(first) is None
        waited = 0
        while not acts(second):
            await replicas.tick(second)
            waited += 1
        assert 2 * SECONDS <= waited <= 2 * SECONDS + 2
        assert problem(second) is None
        # The first was not dead, only silent.
        await replicas.tick(first, second)
        assert (acts(first), acts(second)) == (False, True)
        assert "the Lease kube-system/second, looks after all namespaces" in str(problem(first))

    asyncio.run(play())


def test_a_replica_goes_before_another_operator_whether_the_leader_ends_or_dies() -> None:
    async def play() -> None:
        replicas = Replicas(Leases(random.Random(0)))
        leader, replica, other = replicas.add("x", "x-0"), replicas.add("x", "x-1"), replicas.add("a", "a-0")
        await replicas.tick(leader)
        await replicas.tick(leader, replica, other)
        assert replica.leader == "http://x-0"
        await leader.release()
        await replicas.tick(replica, other)
        assert (acts(replica), replica.leader) == (True, "http://x-1")
        waited = 0
        while not acts(leader):
            await replicas.tick(leader, other)
            waited += 1
        assert SECONDS <= waited <= SECONDS + 2
        assert not acts(other)
        assert replica.leader == "http://x-1"
        await leader.release()
        for _ in range(4):
            await replicas.tick(other)
        assert acts(other)

    asyncio.run(play())


class Slow(Leases):
    """Takes so many seconds of the replicas' clock for the next list."""

    replicas: Replicas
    seconds = 0.0

    def list(
        self, kind: str, namespace: str | None, labels: str = "", *, fields: str = "", metadata_only: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        self.replicas.now, self.seconds = self.replicas.now + self.seconds, 0.0
        return super().list(kind, namespace, labels)


@pytest.mark.parametrize("when", ["between renewals", "during a renewal"])
async def test_a_lapse_is_told_also_where_the_next_renewal_ends_it(when: str) -> None:
    """What came meanwhile was left undone: only who is told that it leads anew looks at everything again."""
    leases = Slow(random.Random(0))
    leases.replicas = replicas = Replicas(leases)
    told = list[bool]()

    async def refused(lease: dict[str, Any], message: str) -> None:
        raise AssertionError(message)

    async def until(count: int) -> None:
        async with asyncio.timeout(60):
            while len(told) < count:
                await asyncio.sleep(0.01)

    election = replicas.add("x", "x-0", seconds=1)
    campaign = asyncio.create_task(election.campaign(told.append, refused))
    try:
        await until(1)
        if when == "between renewals":
            replicas.now += 0.9
            assert not election.leading
        else:
            replicas.now, leases.seconds = replicas.now + 0.5, 0.4
            assert election.leading
        await until(3)
        assert told == [True, False, True]
        assert election.leading
    finally:
        campaign.cancel()


def test_of_two_that_want_to_begin_the_first_by_name_does_and_only_when_the_other_has_read_it() -> None:
    first, second = Claim("a", Standing.WANTED), Claim("b", Standing.WANTED)
    # The second may have read before the first wrote, and begin yet.
    assert next_standing(first, [second]) == Standing.WANTED
    assert next_standing(second, [first]) == Standing.WAITING
    assert rival(second, [first]) == first
    held = Claim("b", Standing.HELD)
    assert next_standing(first, [held]) == Standing.WAITING
    assert next_standing(Claim("a", Standing.HELD), [held]) == Standing.WAITING


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [((), (), True), (("a",), (), True), (("a", "b"), ("b", "c"), True), (("a",), ("b",), False)],
)
def test_operators_meet_where_both_look_after_a_namespace(
    one: tuple[str, ...], other: tuple[str, ...], meet: bool
) -> None:
    claims = Claim("x", Standing.HELD, frozenset(one)), Claim("y", Standing.HELD, frozenset(other))
    assert claims[0].overlaps(claims[1]) == claims[1].overlaps(claims[0]) == meet


def test_what_another_release_says_of_itself_is_taken_for_a_claim() -> None:
    async def play() -> None:
        leases = Leases(random.Random(0))
        replicas = Replicas(leases)
        metadata = {"name": "newer", "annotations": {"qonverge.io/standing": "SomethingNew"}}
        await leases.create({"metadata": metadata})
        own = replicas.add("own", "own-0")
        await replicas.tick(own)
        assert "the Lease kube-system/newer, looks after all namespaces" in str(problem(own))
        assert not acts(own)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("ip", "address"),
    [("10.1.2.3", "http://10.1.2.3:8080"), ("fd00::1", "http://[fd00::1]:8080"), ("", "http://h:8080")],
)
def test_other_replicas_know_where_reports_go(ip: str, address: str) -> None:
    assert Settings(pod_ip=ip, report_listen="h:8080").report_address == address
