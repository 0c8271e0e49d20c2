"""Intervals that adapt: their share of misses, whatever the errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qonverge.forecast.intervals import MOST_SCORES, Interval, Intervals, Prediction, Tails


def missed(scores: list[float]) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    tails, out = Tails(), []
    for score in scores:
        low, high = tails.ends()
        out.append((score < low, score > high))
        tails = tails.learn(score)
    return np.array(out)


@pytest.mark.parametrize("kind", ["normal", "skewed", "heavy"])
def test_each_tail_misses_a_tenth_whatever_the_errors_are(kind: str) -> None:
    random = np.random.default_rng(1)
    scores = {
        "normal": random.normal(size=3000),
        "skewed": random.lognormal(0, 1, 3000) - 1,
        "heavy": random.standard_t(2, 3000),
    }[kind]
    for tail in missed(scores.tolist()).mean(axis=0).tolist():
        assert 0.07 <= tail <= 0.13


def test_the_median_stays_within_where_all_errors_are_on_one_side() -> None:
    below, above = missed(np.random.default_rng(3).normal(2, 0.5, 3000).tolist()).mean(axis=0).tolist()
    assert 0.07 <= above <= 0.13
    assert below < 0.01


@pytest.mark.parametrize("scale", [0.2, 4.0])
def test_a_change_of_the_errors_is_followed(scale: float) -> None:
    random = np.random.default_rng(2)
    scores = np.concatenate((random.normal(size=500), scale * random.normal(size=500)))
    assert 0.75 <= 1 - missed(scores.tolist())[500:].sum() / 500 <= 0.85


def test_errors_that_grow_all_the_time_are_followed() -> None:
    scores = np.random.default_rng(4).normal(size=1500) * np.exp(0.02 * np.arange(1500))
    assert 0.75 <= 1 - missed(scores.tolist()).sum() / 1500 <= 0.85


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), max_size=200))
def test_ends_are_in_order_and_memory_is_bounded(scores: list[float]) -> None:
    tails = Tails()
    for score in scores:
        tails = tails.learn(score)
    low, high = tails.ends()
    assert low <= high
    assert len(tails.scores) == min(len(scores), MOST_SCORES)
    assert 0 < tails.low_level < 0.5
    assert 0 < tails.high_level < 0.5


def test_scores_of_a_change_are_left_out() -> None:
    tails = Tails((1.0, 2.0, 3.0))
    assert tails.without_last(2).scores == (1.0,)
    assert tails.without_last(9).scores == ()
    assert tails.without_last(0) == tails


def test_a_promise_is_judged_as_it_was_made() -> None:
    interval = Interval(1.0, 2.0, 4.0)
    assert Prediction.of(interval, 2.0) == Prediction(0.0, below=False, above=False)
    assert Prediction.of(interval, 5.0).above
    assert Prediction.of(interval, 0.0, offset=1.0).below
    assert interval.moved(-1.5) == Interval(0.0, 0.5, 2.5)


def test_one_of_many() -> None:
    many = Intervals(np.array([1.0, 2.0]), np.array([2.0, 3.0]), np.array([3.0, 4.0]))
    assert many[1] == Interval(2.0, 3.0, 4.0)
    assert len(many) == 2
