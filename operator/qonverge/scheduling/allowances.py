"""What quotas leave while a plan uses it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from qonverge.amounts import Amounts, Quota
from qonverge.scheduling.terms import MONEY_TOLERANCE


class Allowances:
    """What namespaces may still use, by their names; one that is not named has no limit."""

    def __init__(self, quotas: Mapping[str, Quota]) -> None:
        """Start with what remains of the quotas."""
        self._left = {namespace: _tolerant(quota) for namespace, quota in quotas.items()}

    def __contains__(self, namespace: str) -> bool:
        """Return whether the namespace has limits."""
        return namespace in self._left

    def take(self, namespace: str, shots: int, seconds: float, cost: float, currency: str) -> bool:
        """Take what one more job uses, and return whether it was there; NaN is a cost that is not known."""
        left = self._left.get(namespace)
        if left is None:
            return True
        if left.cost is None:
            cost = 0.0
        elif math.isnan(cost):
            return False
        more = Amounts(shots, seconds, Decimal(repr(cost)), currency, jobs=1)
        if left.exceeded_by(more):
            return False
        self._left[namespace] = left - more
        return True


def _tolerant(quota: Quota) -> Quota:
    if quota.cost is None:
        return quota
    return replace(quota, cost=replace(quota.cost, amount=quota.cost.amount + Decimal(repr(MONEY_TOLERANCE))))
