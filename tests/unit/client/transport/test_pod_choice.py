from __future__ import annotations

from qonverge.client.transport.pod_choice import Pods


def looked(*found: tuple[str, int, int]) -> Pods:
    pods = Pods()
    assert pods.stale(0)
    pods.see(found)
    return pods


def test_nothing_is_known_at_first() -> None:
    pods = Pods()
    assert pods.take() is None
    assert pods.stale(0)
    assert not pods.stale(1), "another caller looks already"


def test_the_pod_with_the_least_to_do_per_worker_is_taken() -> None:
    pods = looked(("a", 1, 2), ("b", 4, 3), ("c", 1, 1))
    assert pods.take() == "b"
    assert pods.take() == "b" or pods.take() == "c"


def test_tasks_at_the_same_time_spread_and_those_in_a_row_stay() -> None:
    pods = looked(("a", 1, 0), ("b", 1, 0))
    first, second = pods.take(), pods.take()
    assert {first, second} == {"a", "b"}
    assert second is not None
    assert first is not None
    pods.done(first)
    pods.done(second)
    places = set()
    for _ in range(5):
        place = pods.take()
        assert place is not None
        places.add(place)
        pods.done(place)
    assert places == {second}


def test_pods_are_looked_at_again_when_tasks_have_waited_and_not_too_often() -> None:
    pods = looked(("a", 1, 0), ("b", 1, 0))
    assert not pods.stale(100)
    place = pods.take()
    assert place is not None
    pods.done(place, queue_seconds=1.0)
    assert not pods.stale(1)
    assert pods.stale(6)


def test_a_lost_pod_is_not_taken_and_looked_for_at_once() -> None:
    pods = looked(("a", 1, 0), ("b", 1, 5))
    assert pods.take() == "a"
    pods.done("a", lost=True)
    assert pods.take() == "b"
    assert pods.stale(0.1)
    pods.see([])
    assert pods.take() == "b", "nothing better is known"


def test_own_tasks_count_once() -> None:
    pods = looked(("a", 1, 0), ("b", 1, 1))
    assert pods.take() == "a"
    pods.see([("a", 1, 1), ("b", 1, 1)])
    # The one at a is its own, which a later end takes away.
    pods.done("a")
    assert pods.take() == "a"
