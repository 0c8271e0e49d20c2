"""The link to a site: what packets meet on it. Pure: time is what the test says."""

from __future__ import annotations

import random
from pathlib import Path

from e2e.cluster.link import Conditions, Direction

GOOD = Conditions()


def test_packets_arrive_after_the_delay_in_their_order() -> None:
    way, slow = Direction(), Conditions(delay=0.5)
    way.send(b"one", slow, 10.0)
    way.send(b"two", slow, 10.1)
    assert way.next_at == 10.5
    assert way.arrived(slow, 10.4) == []
    assert way.arrived(slow, 10.5) == [b"one"]
    # Where the delay becomes less, nothing that was sent before is overtaken.
    way.send(b"three", GOOD, 10.55)
    assert way.arrived(GOOD, 10.58) == []
    assert way.arrived(GOOD, 10.6) == [b"two", b"three"]
    assert way.next_at is None


def test_a_rate_spreads_packets() -> None:
    way, narrow = Direction(), Conditions(delay=1.0, rate=1000.0)
    for _ in range(3):
        way.send(bytes(500), narrow, 0.0)
    assert [len(way.arrived(narrow, at)) for at in (1.4, 1.5, 1.9, 2.0, 2.5)] == [0, 1, 0, 1, 1]
    # What was not used is not saved up.
    way.send(bytes(500), narrow, 100.0)
    assert way.next_at == 101.5


def test_a_part_is_lost() -> None:
    way, lossy = Direction(random.Random(1)), Conditions(loss=0.25)
    for _ in range(1000):
        way.send(b"x", lossy, 0.0)
    assert 700 < len(way.arrived(lossy, 0.0)) < 800


def test_a_cut_link_lets_nothing_pass_nor_what_is_on_its_way() -> None:
    way, slow = Direction(), Conditions(delay=1.0)
    way.send(b"on its way", slow, 0.0)
    cut = Conditions(cut=True)
    assert way.arrived(cut, 0.5) == []
    way.send(b"lost", cut, 0.5)
    assert way.arrived(slow, 5.0) == []


def test_what_waits_is_bounded() -> None:
    way, slow = Direction(), Conditions(delay=1.0)
    for _ in range(30_000):
        way.send(b"x", slow, 0.0)
    assert len(way.arrived(slow, 1.0)) == 20_000


def test_conditions_are_read_as_they_were_written(tmp_path: Path) -> None:
    given = Conditions(delay=0.02, loss=0.1, rate=1e6, cut=True)
    given.write(tmp_path)
    assert Conditions.read(tmp_path) == given
