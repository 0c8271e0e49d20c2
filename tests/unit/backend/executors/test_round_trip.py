"""The round trip to where a backend sends its tasks."""

from __future__ import annotations

from qonverge.backend.executors.round_trip import RoundTrip


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_quickest_request_of_late_is_the_round_trip() -> None:
    clock = Clock()
    trip = RoundTrip(clock)
    told = [trip.seconds]
    for seconds in (0.4, 0.1, 3.0):
        trip.add(seconds)
        clock.now += 100.0
    told.append(trip.seconds)
    clock.now += 110.0
    told.append(trip.seconds)
    trip.add(0.02)
    told.append(trip.seconds)
    clock.now += 301.0
    told.append(trip.seconds)
    # Not 0 where nothing is known. A way that became longer shows once nothing was quicker for five minutes, and one
    # that became shorter at once.
    assert told == [None, 0.1, 3.0, 0.02, None]


def test_what_hardly_changes_is_no_news() -> None:
    clock = Clock()
    trip = RoundTrip(clock)
    told = []
    for seconds in (0.1, 0.08, 0.07, 0.06, 0.05):
        clock.now += 400.0
        trip.add(seconds)
        told.append(trip.seconds)
    assert told == [0.1, 0.1, 0.1, 0.06, 0.06]
