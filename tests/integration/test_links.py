"""Sites behind links of different length: what is measured decides where a program's loop goes, and no label does."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.integration.conftest import Lab, backend, eventually, job, layered
from tests.integration.slow_link import SlowLink
from tests.integration.test_tokens import Program, program, send

TURNS = 40
FAR, NEAR = 0.2, 0.0
LOOPS = {"backend": {"selector": {"matchLabels": {"loops": "True"}}}}


@pytest.fixture
def links() -> Iterator[dict[str, SlowLink]]:
    found = {"works": SlowLink(NEAR), "centre": SlowLink(FAR)}
    yield found
    for link in found.values():
        link.close()


def measured(lab: Lab) -> dict[str, float]:
    """Return the round trips that the operator shows, by backend."""
    with urllib.request.urlopen(f"http://127.0.0.1:{lab.health}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found = re.findall(r'^qonverge_operator_backend_round_trip_seconds{backend="default/(\w+)"} (\S+)$', text, re.M)
    return {name: float(seconds) for name, seconds in found}


def state(port: int, token: str, identity: str) -> str | None:
    """Send a task, and return how it stands; None while the operator has not granted it."""
    return send(port, token, identity)[1].get("state")


def run(lab: Lab, name: str, turns: int = TURNS, **spec: Any) -> str:
    """Run a program whose loop has so many turns, and return the backend that it had."""
    given = program(name)
    given["spec"] = {**given["spec"], **LOOPS, **spec}
    lab.apply(given)
    started = Program(lab, name)
    place = str(started.placed()["backend"])
    port, token = lab.port(place), started.token()
    for turn in range(turns):
        done = eventually(partial(state, port, token, f"{name}-{turn}"), "the operator's grant")
        assert done == "Completed"
    started.end()
    assert lab.ended(name)["state"] == "Complete"
    return place


def told_by(lab: Lab, pod: str) -> dict[str, float]:
    """Return the round trips that a pod measured, by site."""
    with urllib.request.urlopen(f"{lab.url(pod)}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found = re.findall(r'^qonverge_backend_link_round_trip_seconds{site="(\w+)"} (\S+)$', text, re.M)
    return {site: float(seconds) for site, seconds in found}


def is_nearer(lab: Lab, near: str, far: str) -> bool:
    """Return whether the hub's pod has measured how the links are."""
    known = told_by(lab, "hub")
    return known.get(far, 0.0) >= 2 * FAR > 2 * known.get(near, 1.0)


def is_foremost(lab: Lab, name: str, place: str) -> bool:
    """Return whether a suspended job would go to a backend now."""
    forecast = lab.status(name).get("forecast") or [{}]
    return bool(forecast[0].get("backend") == place)


def test_the_measured_link_decides_where_loops_go_and_moves_them_there_and_back(
    lab: Lab, links: dict[str, SlowLink]
) -> None:
    sites = {
        "works": backend("works", location={"tier": "Edge", "site": "works"}, capacity={"maxQubits": 8}),
        "centre": backend("centre", location={"tier": "Cloud", "site": "centre"}),
        "hub": backend("hub", location={"site": "hub"}, capacity={"maxQubits": 2}),
    }
    for name, given in sites.items():
        given["spec"]["capacity"]["concurrency"] = 1
        given["metadata"]["labels"] = {"loops": str(name in links)}
        lab.apply(given)
    lab.start_operator()
    lab.ready()
    for name, link in links.items():
        lab.serve(name, name, behind=link)
    eventually(lambda: measured(lab).keys() == links.keys(), "a measured link to each site")
    # What is at the hub measures, and runs none of this.
    lab.serve("hub", "hub")
    run(lab, "first")
    assert run(lab, "second") == "works"
    told = {each["backend"]: each["networkSeconds"] for each in lab.status("second")["forecast"]}
    # There and back on the long link, once for each turn and to hand the program over.
    assert told["centre"] >= (TURNS + 1) * 2 * FAR
    assert told["works"] < told["centre"] / 2
    # A circuit waits for the way once, and goes where it fits.
    lab.apply(job("large", layered(10, 1)))
    assert lab.ended("large")["backend"] == "centre"
    links["works"].seconds, links["centre"].seconds = FAR, NEAR
    eventually(lambda: measured(lab)["works"] > 2 * measured(lab)["centre"], "the changed links, as they are measured")
    assert run(lab, "third") == "centre"
    links["works"].seconds, links["centre"].seconds = NEAR, FAR
    eventually(lambda: measured(lab)["centre"] > 2 * measured(lab)["works"], "the links, as they were")
    assert run(lab, "fourth") == "works"
    # From now on only what pods ask each other is delayed: the operator is near both, and the hub is not.
    for link in links.values():
        link.only = b"GET /healthz"
    elsewhere = {"python": {"source": "pass", "near": {"site": "hub"}}}
    look = program("look")
    lab.apply({**look, "spec": {**look["spec"], **LOOPS, "program": elsewhere, "suspend": True}})
    for near, far in (("centre", "works"), ("works", "centre")):
        links[near].seconds, links[far].seconds = NEAR, FAR
        eventually(partial(is_nearer, lab, near, far), "the links as the hub's pod measures them")
        eventually(partial(is_foremost, lab, "look", near), "the operator's knowledge of them")
        assert run(lab, f"from-hub-to-{near}", 2, program=elsewhere) == near
        assert "the ways decide" in lab.status(f"from-hub-to-{near}")["placement"]
        eventually(lambda: max(measured(lab).values()) < 2 * FAR, "links of the operator that are not delayed")
