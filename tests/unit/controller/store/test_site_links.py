"""Which pods measure, whom, and whose word counts for whom."""

from __future__ import annotations

import random

import pytest

from qonverge.controller.store.site_links import STALE_SECONDS, SiteLinks, SitePod, peers_of
from qonverge.sites.link import Link
from qonverge.sites.peers import MOST
from qonverge.sites.window import Sample, Window

ALL = {"lab"}


def pod(name: str, site: str, namespace: str = "lab", created: float = 0.0) -> SitePod:
    return SitePod(name, namespace, site, f"http://10.0.0.1:{sum(map(ord, name))}", created)


def asked(pods: list[SitePod], *offering: str) -> dict[str, dict[str, str]]:
    """By the pod that measures, the pod that it asks at each site."""
    names = {each.url: each.uid for each in pods}
    found = peers_of(pods, lambda namespace: namespace in offering)
    return {uid: {peer.site: names[peer.url] for peer in peers} for uid, peers in found.items()}


def test_one_pod_of_each_site_asks_one_at_each_and_its_own_neighbour() -> None:
    pods = [pod("a-new", "a", created=2.0), pod("a", "a"), pod("b", "b")]
    assert asked(pods, "lab") == {"a": {"a": "a-new", "b": "b"}, "b": {"b": "b", "a": "a"}}
    assert asked(pods[:2], "lab") == {}, "of one site there is no link"


def test_peers_are_of_the_own_namespace_and_of_those_that_may_offer() -> None:
    pods = [pod("a", "a"), pod("b", "b"), pod("mine", "c", "chem"), pod("other", "d", "bio")]
    assert asked(pods, "lab") == {
        "a": {"a": "a", "b": "b"},
        "b": {"a": "a", "b": "b"},
        "mine": {"a": "a", "b": "b", "c": "mine"},
        "other": {"a": "a", "b": "b", "d": "other"},
    }
    taken = [pod("a", "a"), pod("b", "b"), pod("poser", "b", "chem"), pod("mine", "c", "chem")]
    assert asked(taken, "lab")["mine"]["b"] == "b", "whoever may offer goes before who only says that it is there"
    assert asked(taken, "lab")["a"]["b"] == "b"


def test_what_is_measured_for_all_is_not_measured_by_each() -> None:
    """Or with hundreds of namespaces one pod at each site would have hundreds that ask it twice a second."""
    shared = [pod(f"{name}-{site}", site, name) for name in ("lab", "hpc") for site in "ab"]
    tenants = [pod(f"{name}-{site}", site, name) for name in (f"t{number}" for number in range(100)) for site in "ab"]
    only_own = [pod("only-c", "c", "t0")]
    found = asked([*shared, *tenants, *only_own], "lab", "hpc")
    assert found == {
        "hpc-a": {"a": "lab-a", "b": "hpc-b"},
        "hpc-b": {"b": "lab-b", "a": "hpc-a"},
        "t0-a": {"c": "only-c"},
        "t0-b": {"c": "only-c"},
        "only-c": {"c": "only-c", "a": "hpc-a", "b": "hpc-b"},
    }
    alone = asked([*tenants[:4], *only_own])
    assert alone["t1-a"] == {"a": "t1-a", "b": "t1-b"}, "where nobody may offer each measures for itself"


def test_a_list_of_peers_is_bounded_and_has_the_own_site() -> None:
    pods = [pod(f"p{number}", f"site-{number:03}") for number in range(60)]
    peers = peers_of(pods, lambda _: True)
    assert {len(each) for each in peers.values()} == {MOST}
    assert all(any(peer.url == each.url for peer in peers[each.uid]) for each in pods)


def test_whose_word_counts() -> None:
    links = SiteLinks()
    links.tell("lab", "a", {"b": Link(0.02, 0.0, 1e6)}, 0.0)
    links.tell("chem", "a", {"b": Link(0.001), "c": Link(0.003)}, 0.0)
    assert links.between("a", "b", {"lab", "bio"}, 1.0) == Link(0.02, 0.0, 1e6)
    assert links.between("a", "c", {"lab", "bio"}, 1.0) == Link(), "a namespace says what it likes to itself only"
    assert links.between("a", "c", {"lab", "chem"}, 1.0) == Link(0.003)
    assert links.between("b", "a", ALL, 1.0) == Link(0.02, 0.0, None), "a bandwidth is of one direction"
    links.tell("lab", "b", {"a": Link(None, 1.0)}, 2.0)
    assert links.between("b", "a", ALL, 2.0) == Link(), (
        "a site whose requests get no answer does not believe the other end"
    )


