"""Forecasts of fidelity follow what devices give, and start from what calibrations say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qonverge.forecast.fidelity import EXACT, FAST
from qonverge.forecast.intervals import Interval, Intervals
from qonverge.forecast.learning_fidelity import FidelityModel
from qonverge.forecast.observed import Observed
from qonverge.forecast.store import Key, dump, load

SPREAD = FAST["Simulated"]
fidelities = st.floats(0.05, 1.0)


def taught(factor: float, times: int = 60, error: float = 1e-3, seed: int = 0) -> FidelityModel:
    """Return the model of a device whose errors are so many times those of its calibration."""
    model, random = FidelityModel.cold("one"), np.random.default_rng(seed)
    for mid in random.uniform(0.5, 0.99, times).tolist():
        outcome = mid ** (factor * math.exp(random.normal(0, 0.1)))
        given = SPREAD.around(mid)
        model = model.observe(given, Observed(outcome, error), 0.0, model.predict_one(given))
    return model


@given(fidelities, st.sampled_from([*FAST.values(), *EXACT.values()]))
def test_a_cold_forecast_is_the_one_that_was_given(mid: float, spread: object) -> None:
    before = spread.around(mid)  # type: ignore[attr-defined]
    after = FidelityModel.cold("one").predict_one(before)
    for side in ("low", "mid", "high"):
        assert getattr(after, side) == pytest.approx(getattr(before, side), abs=1e-6)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.5])
def test_what_a_device_gives_moves_all_its_forecasts(factor: float) -> None:
    model = taught(factor)
    for mid in (0.6, 0.9, 0.98):
        found = model.predict_one(SPREAD.around(mid))
        assert math.log(found.mid) / math.log(mid) == pytest.approx(factor, rel=0.1)
        assert found.low < found.mid < found.high
        assert found.high - found.low < SPREAD.around(found.mid).high - SPREAD.around(found.mid).low


@given(fidelities, fidelities, st.sampled_from([0.5, 1.0, 2.0]))
def test_the_order_of_forecasts_and_their_bounds_stay(one: float, other: float, factor: float) -> None:
    model = taught(factor, 30)
    first, second = (model.predict_one(SPREAD.around(mid)) for mid in sorted((one, other)))
    assert first.mid <= second.mid + 1e-12
    for found in (first, second):
        assert 0 <= found.low <= found.mid <= found.high <= 1


def test_a_perfect_forecast_stays_one_and_teaches_nothing_of_a_factor() -> None:
    assert taught(2.0).predict_one(Interval(1.0, 1.0, 1.0)).mid == pytest.approx(1.0)
    model = FidelityModel.cold("one").observe(SPREAD.around(1.0), Observed(1.0, 1e-4), 0.0)
    assert model.state.factors == pytest.approx([0.0, 0.0])


def test_counts_that_say_little_teach_little_or_nothing() -> None:
    given = SPREAD.around(0.95)
    cold = FidelityModel.cold("one")
    sure, vague, empty = (cold.observe(given, Observed(0.85, error), 0.0) for error in (1e-3, 0.015, 0.2))
    assert sure.state.factors.sum() > 1.1 * vague.state.factors.sum() > 0
    assert empty is cold


def test_chance_alone_is_no_miss() -> None:
    given = SPREAD.around(0.95)
    beyond = Observed(given.low - 0.01, 0.02)
    within, missed = (
        FidelityModel.cold("one").observe(given, Observed(beyond.fidelity, error), 0.0, given) for error in (0.02, 1e-3)
    )
    assert within.state.tails.high_level > FidelityModel.cold("one").state.tails.high_level
    assert missed.state.tails.high_level < FidelityModel.cold("one").state.tails.high_level


def test_a_new_calibration_takes_back_the_drift_and_keeps_what_lasts() -> None:
    model = taught(1.5)
    renewed = model.on("two")
    assert renewed.calibration == "two"
    assert renewed.state.factors[1] == 0
    assert renewed.state.factors[0] == model.state.factors[0] != 0
    assert renewed.state.covariance[1, 1] == FidelityModel.prior.covariance[1, 1] > model.state.covariance[1, 1]
    assert renewed.state.covariance[0, 1] == 0
    assert renewed.on("two") is renewed
    given = SPREAD.around(0.9)
    assert model.predict_one(given).mid < renewed.predict_one(given).mid < 0.9
    width = [found.high - found.low for found in (model.predict_one(given), renewed.predict_one(given))]
    assert width[0] < width[1]


def test_intervals_of_what_was_never_compared_only_move() -> None:
    near = FAST["NearStabilizer"].around(0.7)
    model = taught(1.4)
    moved = model.predict_one(near, like_seen=False)
    assert moved.mid < near.mid
    assert moved.low < near.low
    assert moved.high - moved.low > model.predict_one(near).high - model.predict_one(near).low
    assert model.predict_one(Interval(0.0, 0.5, 1.0), like_seen=False).low == 0
    assert model.predict_one(Interval(0.0, 0.5, 1.0), like_seen=False).high == 1


@pytest.mark.parametrize("spread", [0.1, 0.25, 0.5])
def test_four_of_five_outcomes_are_within_before_and_after_a_drift(spread: float) -> None:
    random = np.random.default_rng(3)
    model, within = FidelityModel.cold("one"), []
    for number in range(900):
        factor = 1.0 if number < 500 else 1.6
        mid = float(random.uniform(0.6, 0.99))
        outcome = mid ** (factor * math.exp(random.normal(0, spread)))
        promised = model.predict_one(SPREAD.around(mid))
        within.append(promised.low <= outcome <= promised.high)
        error = math.sqrt(outcome * (1 - outcome) / 8000)
        drawn = outcome + float(random.normal(0, error))
        model = model.observe(SPREAD.around(mid), Observed(drawn, error), 0.0, promised)
    assert 0.74 < np.mean(within[100:500]) < 0.86
    assert 0.74 < np.mean(within[500:]) < 0.86


def test_many_at_once_are_as_one_by_one() -> None:
    model, mids = taught(1.3), (0.3, 0.8, 0.999)
    each = [SPREAD.around(mid) for mid in mids]
    sides = (np.array([getattr(one, side) for one in each]) for side in ("low", "mid", "high"))
    together = model.predict(Intervals(*sides))
    assert [together[index] for index in range(3)] == [model.predict_one(one) for one in each]


def test_it_is_kept_with_its_calibration() -> None:
    model = taught(1.4)
    key = Key("fidelity", "lab/fez", model.calibration)
    (found,) = load(dump({key: model.state})).states.items()
    assert found[0] == key
    again, given = FidelityModel(found[0].method, found[1]), SPREAD.around(0.9)
    assert again.predict_one(given).mid == pytest.approx(model.predict_one(given).mid, rel=1e-4)
