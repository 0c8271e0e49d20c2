"""Amounts, limits and prices: no limit stays none, nothing is lost, and money of another currency pays for nothing."""

from __future__ import annotations

from dataclasses import fields
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qonverge.amounts import Amounts, Limits, Money, Prices, Quota

_NAMES = ("shots", "seconds", "cost", "jobs")
# Seconds in 64ths: sums of them are exact, so that laws can be stated with ==.
counts = st.integers(0, 10**6)
seconds = counts.map(lambda n: n / 64)
money = st.decimals(0, 1000, places=6)


def used(currency: st.SearchStrategy[str]) -> st.SearchStrategy[Amounts]:
    return st.builds(Amounts, counts, seconds, money, currency, counts, st.integers(0, 9))


def limited(currency: st.SearchStrategy[str]) -> st.SearchStrategy[Limits]:
    maybe = st.none()
    cost = st.builds(Money, money, currency)
    return st.builds(Limits, maybe | counts, maybe | seconds, maybe | cost, maybe | st.integers(0, 9))


dollars = st.just("USD")
amounts, limits = used(dollars), limited(dollars)
any_amounts, any_limits = (make(st.sampled_from(["USD", "EUR", "CHF"])) for make in (used, limited))


def plain(limit: Limits) -> dict[str, Fraction | None]:
    """Return the limits as numbers, for an arithmetic of the test's own."""
    values = {name: getattr(limit, name) for name in _NAMES}
    return {
        name: None if value is None else Fraction(value.amount if isinstance(value, Money) else value)
        for name, value in values.items()
    }


def numbers(some: Amounts) -> dict[str, Fraction]:
    return {name: Fraction(getattr(some, name)) for name in _NAMES}


@given(amounts, amounts, amounts)
def test_sums_are_a_group(a: Amounts, b: Amounts, c: Amounts) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Amounts() == a
    assert (a + b) - b == a
    assert not a - a


@given(amounts, amounts)
def test_what_is_beyond_is_never_negative_and_completes_the_larger(a: Amounts, b: Amounts) -> None:
    more = a.beyond(b)
    for name in (item.name for item in fields(Amounts) if item.name != "currency"):
        assert getattr(more, name) >= 0
        assert getattr(b + more, name) == max(getattr(a, name), getattr(b, name))
    assert not a.beyond(a + b)


@given(any_amounts, any_limits)
def test_each_limit_is_counted_by_itself_and_no_limit_stays_none(some: Amounts, limit: Limits) -> None:
    same = limit.cost is None or limit.cost.currency == some.currency
    counted = numbers(some) | ({} if same else {"cost": Fraction(0)})
    expected = {name: None if most is None else most - counted[name] for name, most in plain(limit).items()}
    assert plain(limit - some) == expected


@given(any_amounts, any_limits)
def test_what_exceeds_a_limit_is_named(some: Amounts, limit: Limits) -> None:
    most = plain(limit)
    if limit.cost is not None and limit.cost.currency != some.currency:
        most["cost"] = Fraction(0)
    expected = [name for name, value in numbers(some).items() if (bound := most[name]) is not None and value > bound]
    assert list(limit.exceeded_by(some)) == expected


@given(amounts, limits)
def test_what_fits_leaves_nothing_negative(some: Amounts, limit: Limits) -> None:
    left = [value for value in plain(limit - some).values() if value is not None]
    assert (not limit.exceeded_by(some)) == all(value >= 0 for value in left)


@given(any_amounts, any_limits)
def test_what_limits_let_through_beyond_use_is_never_negative(some: Amounts, limit: Limits) -> None:
    most = plain(limit)
    if limit.cost is not None and limit.cost.currency != some.currency:
        most["cost"] = Fraction(0)
    expected = {n: 0 if (bound := most[n]) is None else max(0, bound - value) for n, value in numbers(some).items()}
    more = limit.beyond(some)
    assert (numbers(more), more.currency) == (expected, some.currency)


