"""What is expected of arrivals, where they recur and where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from qonverge.scaling.arrivals import ArrivalForecaster

HOUR, DAY = 3600.0, 86_400.0


def fed(until: float, workers: object) -> ArrivalForecaster:
    """Return one that saw every minute what ``workers`` says of it."""
    forecaster = ArrivalForecaster()
    for minute in range(int(until // 60)):
        forecaster.record(minute * 60.0, [60.0] * workers(minute))  # type: ignore[operator]
    return forecaster


def test_a_daily_peak_is_expected_once_two_days_had_it_and_a_third_confirmed_it() -> None:
    def peak(minute: int) -> int:
        return 12 if minute % 1440 in (600, 601) else 1

    assert fed(2.9 * DAY, peak).expect(3 * DAY) is None
    forecaster = fed(3 * DAY + 9 * HOUR + 30 * 60, peak)
    found = forecaster.expect(3 * DAY + 600 * 60.0)
    assert found is not None
    assert (found.period, found.workers) == ("day", 12.0)
    assert found.error < 0.1
    before = forecaster.expect(3 * DAY + 599 * 60.0)
    assert before is not None
    assert before.workers == 1.0


def test_what_came_once_is_not_expected_again() -> None:
    forecaster = fed(6 * HOUR, lambda minute: 30 if minute in (70, 240) else minute % 60 == 0)
    for minute in range(60):
        found = forecaster.expect(6 * HOUR + minute * 60)
        assert found is None or found.workers <= 1.0


def test_of_two_periods_the_smaller_is_expected() -> None:
    forecaster = fed(5 * HOUR, lambda minute: 20 if minute == 240 else 10 * (minute % 60 == 0))
    found = forecaster.expect(5 * HOUR)
    assert found is not None
    assert found.workers == 10.0


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_not_taken_for_a_period(seed: int) -> None:
    counts = np.random.default_rng(seed).poisson(3.0, 600).tolist()
    assert fed(10 * HOUR, lambda minute: counts[minute]).expect(10 * HOUR) is None


def test_a_long_task_counts_as_one_worker() -> None:
    forecaster = ArrivalForecaster()
    for minute in range(300):
        forecaster.record(minute * 60.0, [1e5] * 4 if minute % 60 == 0 else [])
    found = forecaster.expect(300 * 60.0)
    assert found is not None
    assert found.workers == 4.0


def test_a_gap_counts_as_nothing_and_an_hour_ahead_is_not_foretold() -> None:
    forecaster = fed(5 * HOUR, lambda minute: 9 * (minute % 60 == 0))
    assert forecaster.expect(6 * HOUR + 60) is None
    forecaster.record(50 * DAY, [])
    found = forecaster.expect(50 * DAY)
    assert found is None or found.workers == 0.0
