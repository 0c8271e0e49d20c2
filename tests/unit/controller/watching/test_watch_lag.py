from __future__ import annotations

from qonverge.controller.watching.watch_lag import LATE_SECONDS, WatchLag


def test_a_change_that_the_watch_shows_in_time_is_not_late() -> None:
    lag = WatchLag()
    assert lag.compare("jobs", {"a": 7}, {"a": 5}, 0) == 0
    assert lag.any
    # Looked at again at once, and once more just before the time is over.
    assert lag.compare("jobs", {"a": 7}, {"a": 5}, 0.001) == 0
    assert lag.compare("jobs", {"a": 7}, {"a": 5}, LATE_SECONDS - 0.001) == 0
    assert lag.compare("jobs", {"a": 7}, {"a": 7}, LATE_SECONDS + 1) == 0
    assert not lag.any


def test_a_change_that_stays_unseen_is_late() -> None:
    lag = WatchLag()
    assert lag.compare("jobs", {"a": 7, "b": 8}, {"b": 8}, 0) == 0
    assert lag.compare("jobs", {"a": 7, "b": 8}, {"b": 8}, LATE_SECONDS) == 1


def test_an_object_that_changes_all_the_time_is_late_as_of_its_first_unseen_change() -> None:
    lag = WatchLag()
    for second in range(int(LATE_SECONDS)):
        assert lag.compare("jobs", {"a": 10 + second}, {"a": 5}, second) == 0
    assert lag.compare("jobs", {"a": 99}, {"a": 5}, LATE_SECONDS) == 1
    # The watch goes on, if slowly: what it has not shown now is another change.
    assert lag.compare("jobs", {"a": 120}, {"a": 100}, LATE_SECONDS + 1) == 0


def test_an_object_that_is_gone_is_not_late() -> None:
    lag = WatchLag()
    lag.compare("jobs", {"a": 7}, {}, 0)
    assert lag.compare("jobs", {}, {}, LATE_SECONDS) == 0
    assert not lag.any


def test_each_watch_has_its_own_changes() -> None:
    lag = WatchLag()
    lag.compare(("jobs", "team"), {"team/a": 7}, {}, 0)
    lag.compare(("jobs", "other"), {"other/a": 7}, {"other/a": 7}, 1)
    assert lag.any
    assert lag.compare(("jobs", "team"), {"team/a": 7}, {}, LATE_SECONDS) == 1
