"""Programs whose ranks call several backends at once."""

from __future__ import annotations

from dataclasses import replace

from qonverge.scheduling import plan

from .worlds import backend, job, snapshot


def test_each_group_of_ranks_gets_a_backend_of_its_own_and_the_best_go_first() -> None:
    made = plan(
        snapshot(
            [job("a", needs=None, ranks=(1, 1))],
            [backend("slow"), backend("fast"), backend("mid")],
            [[0.9, 0.9, 0.9]],
            [[300, 100, 200]],
        )
    )
    (decision,) = made.decisions
    assert [each.name for each in decision.backends] == ["fast", "mid"]
    assert [part.kind for part in decision.parts] == ["Ranks", "Ranks"]
    assert decision.reason.endswith("; its ranks are spread over lab/fast, lab/mid")


def test_it_waits_where_fewer_fit() -> None:
    offered = [backend("one"), backend("two", serving=False), backend("three")]
    (decision,) = plan(snapshot([job("a", needs=None, ranks=(1, 1, 1))], offered, [[0.9] * 3], [[1] * 3])).decisions
    assert decision.backends == ()
    assert decision.reason.startswith("its ranks call 3 different backends and 2 of 3 can take it; ")
    assert not decision.impossible


def test_it_is_held_until_all_of_its_backends_have_room() -> None:
    offered = [backend("one"), replace(backend("two"), room=0)]
    (decision,) = plan(snapshot([job("a", needs=None, ranks=(1, 1))], offered, [[0.9] * 2], [[1] * 2])).decisions
    assert decision.backend is None


def test_a_program_on_one_backend_is_as_before() -> None:
    (decision,) = plan(snapshot([job("a", needs=None)], [backend("one")], [[0.9]], [[1]])).decisions
    assert decision.parts == ()
    assert [each.name for each in decision.backends] == ["one"]
