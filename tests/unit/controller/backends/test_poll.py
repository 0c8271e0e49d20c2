"""A poll names peers to the pods that measure, and takes what they tell of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from qonverge.controller.backends.reconciler import Backends
from qonverge.controller.store.pods import Endpoint
from qonverge.links.link import Link
from qonverge.links.peers import Peer, digest
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
