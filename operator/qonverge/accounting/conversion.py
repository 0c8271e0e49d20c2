"""Amounts in the forms of the API's resources, and back: the one place where they are converted."""

from __future__ import annotations

from decimal import Decimal

from qonverge.amounts import Amounts, Limits, Money, Prices
from qonverge.api.job import Usage
from qonverge.api.money import CostLimit
from qonverge.api.pricing import Pricing
from qonverge.api.quota import QuotaLimits, QuotaUse


def amounts_of(usage: Usage | None) -> Amounts:
    """Return what a job's status says that it used."""
    if usage is None:
        return Amounts()
    return Amounts(usage.shots, usage.seconds, Decimal(usage.cost), usage.currency)


def usage_of(used: Amounts) -> Usage:
    """Return the form of a job's status."""
    return Usage(shots=used.shots, seconds=round(used.seconds, 6), cost=_text(used.cost), currency=used.currency)


def counted_amounts(use: QuotaUse, currency: str) -> Amounts:
    """Return what a quota's status says, with the currency of the quota's limit."""
    return Amounts(use.shots, use.seconds, Decimal(use.cost), currency)


def quota_use_of(used: Amounts) -> QuotaUse:
    """Return the form of a quota's status, whose limit says which currency it is."""
    return QuotaUse(shots=used.shots, seconds=round(used.seconds, 6), cost=_text(used.cost))


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


def _text(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
