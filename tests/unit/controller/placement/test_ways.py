"""A program's links are those of the site where it runs, as pods of it told; a circuit's are the operator's."""

from __future__ import annotations

import re
from typing import Any

import pytest

from qonverge.controller.placement.ways import Ways
from qonverge.sites.link import Link
from qonverge.telemetry.figures import Figure
from qonverge.wire.vendor import DeviceState
from tests.unit.controller.worlds import NOW, World, info

SITES = ("hub", "works", "centre")


def sites(world: World, **links: dict[str, Link]) -> None:
    for name in SITES:
        world.backend(name, location={"site": name})
        for pod in world.state.pods_of(f"lab/{name}"):
            # The operator itself is near the hub.
            pod.latency = 0.001 if name == "hub" else 0.3
    for site, told in links.items():
        world.state.links.tell("lab", site, told, NOW)


def program(world: World, name: str, near: dict[str, Any] | None, waits: int = 99, **spec: Any) -> None:
    given = {"source": "pass", **({} if near is None else {"near": near})}
    job = world.job(name, program={"python": given}, **spec)
    world.forecasts.learn_loop(job, waits, "lab/gone")


async def placed(world: World, name: str) -> tuple[str, str, dict[str, float | None]]:
    await world.rounds.once()
    proposal = world.flight(name).proposal
    assert proposal is not None
    told = {each.backend: each.network_seconds for each in world.flight(name).forecast}
    return ("" if proposal.backend is None else proposal.backend.name), proposal.reason, told


FROM_WORKS = {"works": Link(0.002), "centre": Link(0.05, 0.0, 5e6)}


async def test_the_site_of_the_program_decides_and_not_the_operators() -> None:
    world = World()
    sites(world, works=FROM_WORKS)
    program(world, "p", {"site": "works"})
    place, reason, told = await placed(world, "p")
    assert place == "works"
    assert told["lab/works"] == pytest.approx(0.2)
    assert told["lab/centre"] == pytest.approx(5.0)
    assert told["lab/hub"] is None, "no pod told of the way from the works to the hub"
    assert "the ways decide: 200 ms to lab/works (round trip 2 ms) and 5 s to lab/centre" in reason
    program(world, "anywhere", None)
    place, reason, told = await placed(world, "anywhere")
    assert (place, told["lab/hub"]) == ("hub", 0.1)
    assert re.search(r"the ways decide: 100 ms to lab/hub \(round trip 1 ms\) and 30 s to lab/\w+", reason)


async def test_a_program_near_its_backend_has_the_way_within_that_site() -> None:
    world = World()
    sites(world, works={"works": Link(0.002)}, centre={"centre": Link(0.001)}, hub={"hub": Link(0.004)})
    program(world, "p", {})
    _, _, told = await placed(world, "p")
    assert told == {"lab/works": 0.2, "lab/centre": 0.1, "lab/hub": 0.4}


async def test_where_no_link_of_a_site_is_known_the_operators_count_and_old_ones_are_none() -> None:
    world = World()
    sites(world, works=FROM_WORKS)
    world.now += 60
    program(world, "p", {"site": "works"})
    place, _, told = await placed(world, "p")
    assert (place, told["lab/works"]) == ("hub", 30.0)


@pytest.mark.parametrize(("teller", "seconds"), [("bio", 30.0), ("chem", 0.1), ("lab", 0.1)])
async def test_what_pods_of_a_tenant_tell_counts_for_its_own_jobs_only(teller: str, seconds: float) -> None:
    world = World()
    sites(world)
    world.state.links.tell(teller, "works", {"centre": Link(0.001)}, NOW)
    program(world, "p", {"site": "works"})
    _, _, told = await placed(world, "p")
    assert told["lab/centre"] == seconds


async def test_a_latency_that_a_job_allows_is_that_of_its_own_site() -> None:
    world = World()
    sites(world, works=FROM_WORKS)
    program(world, "p", {"site": "works"}, placement={"maxLatency": "20ms"})
    await world.rounds.once()
    proposal = world.flight("p").proposal
    assert proposal is not None
    assert proposal.backend is not None
    assert proposal.backend.name == "works"
    assert proposal.rejected["lab/centre"] == "lab/centre is 0.05 s away and the job allows 0.02 s"
    assert "not measured yet" in proposal.rejected["lab/hub"]


async def test_a_large_result_goes_where_the_bandwidth_is() -> None:
    world = World()
    for name, rate in (("slow", 1e5), ("fast", 1e8)):
        world.backend(name)
        for pod in world.state.pods_of(f"lab/{name}"):
            pod.latency, pod.rate = 0.01 if name == "fast" else 0.001, Figure(rate, NOW, "Pod")
    await world.rounds.once()
    seen = {each.name: each.bytes_per_second for each in world.rounds.sight.backends(NOW)}
    assert seen == {"slow": 1e5, "fast": 1e8}
    assert {each.bytes_per_second for each in world.rounds.sight.backends(NOW + 7200)} == {None}


@pytest.mark.parametrize("age", [0.0, 61.0])
async def test_a_device_is_as_far_behind_its_proxy_as_it_was_last_known_to_be(age: float) -> None:
    world = World()
    sites(world, works={"works": Link(0.002)})
    remote = {"url": "https://hpc.example.org", "credentials": {"name": "hpc"}}
    world.backend("hpc", simulator=None, remote=remote, location={"site": "works", "nodes": "Required"})
    device = DeviceState(online=True, round_trip_seconds=0.5)
    world.pod("hpc-0").answer(info(device=device), 0.001, NOW)
    world.now += age
    world.state.links.tell("lab", "works", {"works": Link(0.002)}, world.now)
    job = world.job("p", program={"python": {"source": "pass", "near": {"site": "works"}}})
    seen = world.rounds.sight.backends(world.now)
    _, links = Ways(world.state, world.cluster, seen, world.now).of(job)
    assert links["lab/hpc"].round_trip_seconds == pytest.approx(0.502)
    assert next(each.latency_seconds for each in seen if each.name == "hpc") == pytest.approx(0.501)


async def test_a_device_whose_round_trip_nobody_told_is_not_next_to_its_proxy() -> None:
    world = World()
    sites(world, works=FROM_WORKS)
    remote = {"url": "https://hpc.example.org", "credentials": {"name": "hpc"}}
    world.backend("hpc", simulator=None, remote=remote, location={"site": "works", "nodes": "Required"})
    world.pod("hpc-0").answer(info(device=DeviceState(online=True)), 0.001, NOW)
    seen = world.rounds.sight.backends(NOW)
    assert next(each.latency_seconds for each in seen if each.name == "hpc") is None
    program(world, "loop", {"site": "works"})
    place, _, told = await placed(world, "loop")
    assert (place, told["lab/hpc"]) == ("works", None), "its proxy is 2 ms away, and the device anywhere"
    program(world, "bounded", {"site": "works"}, placement={"maxLatency": "1h"})
    await world.rounds.once()
    proposal = world.flight("bounded").proposal
    assert proposal is not None
    assert "not measured yet" in proposal.rejected["lab/hpc"]
