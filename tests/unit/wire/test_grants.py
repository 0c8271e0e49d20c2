"""What operator and pods tell each other of grants keeps its form: either may be of another version."""

from __future__ import annotations

from decimal import Decimal

from qonverge.amounts import Amounts, Limits, Money, Prices
from qonverge.wire.grants import Grant, Meter, Meters


def test_a_grant_travels_as_numbers_in_the_currency_of_its_prices() -> None:
    now, prices = (
        Limits(5, 1.5, Money(Decimal("0.20"), "")),
        Prices(Decimal("0.3"), second=Decimal("0.01"), currency="EUR"),
    )
    grant = Grant(now, Limits(shots=9), prices, "2030-01-01T00:00:00Z", 2)
    form = {
        "now": [5, 1.5, "0.20"],
        "most": [9, None, None],
        "prices": ["0.3", "0", "0.01"],
        "currency": "EUR",
        "until": "2030-01-01T00:00:00Z",
        "attempt": 2,
    }
    assert grant.to_dict() == form
    assert Grant.from_dict(form) == grant
    # What an operator grants in a currency, a pod gets as a number.
    named = Grant(Limits(cost=Money(Decimal(1), "EUR")), prices=prices)
    assert Grant.from_dict(named.to_dict()).now == Limits(cost=Money(Decimal(1), ""))


def test_a_meter_travels_as_tasks_shots_and_seconds() -> None:
    meter = Meter(Amounts(100, 2.5, tasks=3), Amounts(7, tasks=1), Limits(200), 4)
    form = {"used": [3, 100, 2.5], "wanted": [1, 7, 0.0], "now": [200, None, None], "under_way": 4}
    idle = {"used": [0, 0, 0.0], "wanted": None, "now": [None, None, None], "under_way": 0}
    meters = Meters("b", {"busy": meter, "idle": Meter()})
    assert meters.to_dict() == {"boot": "b", "meters": {"busy": form, "idle": idle}}
    assert Meters.from_dict(meters.to_dict()) == meters
