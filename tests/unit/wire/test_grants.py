"""What operator and pods tell each other of grants keeps its form: either may be of another version."""

from __future__ import annotations

from decimal import Decimal

from qonverge.amounts import Amounts, Limits, Money, Prices
from qonverge.wire.grants import Grant, Meter, Meters


def test_a_grant_travels_as_numbers_in_the_currency_of_its_prices() -> None:
    now, prices = (
        Limits(5, 1.5, Money(Decimal("0.20"), "EUR")),
        Prices(Decimal("0.3"), second=Decimal("0.01"), currency="EUR"),
    )
    grant = Grant(now, Limits(shots=9), prices, "2030-01-01T00:00:00Z", 2, cost_is_budget=True, shots_are_the_jobs=True)
    form = {
        "now": [5, 1.5, "0.20"],
        "most": [9, None, None],
        "prices": ["0.3", "0", "0.01"],
        "currency": "EUR",
        "until": "2030-01-01T00:00:00Z",
        "attempt": 2,
        "cost_is_budget": True,
        "shots_are_the_jobs": True,
    }
    assert grant.to_dict() == form
    assert Grant.from_dict(form) == grant
    # A former operator does not say which limit it is.
    del form["cost_is_budget"], form["shots_are_the_jobs"]
    assert not Grant.from_dict(form).cost_is_budget
    assert not Grant.from_dict(form).shots_are_the_jobs


def test_a_meter_travels_as_tasks_shots_seconds_and_costs() -> None:
    costs = (Money(Decimal("0.5"), "EUR"), Money(Decimal(2)))
    now = Limits(200, cost=Money(Decimal(3), "EUR"))
    meter = Meter(Amounts(100, 2.5, costs, tasks=3), Amounts(7, tasks=1), now, 4, waits=9)
    form = {"used": [3, 100, 2.5], "wanted": [1, 7, 0.0], "now": [200, None, "3"], "under_way": 4, "waits": 9}
    form |= {"costs": [["0.5", "EUR"], ["2", "USD"]], "currency": "EUR"}
    idle = {"used": [0, 0, 0.0], "wanted": None, "now": [None, None, None], "under_way": 0, "waits": None}
    idle |= {"costs": [], "currency": None}
    meters = Meters("b", {"busy": meter, "idle": Meter()})
    assert meters.to_dict() == {"boot": "b", "meters": {"busy": form, "idle": idle}}
    assert Meters.from_dict(meters.to_dict()) == meters


def test_what_a_former_server_tells_costs_what_the_prices_say() -> None:
    former = {"used": [3, 100, 2.5], "wanted": None, "now": [200, None, "7"], "under_way": 0}
    told = Meter.from_dict(former).at(Prices(shot=Decimal("0.01"), currency="EUR"))
    assert told.used == Amounts(100, 2.5, (Money(Decimal(1), "EUR"),), tasks=3)
    assert told.now.cost == Money(Decimal(7), "EUR")
    assert Meter.from_dict({**former, "costs": [], "currency": "EUR"}).at(Prices(shot=Decimal(1))).used.costs == ()