def test_what_is_old_is_forgotten_and_not_held_for_zero() -> None:
    links = SiteLinks()
    links.tell("lab", "a", {"b": Link(0.02)}, 0.0)
    assert links.between("a", "b", ALL, STALE_SECONDS) == Link(0.02)
    assert links.between("a", "b", ALL, STALE_SECONDS + 1) == Link()
    links.tell("lab", "b", {}, STALE_SECONDS + 1)
    links.tell("lab", "a", {"b": Link(0.03)}, STALE_SECONDS + 1)
    assert links.between("a", "b", ALL, STALE_SECONDS + 1) == Link(0.03), "nothing of the old figure is in the new one"


def test_who_measures_anew_takes_nothing_away_until_it_has_measured() -> None:
    """As the pod that follows on one that was replaced, or one that has a new peer at a site."""
    links = SiteLinks()
    links.tell("lab", "a", {"b": Link(0.02), "c": Link(0.03)}, 0.0)
    links.tell("lab", "a", {"c": Link(0.03)}, 5.0)
    links.tell("lab", "a", {}, 10.0)
    assert links.between("a", "b", ALL, 10.0) == Link(0.02)
    links.tell("lab", "a", {"c": Link(None, 1.0)}, 15.0)
    assert links.between("a", "c", ALL, 15.0) == Link(), "that a link is cut is told"
    assert links.between("a", "b", ALL, STALE_SECONDS + 1) == Link(), "each figure has an age of its own"
    links.tell("lab", "a", {"b": Link(0.04)}, STALE_SECONDS + 2)
    assert links.between("a", "b", ALL, STALE_SECONDS + 2) == Link(0.04)


def test_what_is_kept_is_of_late_whatever_is_told() -> None:
    links = SiteLinks()
    for number in range(100):
        links.tell("lab", f"a{number}", {f"b{number}": Link(0.02)}, number * 1.0)
        links.tell("lab", "a", {f"b{number}": Link(0.02)}, number * 1.0)
    assert len(links) <= 2 * (STALE_SECONDS + 1)


def test_a_clock_that_is_set_back_keeps_no_figure_that_nobody_tells_any_more() -> None:
    links = SiteLinks()
    links.tell("lab", "a", {"b": Link(0.02)}, 10_000.0)
    assert links.between("a", "b", ALL, 0.0) == Link()
    links.tell("lab", "a", {}, 1.0)
    assert links.between("a", "b", ALL, 2.0) == Link()
    links.tell("lab", "a", {"b": Link(0.05)}, 3.0)
    assert links.between("a", "b", ALL, 4.0) == Link(0.05)


class Run:
    """Two links as probes see them twice a second, and as polls bring them to the operator every five."""

    def __init__(self, seed: int) -> None:
        self.noise, self.links, self.now = random.Random(seed), SiteLinks(), 0.0
        self.real = {"near": 0.03, "far": 0.03}
        self.windows = {site: Window() for site in self.real}

    def poll(self) -> dict[str, float]:
        """Live through five seconds, and return what placement sees then."""
        for _ in range(10):
            self.now += 0.5
            for site, window in self.windows.items():
                window.add(Sample(self.real[site] * self.noise.uniform(0.7, 1.3)), self.now)
        self.links.tell("lab", "hub", {site: each.link(self.now) for site, each in self.windows.items()}, self.now)
        found = {site: self.links.between("hub", site, ALL, self.now).round_trip_seconds for site in self.real}
        return {site: trip for site, trip in found.items() if trip is not None}


@pytest.mark.parametrize("seed", range(5))
def test_noise_of_thirty_percent_moves_nothing_that_stays_for_a_fifth(seed: int) -> None:
    run, place, moves = Run(seed), "near", 0
    for _ in range(300):
        seen = run.poll()
        other = "far" if place == "near" else "near"
        if seen[other] < 0.8 * seen[place]:
            place, moves = other, moves + 1
    assert moves == 0


def test_a_changed_delay_shows_in_the_second_poll_at_the_latest_and_so_does_its_return() -> None:
    run = Run(1)
    for _ in range(5):
        run.poll()
    for real in (0.2, 0.03, 0.06, 0.03):
        run.real["near"] = real
        run.poll()
        assert run.poll()["near"] == pytest.approx(real, rel=0.25)
