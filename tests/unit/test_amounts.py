"""Amounts, limits and prices: no limit stays none, nothing is lost, and money of another currency pays for nothing."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qonverge.accounting.conversion import amounts_of, usage_of
from qonverge.amounts import Amounts, Limits, Money, Prices, Quota
from qonverge.api.usage import Usage
from qonverge.wire.grants import Meter

_NAMES = ("shots", "seconds", "cost", "jobs")
# Seconds in 64ths: sums of them are exact, so that laws can be stated with ==.
counts = st.integers(0, 10**6)
seconds = counts.map(lambda n: n / 64)
money = st.decimals(0, 1000, places=6)


def used(currency: st.SearchStrategy[str]) -> st.SearchStrategy[Amounts]:
    costs = st.lists(st.builds(Money, money, currency), max_size=5).map(tuple)
    return st.builds(Amounts, counts, seconds, costs, counts, st.integers(0, 9))


def limited(currency: st.SearchStrategy[str]) -> st.SearchStrategy[Limits]:
    maybe = st.none()
    cost = st.builds(Money, money, currency)
    return st.builds(Limits, maybe | counts, maybe | seconds, maybe | cost, maybe | st.integers(0, 9))


currencies = st.sampled_from(["USD", "EUR", "CHF"])
amounts, limits = used(currencies), limited(currencies)


def plain(limit: Limits) -> dict[str, Fraction | None]:
    """Return the limits as numbers, for an arithmetic of the test's own."""
    values = {name: getattr(limit, name) for name in _NAMES}
    return {
        name: None if value is None else Fraction(value.amount if isinstance(value, Money) else value)
        for name, value in values.items()
    }


def spent(costs: tuple[Money, ...]) -> dict[str, Fraction]:
    """Return the sum of each currency, by an arithmetic of the test's own."""
    found = dict.fromkeys(("USD", "EUR", "CHF"), Fraction(0))
    for each in costs:
        found[each.currency] += Fraction(each.amount)
    return found


def numbers(some: Amounts, limit: Limits) -> dict[str, Fraction]:
    """Return the amounts as numbers; cost in the currency of the limit."""
    cost = Fraction(0) if limit.cost is None else spent(some.costs)[limit.cost.currency]
    values = {name: Fraction(getattr(some, name)) for name in _NAMES if name != "cost"}
    return {name: values.get(name, cost) for name in _NAMES}


@given(st.lists(st.builds(Money, money, currencies), max_size=8).map(tuple), st.randoms())
def test_money_has_one_form_in_which_no_currency_is_lost_or_mixed(costs: tuple[Money, ...], random: Random) -> None:
    some, shuffled = Amounts(costs=costs), list(costs)
    random.shuffle(shuffled)
    assert some == Amounts(costs=tuple(shuffled))
    assert sum((Amounts(costs=(each,)) for each in shuffled), Amounts()) == some
    assert {each.currency: Fraction(each.amount) for each in some.costs} == {k: v for k, v in spent(costs).items() if v}
    assert [each.currency for each in some.costs] == sorted({each.currency for each in some.costs})
    assert all(some.cost_in(currency) == sum_ for currency, sum_ in spent(costs).items())
    assert amounts_of(usage_of(some)) == some, "as a status keeps it"
    assert Meter.from_dict(Meter(some).to_dict()).used == some, "as it travels"


@given(amounts, amounts, amounts)
def test_sums_are_a_group(a: Amounts, b: Amounts, c: Amounts) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Amounts() == a
    assert (a + b) - b == a
    assert not a - a
    assert spent((a + b).costs) == spent((*a.costs, *b.costs))


@given(amounts, amounts)
def test_what_is_beyond_is_never_negative_and_completes_the_larger(a: Amounts, b: Amounts) -> None:
    more = a.beyond(b)
    for name in ("shots", "seconds", "tasks", "jobs"):
        assert getattr(more, name) >= 0
        assert getattr(b + more, name) == max(getattr(a, name), getattr(b, name))
    for currency, extra in spent(more.costs).items():
        assert extra >= 0
        assert spent((b + more).costs)[currency] == max(spent(a.costs)[currency], spent(b.costs)[currency])
    assert not a.beyond(a + b)


@given(amounts, limits)
def test_each_limit_is_counted_by_itself_and_no_limit_stays_none(some: Amounts, limit: Limits) -> None:
    counted = numbers(some, limit)
    expected = {name: None if most is None else most - counted[name] for name, most in plain(limit).items()}
    assert plain(limit - some) == expected


@given(amounts, limits)
def test_what_exceeds_a_limit_is_named(some: Amounts, limit: Limits) -> None:
    expected = [n for n, v in numbers(some, limit).items() if (bound := plain(limit)[n]) is not None and v > bound]
    other = limit.cost is not None and any(each.currency != limit.cost.currency for each in some.costs)
    if other and "cost" not in expected:
        expected.append("cost")
    assert sorted(limit.exceeded_by(some)) == sorted(expected)


@given(amounts, limits)
def test_what_fits_leaves_nothing_negative(some: Amounts, limit: Limits) -> None:
    left = [value for value in plain(limit - some).values() if value is not None]
    other = limit.cost is not None and any(each.currency != limit.cost.currency for each in some.costs)
    assert (not limit.exceeded_by(some)) == (all(value >= 0 for value in left) and not other)


