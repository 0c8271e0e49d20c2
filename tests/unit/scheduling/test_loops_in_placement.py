"""A program that waits often for its backend goes to one that is near, and does not go to and fro."""

from __future__ import annotations

import pytest

from qonverge.scheduling import Backend, Policy, plan
from qonverge.scheduling.network import network_seconds
from tests.unit.scheduling.worlds import backend, job, snapshot

NAN = float("nan")


def place(near: float | None, far: float | None, *, round_trips: float, settled: str | None = None) -> str:
    """Where a program goes: the far backend is free at once, the near one in two seconds."""
    program = job("p", needs=None, round_trips=round_trips, settled=settled)
    backends = [
        backend("near", latency_seconds=near, free_seconds=(2.0,), load=1.0, dispatch_depth=1, ahead_seconds=9.0),
        backend("far", latency_seconds=far),
    ]
    (decision,) = plan(snapshot([program], backends, fidelity=NAN, run=NAN, cost=NAN)).decisions
    assert isinstance(decision.backend, Backend)
    return decision.backend.name


def test_a_loop_goes_where_it_is_over_sooner_by_wait_and_round_trips_together() -> None:
    # 100 times 35 ms is more than the two seconds of waiting, one time is less.
    assert place(0.001, 0.036, round_trips=100) == "near"
    assert place(0.001, 0.036, round_trips=1) == "far"
    assert place(0.030, 0.036, round_trips=100) == "far", "raise the delay of the near one, and the next one moves"


def test_a_way_that_was_not_measured_is_never_taken_for_a_short_one() -> None:
    assert place(0.001, None, round_trips=1e6) == "far", "as long as the longest that is known, and free"
    seen = snapshot([job("p", needs=None, round_trips=10.0)], [backend("a", latency_seconds=0.2), backend("b")])
    assert network_seconds(seen, Policy()).tolist() == [[2.0, 2.0]]


@pytest.mark.parametrize(
    ("near", "settled", "goes"),
    [
        (0.0300, "lab/near", "near"),
        (0.0305, "lab/near", "near"),
        (0.0300, "lab/far", "far"),
        (0.0200, "lab/far", "near"),
        (0.0300, "lab/gone", "near"),
    ],
)
def test_a_program_stays_where_it_ran_unless_another_backend_is_clearly_nearer(
    near: float, settled: str, goes: str
) -> None:
    program = job("p", needs=None, round_trips=1000.0, settled=settled)
    backends = [backend("near", latency_seconds=near), backend("far", latency_seconds=0.0302)]
    (decision,) = plan(snapshot([program], backends, fidelity=NAN, run=NAN, cost=NAN)).decisions
    assert decision.backend is not None
    assert decision.backend.name == goes


def test_nearly_equal_ways_that_jitter_do_not_move_it() -> None:
    moved, place_now = 0, "lab/a"
    for step in range(40):
        jitter = 1.15 if step % 2 else 1 / 1.15
        backends = [backend("a", latency_seconds=0.03 * jitter), backend("b", latency_seconds=0.03)]
        program = job("p", needs=None, round_trips=1000.0, settled=place_now)
        (decision,) = plan(snapshot([program], backends, fidelity=NAN, run=NAN, cost=NAN)).decisions
        assert decision.backend is not None
        moved += decision.backend.key != place_now
        place_now = decision.backend.key
    assert moved == 0
