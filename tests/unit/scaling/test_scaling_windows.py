"""Windows beside sums over every moment."""

from __future__ import annotations

import numpy as np
import pytest

from qonverge.scaling.windows import Maximum, TimeAverage, Total


@pytest.mark.parametrize("seed", range(5))
def test_the_average_is_that_of_every_moment(seed: int) -> None:
    random = np.random.default_rng(seed)
    window, moments, values = TimeAverage(7.0), np.cumsum(random.integers(1, 5, 60)), random.integers(0, 9, 60)
    each = np.repeat(values[1:], np.diff(moments))
    for count, (now, value) in enumerate(zip(moments.tolist(), values.tolist(), strict=True)):
        window.record(now, value)
        known = each[: int(moments[count] - moments[0])][-7:]
        assert window.average() == pytest.approx(known.mean() if len(known) else value)


def test_nothing_has_no_average() -> None:
    with pytest.raises(LookupError):
        TimeAverage(1.0).average()


@pytest.mark.parametrize("seed", range(5))
def test_the_maximum_is_that_of_the_window(seed: int) -> None:
    random = np.random.default_rng(seed)
    window, now, told = Maximum(10.0), 0.0, []
    for value in random.integers(0, 50, 200).tolist():
        now += float(random.integers(0, 4))
        told.append((now, value))
        assert window.record(now, value) == max(value for at, value in told if at >= now - 10)


@pytest.mark.parametrize("seed", range(5))
def test_the_total_is_that_of_the_window(seed: int) -> None:
    random = np.random.default_rng(seed)
    window, now, told = Total(10.0), 0.0, []
    for value in random.integers(0, 3, 200).tolist():
        now += float(random.integers(1, 9))
        told.append((now, value))
        assert window.record(now, value) == pytest.approx(sum(value for at, value in told if at > now - 10))