@given(amounts, limits)
def test_what_limits_let_through_beyond_use_is_never_negative(some: Amounts, limit: Limits) -> None:
    most, values = plain(limit), numbers(some, limit)
    expected = {name: 0 if (bound := most[name]) is None else max(0, bound - values[name]) for name in _NAMES}
    more = limit.beyond(some)
    assert numbers(more, limit) == expected
    assert all(limit.cost is not None and each.currency == limit.cost.currency for each in more.costs)


@given(limits, limits, limits, amounts)
def test_the_tightest_limits_let_through_what_both_do(a: Limits, b: Limits, c: Limits, some: Amounts) -> None:
    both = a.tightest(b)
    assert both == b.tightest(a)
    assert both.tightest(c) == a.tightest(b.tightest(c))
    assert a.tightest(a) == a.tightest(Limits()) == a
    assert set(both.exceeded_by(some)) == {*a.exceeded_by(some), *b.exceeded_by(some)}


@pytest.mark.parametrize(
    ("limit", "used_up", "limits_use"),
    [
        (Limits(), (), False),
        (Limits(jobs=0), (), False),
        (Limits(5, 0.5, Money(Decimal("0.1"))), (), True),
        (Limits(0, 0.0, Money(Decimal(0)), 0), ("shots", "seconds", "cost"), True),
        (Limits(-1, cost=Money(Decimal(-1))), ("shots", "cost"), True),
    ],
)
def test_limits_that_leave_nothing_are_named(limit: Limits, used_up: tuple[str, ...], limits_use: bool) -> None:
    assert (limit.spent, limit.limits_use) == (used_up, limits_use)


def test_nothing_exceeds_no_limit_also_where_less_is_left() -> None:
    """A task without shots may run where more shots were used than a limit, since lowered, allows."""
    assert Limits(-5, cost=Money(Decimal(-1))).exceeded_by(Amounts(seconds=1.0)) == ()


def test_what_is_left_of_a_quota_is_a_quota() -> None:
    assert Quota(10, renews_at=60.0) - Amounts(4) == Quota(6, renews_at=60.0)


def test_what_a_former_version_wrote_is_read_with_its_currency() -> None:
    euros = Amounts(5, 1.5, (Money(Decimal("2.5"), "EUR"),))
    former = {"shots": 5, "seconds": 1.5, "cost": "2.5"}
    assert amounts_of(Usage.model_validate({**former, "currency": "EUR"})) == euros
    assert amounts_of(Usage.model_validate(former), "EUR") == euros, "a quota's, in the currency of its limit"
    assert amounts_of(Usage.model_validate({**former, "cost": "0", "currency": "EUR"})) == Amounts(5, 1.5)
    used = usage_of(euros + Amounts(costs=(Money(Decimal("0.0000004"), "CHF"), Money(Decimal(100)))))
    assert used.to_dict() == {
        "shots": 5,
        "seconds": 1.5,
        "cost": "2.5 EUR + 100 USD",
        "costs": [{"amount": "2.5", "currency": "EUR"}, {"amount": "100", "currency": "USD"}],
    }


# No clock tells times below a picosecond, and a price of one is beyond the digits of a sum.
@given(counts, counts, st.just(0.0) | st.floats(1e-12, 1e9), st.tuples(*[st.decimals(0, 10, places=9)] * 3))
def test_prices_are_exact_to_the_millionth(tasks: int, shots: int, run: float, each: tuple[Decimal, ...]) -> None:
    task, shot, second = each
    prices = Prices(task, shot, second, "EUR")
    some = Amounts(shots, run, tasks=tasks)
    exact = tasks * Fraction(task) + shots * Fraction(shot) + Fraction(repr(run)) * Fraction(second)
    low, near, high = (prices.of(some, *how) for how in ((ROUND_FLOOR,), (), (ROUND_CEILING,)))
    assert Fraction(low) <= exact <= Fraction(high)
    assert high - low <= Decimal("0.000001")
    assert abs(Fraction(near) - exact) <= Fraction(1, 2_000_000)
    assert prices.bill(some) == Amounts(shots, run, (Money(near, "EUR"),))
    charged = prices.charge(some)
    assert charged == Amounts(shots, run, charged.costs, tasks)
    assert abs(Fraction(charged.cost_in("EUR")) - exact) <= Fraction(1, 2 * 10**12)


def test_energy_is_known_of_a_sum_where_it_is_known_of_all_that_ran() -> None:
    one, two = Amounts(1, 2.0).at_power(10.0), Amounts(1, 3.0).at_power(1.0)
    unknown, cached = Amounts(1, 1.0).at_power(None), Amounts()
    assert (one + two).joules == 23.0
    assert (Amounts() + one + cached).joules == 20.0
    assert (one + unknown).joules is None
    assert (unknown + one + two).joules is None
    assert Amounts().joules is None
    assert (one + two - two).joules == 20.0
    assert (one + two).beyond(one).joules == 3.0
    told = usage_of(one + two)
    assert (told.energy_joules, amounts_of(told).joules) == (23.0, 23.0)
    assert usage_of(unknown).to_dict().get("energyJoules") is None
