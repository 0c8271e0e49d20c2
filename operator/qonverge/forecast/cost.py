"""What a job costs on a backend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from qonverge.accounting.conversion import prices_of
from qonverge.amounts import Amounts
from qonverge.api.pricing import Pricing
from qonverge.circuits.analysis.measurement_plan import tasks_for
from qonverge.forecast.intervals import Floats, Interval, Intervals
from qonverge.forecast.requests import BackendOffer, ForecastRequest

_UNKNOWN = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Cost:
    """Money that is expected to be spent, within bounds that hold in four of five cases."""

    low: Decimal
    mid: Decimal
    high: Decimal
    currency: str
    """ISO 4217 code."""


def cost(pricing: Pricing, *, tasks: int, shots: int, run_seconds: Interval) -> Cost:
    """Return what a job costs. Only the part for run time is uncertain.

    Args:
        pricing: of the backend.
        tasks: that the provider is sent, see ``Pricing.per_task``.
        shots: of all tasks together.
        run_seconds: of all tasks together.
    """
    prices = prices_of(pricing)
    low, mid, high = (
        Amounts(shots, side, tasks=tasks) for side in (run_seconds.low, run_seconds.mid, run_seconds.high)
    )
    return Cost(prices.of(low, ROUND_FLOOR), prices.of(mid), prices.of(high, ROUND_CEILING), prices.currency)


def costs(pricing: Pricing, *, tasks: Floats, shots: Floats, run_seconds: Intervals) -> Intervals:
    """Return what many jobs cost, for comparing them: in floats, where a budget is for ``cost``.

    Args:
        pricing: of the backend.
        tasks: of each job, shape (J,).
        shots: of each job, shape (J,).
        run_seconds: of each job, J of them.
    """
    fixed = tasks * float(pricing.per_task or 0) + shots * float(pricing.per_shot or 0)
    rate = float(pricing.per_second or 0)
    return Intervals(fixed + rate * run_seconds.low, fixed + rate * run_seconds.mid, fixed + rate * run_seconds.high)


def price(asked: ForecastRequest | None, offer: BackendOffer, run: Interval) -> Interval:
    """Return what a job, or a part of its shots, costs on a backend, in that backend's currency.

    Args:
        asked: with the shots of the part.
        offer: the backend.
        run: how long it runs there.
    """
    if offer.pricing is None and not offer.cost_unknown:
        return Interval(0.0, 0.0, 0.0)
    if offer.pricing is None or asked is None:
        return _UNKNOWN
    work = asked.work
    circuits = work.sets * work.bases
    tasks = tasks_for([(circuits, work.shots)], offer.task_limits)
    found = cost(offer.pricing, tasks=tasks, shots=max(1, work.shots) * circuits, run_seconds=run)
    return Interval(float(found.low), float(found.mid), float(found.high))
