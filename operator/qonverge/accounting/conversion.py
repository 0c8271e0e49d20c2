"""Amounts in the forms of the API's resources, and back: the one place where they are converted."""

from __future__ import annotations

from decimal import Context, Decimal

from qonverge.amounts import Amounts, Limits, Money, Prices
from qonverge.api.money import CostLimit
from qonverge.api.pricing import Pricing
from qonverge.api.quota import QuotaLimits
from qonverge.api.usage import Cost, Usage

_FINEST = Decimal("0.000001")
_WIDE = Context(prec=60)


def amounts_of(usage: Usage | None, currency: str = "USD") -> Amounts:
    """Return what a status says that was used.

    Args:
        usage: as this version writes it, or a former one, whose cost is a number.
        currency: of such a number where nothing beside it says it: a quota's is that of its limit.
    """
    if usage is None:
        return Amounts()
    costs = tuple(Money(Decimal(cost.amount), cost.currency) for cost in usage.costs or ())
    if usage.costs is None and usage.cost != "0" and " " not in usage.cost:
        costs = (Money(Decimal(usage.cost), usage.currency or currency),)
    return Amounts(usage.shots, usage.seconds, costs, joules=usage.energy_joules)


def usage_of(used: Amounts) -> Usage:
    """Return the form of a status, whose money has at most 6 decimals, as bills have."""
    rounded = (Money(money.amount.quantize(_FINEST, context=_WIDE), money.currency) for money in used.costs)
    costs = [Cost(amount=_text(money.amount), currency=money.currency) for money in rounded if money.amount]
    return Usage(
        shots=used.shots,
        seconds=round(used.seconds, 6),
        cost=" + ".join(f"{cost.amount} {cost.currency}" for cost in costs) or "0",
        costs=costs or None,
        energy_joules=None if used.joules is None else round(used.joules, 6),
    )


def money_of(limit: CostLimit | None) -> Money | None:
    """Return a budget, or a quota's limit of cost."""
    return None if limit is None else Money(limit.value, limit.currency)


def limits_of(limits: QuotaLimits) -> Limits:
    """Return what a quota allows in a period."""
    return Limits(limits.shots, limits.seconds, money_of(limits.cost), limits.concurrent_jobs)


def prices_of(pricing: Pricing | None) -> Prices:
    """Return a backend's prices; without any it costs nothing."""
    if pricing is None:
        return Prices()
    task, shot, second = (Decimal(price or 0) for price in (pricing.per_task, pricing.per_shot, pricing.per_second))
    return Prices(task, shot, second, pricing.currency)


def pricing_from(prices: Prices) -> Pricing:
    """Return prices that a vendor publishes in the form of a specification."""
    per_task, per_shot, per_second = (f"{price:f}" for price in (prices.task, prices.shot, prices.second))
    # Not checked again: it is no person's input, and all may be 0.
    return Pricing.model_construct(
        currency=prices.currency, per_task=per_task, per_shot=per_shot, per_second=per_second
    )


def _text(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