@given(any_limits, any_limits, any_limits, any_amounts)
def test_the_tightest_limits_let_through_what_both_do(a: Limits, b: Limits, c: Limits, some: Amounts) -> None:
    both = a.tightest(b)
    assert both == b.tightest(a)
    assert both.tightest(c) == a.tightest(b.tightest(c))
    assert a.tightest(a) == a.tightest(Limits()) == a
    assert set(both.exceeded_by(some)) == {*a.exceeded_by(some), *b.exceeded_by(some)}


@given(limits, limits, amounts)
def test_the_widest_limits_let_through_what_either_does(a: Limits, b: Limits, some: Amounts) -> None:
    either = a.widest(b)
    assert either == b.widest(a)
    assert a.widest(Limits()) == Limits()
    assert set(either.exceeded_by(some)) == {*a.exceeded_by(some)} & {*b.exceeded_by(some)}
    assert a.widest(a.tightest(b)) == a.tightest(a.widest(b)) == a


def test_there_is_no_widest_limit_of_two_currencies() -> None:
    with pytest.raises(ValueError, match=r"3\.00 USD and 5\.00 EUR have no maximum"):
        Limits(cost=Money(Decimal(3))).widest(Limits(cost=Money(Decimal(5), "EUR")))


@pytest.mark.parametrize(
    ("limit", "spent", "limits_use"),
    [
        (Limits(), (), False),
        (Limits(jobs=0), (), False),
        (Limits(5, 0.5, Money(Decimal("0.1"))), (), True),
        (Limits(0, 0.0, Money(Decimal(0)), 0), ("shots", "seconds", "cost"), True),
        (Limits(-1, cost=Money(Decimal(-1))), ("shots", "cost"), True),
    ],
)
def test_limits_that_leave_nothing_are_named(limit: Limits, spent: tuple[str, ...], limits_use: bool) -> None:
    assert (limit.spent, limit.limits_use) == (spent, limits_use)


def test_nothing_exceeds_no_limit_also_where_less_is_left() -> None:
    """A task without shots may run where more shots were used than a limit, since lowered, allows."""
    assert Limits(-5, cost=Money(Decimal(-1))).exceeded_by(Amounts(seconds=1.0)) == ()


def test_what_is_left_of_a_quota_is_a_quota() -> None:
    assert Quota(10, renews_at=60.0) - Amounts(4) == Quota(6, renews_at=60.0)


def test_money_whose_currency_the_prices_name_pays_them() -> None:
    grant = Limits(cost=Money(Decimal(2), ""))
    euros = Amounts(cost=Decimal("1.5"), currency="EUR")
    assert grant - euros == Limits(cost=Money(Decimal("0.5"), ""))
    assert grant.beyond(euros) == Amounts(cost=Decimal("0.5"), currency="EUR")
    assert grant.exceeded_by(euros + euros) == ("cost",)
    assert Money(Decimal(2), "USD").amount_in("EUR") == 0
    assert euros.paid_in("USD") == Amounts()
    assert euros.paid_in("EUR") == euros


@given(counts, counts, st.floats(0, 1e9, allow_nan=False), st.tuples(*[st.decimals(0, 10, places=9)] * 3))
def test_prices_are_exact_to_the_millionth(tasks: int, shots: int, run: float, each: tuple[Decimal, ...]) -> None:
    task, shot, second = each
    prices = Prices(task, shot, second, "EUR")
    some = Amounts(shots, run, tasks=tasks)
    exact = tasks * Fraction(task) + shots * Fraction(shot) + Fraction(repr(run)) * Fraction(second)
    low, near, high = (prices.of(some, *how) for how in ((ROUND_FLOOR,), (), (ROUND_CEILING,)))
    assert Fraction(low) <= exact <= Fraction(high)
    assert high - low <= Decimal("0.000001")
    assert abs(Fraction(near) - exact) <= Fraction(1, 2_000_000)
    assert prices.charge(some) == Amounts(shots, run, near, "EUR")
