"""What quotas leave while a plan uses it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from qonverge.amounts import Amounts, Money, Quota
from qonverge.scheduling.terms import MONEY_TOLERANCE


class Allowances:
    """What namespaces may still use, by their names; one that is not named has no limit."""

    def __init__(self, quotas: Mapping[str, Quota]) -> None:
        """Start with what remains of the quotas."""
        self._left = {namespace: _tolerant(quota) for namespace, quota in quotas.items()}

    def __contains__(self, namespace: str) -> bool:
        """Return whether the namespace has limits."""
        return namespace in self._left

    def take(
        self, namespace: str, shots: int, seconds: float, costs: Iterable[tuple[float, str]], *, jobs: int = 1
    ) -> bool:
        """Take what a job uses, and return whether it was there.

        Args:
            namespace: the job's.
            shots: of all its tasks.
            seconds: likewise.
            costs: amounts with their currencies; NaN is one that is not known.
            jobs: 0 for what a job takes that was counted already.
        """
        left = self._left.get(namespace)
        if left is None:
            return True
        known = () if left.cost is None else tuple(costs)
        if any(math.isnan(cost) for cost, _ in known):
            return False
        money = tuple(Money(Decimal(repr(cost)), currency) for cost, currency in known)
        more = Amounts(shots, seconds, money, jobs=jobs)
        if left.exceeded_by(more):
            return False
        self._left[namespace] = left - more
        return True


def _tolerant(quota: Quota) -> Quota:
    if quota.cost is None:
        return quota
    return replace(quota, cost=replace(quota.cost, amount=quota.cost.amount + Decimal(repr(MONEY_TOLERANCE))))
