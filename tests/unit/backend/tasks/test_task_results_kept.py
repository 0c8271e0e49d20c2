"""Results that a server keeps: within bytes and time, fairly between namespaces; one that is gone says why."""

from __future__ import annotations

import random

import pytest

from qonverge.backend.tasks.kept_results import KeptResults, room
from qonverge.wire.errors import NotFound, ResultTooLarge

KB = 1000


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_result_is_kept_for_its_time() -> None:
    clock = Clock()
    kept = KeptResults(100 * KB, clock)
    kept.put("a", "chem", b"x", 10.0)
    clock.now = 9.9
    assert kept.fetch("a") == b"x"
    clock.now = 10.0
    assert len(kept) == 0
    with pytest.raises(NotFound, match="its time was over"):
        kept.fetch("a")


def test_a_namespace_has_half_and_its_fetched_and_oldest_go_first() -> None:
    kept = KeptResults(100 * KB, Clock())
    for name in "abcd":
        kept.put(name, "chem", bytes(10 * KB), 60.0)
    kept.put("other", "bio", bytes(40 * KB), 60.0)
    kept.fetch("b")
    kept.put("e", "chem", bytes(10 * KB), 60.0)
    assert kept.listed()[0] == ["a", "c", "d", "other", "e"]
    kept.put("f", "chem", bytes(10 * KB), 60.0)
    ids, dropped = kept.listed()
    assert ids == ["c", "d", "other", "e", "f"]
    assert set(dropped) == {"a", "b"}
    assert dropped["a"] == "a newer result took its place: this pod keeps 50000 bytes for a namespace"


def test_what_no_namespace_may_take_is_refused_and_pushes_nothing_out() -> None:
    kept = KeptResults(100 * KB, Clock())
    kept.put("a", "chem", bytes(10 * KB), 60.0)
    with pytest.raises(ResultTooLarge, match="takes 50000 bytes compressed, and this server keeps 50000 for a name"):
        kept.put("b", "chem", bytes(50 * KB), 60.0)
    assert kept.listed()[0] == ["a"]


def test_who_holds_most_makes_room() -> None:
    kept = KeptResults(100 * KB, Clock())
    for name in ("a", "b", "c"):
        kept.put(name, "chem", bytes(15 * KB), 60.0)
    kept.put("d", "bio", bytes(40 * KB), 60.0)
    kept.put("e", "geo", bytes(25 * KB), 60.0)
    assert kept.listed()[0] == ["b", "c", "d", "e"]


def test_the_same_result_again_takes_its_own_place() -> None:
    kept = KeptResults(100 * KB, Clock())
    kept.put("a", "chem", bytes(40 * KB), 60.0)
    kept.put("a", "chem", b"new", 60.0)
    assert kept.fetch("a") == b"new"
    assert kept.listed() == (["a"], {})
    kept.drop("a")
    kept.drop("a")
    assert len(kept) == 0


def test_limits_hold_whatever_comes() -> None:
    draw, clock = random.Random(7), Clock()
    kept = KeptResults(100 * KB, clock)
    sizes: dict[str, tuple[str, int]] = {}
    for step in range(2000):
        name, namespace, size = f"r{draw.randrange(40)}", draw.choice(["chem", "bio", "geo"]), draw.randrange(45 * KB)
        clock.now += draw.random()
        kept.put(name, namespace, bytes(size), draw.choice([2.0, 50.0]))
        sizes[name] = (namespace, size)
        held = [sizes[each] for each in kept.listed()[0]]
        assert name in kept.listed()[0], step
        assert sum(size for _, size in held) <= 100 * KB
        for each in ("chem", "bio", "geo"):
            assert sum(size for namespace, size in held if namespace == each) <= 50 * KB


def test_room_follows_from_memory() -> None:
    assert room(2 * 1024**3) == 128 * 1024**2
    assert room(1024**4) == 1024**3


def test_what_displaces_nothing_is_refused_where_there_is_no_room() -> None:
    kept = KeptResults(100 * KB, Clock())
    kept.put("a", "chem", bytes(30 * KB), 60.0)
    with pytest.raises(ResultTooLarge, match="others take the room for it"):
        kept.put("b", "chem", bytes(30 * KB), 60.0, displaces=False)
    kept.put("a", "chem", bytes(40 * KB), 60.0, displaces=False)
    assert (len(kept.fetch("a")), kept.listed()) == (40 * KB, (["a"], {}))
    kept.put("b", "bio", bytes(45 * KB), 60.0, displaces=False)
    with pytest.raises(ResultTooLarge, match="others take the room for it"):
        kept.put("c", "other", bytes(30 * KB), 60.0, displaces=False)
    assert kept.listed() == (["a", "b"], {})
