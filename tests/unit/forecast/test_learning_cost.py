"""Costs, to the last digit."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from qonverge.api.pricing import Pricing
from qonverge.api.schema import structural
from qonverge.forecast.cost import cost, costs
from qonverge.forecast.intervals import Interval, Intervals

AMOUNTS = st.none() | st.decimals(0, 1000, places=6).map(str)


def test_a_task_on_a_device_costs_what_the_bill_says() -> None:
    got = cost(
        Pricing(currency="USD", per_task="0.3", per_shot="0.00145"),
        tasks=3,
        shots=30_000,
        run_seconds=Interval(1.0, 2.0, 3.0),
    )
    assert (got.low, got.mid, got.high) == (Decimal("44.4"),) * 3, "nothing is uncertain, and no digit is lost"
    assert got.currency == "USD"


def test_time_is_what_is_uncertain_and_bounds_are_rounded_away_from_the_middle() -> None:
    got = cost(Pricing(currency="EUR", per_second="0.0000011"), tasks=1, shots=1, run_seconds=Interval(1.0, 2.0, 3.0))
    assert (got.low, got.mid, got.high) == (Decimal("0.000001"), Decimal("0.000002"), Decimal("0.000004"))


@settings(deadline=None)
@given(AMOUNTS, AMOUNTS, st.decimals(0, 1000, places=6).map(str), st.integers(0, 1000), st.integers(0, 10**6))
def test_many_are_as_one(task: str | None, shot: str | None, second: str, tasks: int, shots: int) -> None:
    pricing = Pricing(currency="USD", per_task=task, per_shot=shot, per_second=second)
    one = cost(pricing, tasks=tasks, shots=shots, run_seconds=Interval(0.5, 1.25, 100.0))
    many = costs(
        pricing,
        tasks=np.array([tasks, 0.0]),
        shots=np.array([shots, 0.0]),
        run_seconds=Intervals(np.array([0.5, 0.0]), np.array([1.25, 0.0]), np.array([100.0, 0.0])),
    )
    assert many[0].low == pytest.approx(float(one.low), abs=2e-6)
    assert many[0].mid == pytest.approx(float(one.mid), abs=2e-6)
    assert many[0].high == pytest.approx(float(one.high), abs=2e-6)
    assert many[1] == Interval(0.0, 0.0, 0.0)
    assert one.low <= one.mid <= one.high


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"currency": "USD"}, "set at least one of perTask, perShot, perSecond"),
        ({"currency": "usd", "perTask": "1"}, "currency"),
        ({"currency": "USD", "perTask": "1e3"}, "perTask"),
        ({"currency": "USD", "perTask": "-1"}, "perTask"),
        ({"currency": "USD", "perTask": "1."}, "perTask"),
        ({"currency": "USD", "perTask": 0.1}, "perTask"),
        ({"currency": "USD", "perMinute": "1"}, "perMinute"),
    ],
)
def test_prices_that_say_nothing_or_no_money_are_refused(spec: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Pricing.model_validate(spec)


def test_the_api_server_refuses_them_too() -> None:
    schema = structural(Pricing, defaults=True)
    assert schema["properties"]["currency"]["default"] == "USD"
    assert schema["properties"]["perShot"]["pattern"] == r"^[0-9]{1,18}(\.[0-9]{1,12})?$"
    (rule,) = schema["x-kubernetes-validations"]
    assert rule["rule"] == "has(self.perTask) || has(self.perShot) || has(self.perSecond)"
