"""Loss and bandwidth count as time, as round trips do; what is not known is as bad as the worst that is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qonverge.scheduling import Policy, plan
from qonverge.scheduling.network import network_seconds
from qonverge.scheduling.trace import read, record
from qonverge.sites.link import Link
from tests.unit.scheduling.worlds import NEEDS, backend, job, snapshot

NONE = Policy(nearer=0.0)


def test_bytes_over_bandwidth_and_lost_packets_are_seconds() -> None:
    large = job("large", needs=replace(NEEDS, nbytes=10_000_000))
    program = job("p", needs=None, round_trips=100.0, origin="chem/works")
    backends = [
        backend("a", latency_seconds=0.2, bytes_per_second=1e6),
        backend("b", latency_seconds=0.1),
        backend("c", bytes_per_second=1e7),
    ]
    links = {"chem/works": {"lab/a": Link(0.01, 0.1, 1e3), "lab/b": Link(0.02)}}
    seen = snapshot([large, program], backends, links=links)
    assert network_seconds(seen, NONE).tolist() == [
        pytest.approx([0.2 + 10, 0.1 + 10, 0.2 + 1]),
        # To c, of which the site knows nothing, as long as the longest that anybody knows.
        pytest.approx([100 * (0.01 + 2 / 9 * 0.21), 2.0, 20.0]),
    ]


def test_a_large_result_is_not_sent_over_a_narrow_link() -> None:
    backends = [
        backend("near", latency_seconds=0.001, bytes_per_second=1e5),
        backend("far", latency_seconds=0.1, bytes_per_second=1e8),
    ]
    for nbytes, goes in ((1_000, "near"), (100_000_000, "far")):
        (decision,) = plan(snapshot([job("j", needs=replace(NEEDS, nbytes=nbytes))], backends)).decisions
        assert decision.backend is not None
        assert decision.backend.name == goes
        assert ("the ways decide" in decision.reason) == (goes == "far"), "a moment is not worth saying"


def test_a_held_job_stays_planned_where_it_is_for_a_way_that_is_little_longer() -> None:
    held = {"free_seconds": (9.0,), "ahead_seconds": 1.0}
    for real, goes in ((0.031, "a"), (0.050, "b")):
        backends = [backend("a", latency_seconds=real, **held), backend("b", latency_seconds=0.030, **held)]
        (decision,) = plan(snapshot([job("j", settled="lab/a")], backends)).decisions
        assert decision.planned is not None
        assert decision.planned.name == goes


def test_the_reason_is_silent_about_ways_that_decide_nothing() -> None:
    backends = [backend("a", latency_seconds=0.01), backend("b", latency_seconds=0.02, load=5.0, workers=1)]
    (decision,) = plan(snapshot([job("j")], backends)).decisions
    assert "ways" not in decision.reason


def test_a_recorded_round_has_its_links() -> None:
    links = {"chem/works": {"lab/a": Link(0.01, 0.1, 1e3), "lab/b": Link(None, 1.0)}}
    seen = snapshot([job("p", needs=None, origin="chem/works")], [backend("a"), backend("b")], links=links)
    again = read(record(seen, Policy(), plan(seen))).snapshot
    assert again.links == links
    assert again.jobs == seen.jobs
