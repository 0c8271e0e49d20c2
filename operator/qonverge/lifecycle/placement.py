"""A job as placement sees it, and what placement says as the status shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qonverge.api import HybridJob
from qonverge.api.money import Money as Budget
from qonverge.api.placement import Candidate, ForecastInterval, Placement, seconds_of
from qonverge.lifecycle.quotas import Use
from qonverge.lifecycle.transitions import seconds
from qonverge.scheduling.estimates import Floats
from qonverge.scheduling.model import Backend, Decision, Job, Money, Needs, Split, Terms, Weights

Wait = tuple[float, float, float]


def waiting(
    job: HybridJob,
    created: float,
    wanted: Needs | None,
    used: Use,
    *,
    priority: int = 0,
    may_preempt: bool = True,
) -> Job:
    """Return the job as placement sees it.

    Args:
        job: the resource.
        created: when it was created, or last resumed, Unix seconds.
        wanted: what its circuit asks of a backend; None for programs.
        used: what its attempts used so far.
        priority: value of its PriorityClass.
        may_preempt: whether that class lets it displace others.
    """
    spec, reference = job.spec, job.spec.backend
    placement = spec.placement or Placement()
    return Job(
        key=f"{job.metadata.namespace}/{job.metadata.name}",
        namespace=job.metadata.namespace,
        created=created,
        needs=wanted,
        backend_name=reference.name if reference else None,
        backend_namespace=reference.namespace if reference else None,
        backend_selector=reference.selector if reference else None,
        priority=priority,
        may_preempt=may_preempt,
        terms=_terms(placement),
        deadline=None if spec.deadline is None else seconds(spec.deadline),
        budget=_left(job.spec.budget, used),
        split=None if placement.split is None else Split(placement.split.min_shots),
        hedge=placement.hedge,
        data_site=placement.data_site,
    )


def _terms(placement: Placement) -> Terms:
    weights = placement.weights
    return Terms(
        tiers=frozenset(placement.tiers),
        regions=frozenset(placement.regions),
        min_fidelity=placement.min_fidelity,
        max_wait_seconds=None if placement.max_wait is None else seconds_of(placement.max_wait),
        max_latency_seconds=None if placement.max_latency is None else seconds_of(placement.max_latency),
        preferred_tiers=frozenset(placement.preferred_tiers),
        weights=Weights.preset(placement.objective)
        if weights is None
        else Weights(weights.fidelity, weights.time, weights.cost),
    )


def _left(budget: Budget | None, used: Use) -> Money | None:
    """Return what may still be spent on the job."""
    if budget is None:
        return None
    return Money(budget.value - (used.cost if used.currency == budget.currency else 0), budget.currency)


def shown(
    decision: Decision, namespace: str, row: Floats | None, backends: Sequence[Backend], waits: Sequence[Wait]
) -> list[Candidate]:
    """Return what is forecast for a job, as its status shows it: first the backends that may run it, the best first.

    Args:
        decision: about the job.
        namespace: the job's.
        row: its forecasts, as ``estimates.row`` makes them; None where nothing is forecast.
        backends: the columns of ``row``.
        waits: for each backend the time until a job sent now starts there: low, mid and high, seconds.
    """
    rank = {candidate.backend: place for place, candidate in enumerate(decision.candidates)}
    fitting, rejected = [], []
    for column, (backend, wait) in enumerate(zip(backends, waits, strict=True)):
        label = backend.label_for(namespace)
        reason = decision.rejected.get(label)
        known = [None] * 3 if row is None else [_interval(row[first : first + 3, column]) for first in (0, 3, 6)]
        fidelity, run, cost = known
        candidate = Candidate(
            backend=label,
            fidelity=fidelity,
            wait_seconds=ForecastInterval(low=wait[0], mid=wait[1], high=wait[2]) if reason is None else None,
            run_seconds=run,
            cost=cost,
            currency=None if cost is None else backend.currency,
            rejected=reason,
        )
        if reason is not None:
            rejected.append(candidate)
        elif backend.admits(namespace):
            fitting.append((rank.get(backend.key, len(rank)), wait[1], label, candidate))
    return [candidate for *_, candidate in sorted(fitting, key=lambda each: each[:3])] + rejected


def _interval(values: Floats) -> ForecastInterval | None:
    """Return a value with its bounds, which come as (value, low, high); None where it is not known."""
    mid, low, high = (float(f"{value:.4g}") for value in values)
    return None if math.isnan(mid) else ForecastInterval(low=low, mid=mid, high=high)
