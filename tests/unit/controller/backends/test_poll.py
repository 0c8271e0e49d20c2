"""A poll names peers to the pods that measure, and takes what they tell of these."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from qonverge.controller.backends import polls
from qonverge.controller.backends.reconciler import Backends
from qonverge.controller.pods.errors import PodSilent
from qonverge.controller.store.pods import Endpoint
from qonverge.sites.link import Link
from qonverge.sites.peers import Peer, digest
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.errors import NotFound
from tests.unit.controller.worlds import World, info

SITES = ("works", "centre")


class Servers:
    """The servers of pods: each keeps its peers, and tells of links what the test says."""

    def __init__(self, links: Mapping[str, Mapping[str, Link]], *, old: bool = False) -> None:
        self.links = links
        self.old = old
        self.named: dict[str, tuple[Peer, ...]] = {}

    async def info(self, endpoint: Endpoint, _audience: str) -> BackendInfo:
        peers = self.named.get(endpoint.pod, ())
        return replace(info(), peers=digest(peers), links=self.links.get(endpoint.pod, {}) if peers else {})

    async def measure(self, endpoint: Endpoint, _audience: str, peers: Sequence[Peer]) -> None:
        if self.old:
            raise NotFound("PUT /v1/peers is not served here")
        self.named[endpoint.pod] = tuple(peers)


class Nothing:
    """What the poll does beside: nothing here."""

    has_limits = False

    def __getattr__(self, _name: str) -> Any:
        async def nothing(*_: Any, **__: Any) -> None: ...

        return nothing

    def gone(self) -> None: ...


def backends(world: World, servers: Servers) -> Backends:
    beside = Nothing()
    given = dict.fromkeys(("kube", "statuses", "queue", "metering", "results", "events", "settings", "key"), beside)
    made = {"state": world.state, "cluster": world.cluster, "data": servers, "clock": lambda: world.now, **given}
    return Backends(**cast("Any", made))


async def poll(of: Backends, times: int) -> None:
    for _ in range(times):
        await of.poll(leading=True)


def between(world: World, start: str, end: str) -> Link:
    return world.state.links.between(start, end, {"lab"}, world.now)


async def test_pods_get_their_peers_once_and_what_they_tell_of_others_is_nothing() -> None:
    world = World()
    for site in SITES:
        world.backend(site, pods=2, location={"site": site})
    servers = Servers({"works-0": {"centre": Link(0.02), "moon": Link(0.001)}})
    of = backends(world, servers)
    await poll(of, 1)
    assert {uid: [(peer.site, peer.url) for peer in peers] for uid, peers in servers.named.items()} == {
        "works-0": [("works", "http://works-1"), ("centre", "http://centre-0")],
        "centre-0": [("centre", "http://centre-1"), ("works", "http://works-0")],
    }
    await poll(of, 1)
    assert between(world, "works", "centre") == Link(0.02)
    assert between(world, "works", "moon") == Link()
    world.take_away("centre-0")
    world.take_away("centre-1")
    await poll(of, 1)
    assert servers.named["works-0"] == (), "of one site there is nothing to measure"


async def test_a_pod_that_measures_nothing_serves_as_before() -> None:
    world = World()
    for site in SITES:
        world.backend(site, location={"site": site})
    await poll(backends(world, Servers({}, old=True)), 2)
    assert all(pod.answers for pod in world.state.pods.serving())
    assert between(world, "works", "centre") == Link()


async def test_pods_that_may_be_anywhere_do_not_measure() -> None:
    world = World()
    world.backend("works", location={"site": "works", "nodes": "Preferred"})
    world.backend("centre", location={"site": "centre"})
    world.backend("hub", location={"site": "hub", "nodes": "Any"})
    servers = Servers({})
    await poll(backends(world, servers), 2)
    assert servers.named == {}


async def test_a_pod_on_which_something_fails_stops_nothing_of_others() -> None:
    world = World()
    for site in SITES:
        world.backend(site, location={"site": site})
    servers = Servers({})
    of = backends(world, servers)
    told = servers.info

    async def info_of(endpoint: Endpoint, audience: str) -> BackendInfo:
        if endpoint.pod == "works-0":
            raise ValueError("a defect that this pod's answer trips")
        return await told(endpoint, audience)

    servers.info = info_of  # type: ignore[method-assign, assignment]
    await poll(of, 1)
    assert world.pod("centre-0").told_at == world.now


async def test_a_pod_that_is_slow_with_what_follows_keeps_no_poll_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or whoever controls one pod could let the operator find out late that others are cut off."""
    monkeypatch.setattr(polls, "_FOLLOWING_SECONDS", 0.01)
    world = World()
    for site in SITES:
        world.backend(site, location={"site": site})
    servers, hanging, asked = Servers({}), asyncio.Event(), list[str]()
    of = backends(world, servers)
    measure = servers.measure

    async def hangs(endpoint: Endpoint, audience: str, peers: Sequence[Peer]) -> None:
        asked.append(endpoint.pod)
        if endpoint.pod == "works-0":
            await hanging.wait()
        await measure(endpoint, audience, peers)

    servers.measure = hangs  # type: ignore[method-assign, assignment]
    for _ in range(3):
        world.now += 5.0
        await of.poll(leading=True, whole=False)
        assert {pod.told_at for pod in world.state.pods.serving()} == {world.now}
    assert sorted(asked) == ["centre-0", "works-0"], "one that hangs is not asked for more meanwhile"
    hanging.set()
    await of.poll(leading=True)
    assert set(servers.named) == {"works-0", "centre-0"}


@pytest.mark.parametrize(
    ("busy", "answers", "asked", "silent"),
    [(True, True, 2, False), (True, False, 2, True), (False, True, 1, True)],
)
async def test_a_pod_is_not_given_up_since_the_operator_was_busy(
    monkeypatch: pytest.MonkeyPatch, *, busy: bool, answers: bool, asked: int, silent: bool
) -> None:
    monkeypatch.setattr(polls, "_LATE_SECONDS", 0.05 if busy else 1e9)
    world = World()
    world.backend("works")
    servers = Servers({})
    of, told, times = backends(world, servers), servers.info, 0
    await of.poll(leading=True)

    async def late(endpoint: Endpoint, audience: str) -> BackendInfo:
        nonlocal times
        times += 1
        if times == 1:
            # As a long step of anything else in the loop.
            time.sleep(0.3 if busy else 0.0)
        if times == 1 or not answers:
            raise PodSilent("it took too long")
        return await told(endpoint, audience)

    servers.info = late  # type: ignore[method-assign, assignment]
    assert await of.poll(leading=True) == (["lab/works"] if silent else [])
    assert (times, world.pod("works-0").silent) == (asked, silent)
