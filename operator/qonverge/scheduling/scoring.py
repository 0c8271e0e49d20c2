"""The static part of the objective: fidelity, money and soft terms, normalised; and what a second counts."""

from __future__ import annotations

import warnings

import numpy as np

from qonverge.scheduling.estimates import Floats
from qonverge.scheduling.model import Policy, Snapshot
from qonverge.scheduling.terms import Table


def second_weights(snapshot: Snapshot, policy: Policy) -> Floats:
    """Return what a second of each job's completion time counts, in whole losses of fidelity."""
    return _weights(snapshot)[:, 1] / policy.patience_seconds


def static_costs(snapshot: Snapshot, table: Table, policy: Policy) -> Floats:
    """Return what each pair costs whatever the time, shape (jobs, backends); infinite where it does not fit.

    The loss of fidelity is relative to the best backend that fits; cost is relative to the budget, or else to the
    dearest one that fits. What is not forecast counts as the worst that is.
    """
    fits, weights = table.fits, _weights(snapshot)
    fidelity = np.where(fits, table.fidelity, np.nan)
    cost = np.where(fits, table.cost, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # rows where nothing is known
        best, worst = np.nanmax(fidelity, axis=1, initial=-np.inf), np.nanmin(fidelity, axis=1, initial=np.inf)
        dearest = np.nanmax(cost, axis=1, initial=0.0)
    known = np.isfinite(worst)
    best, worst = np.where(known, best, 1.0), np.where(known, worst, 1.0)
    loss = 1.0 - np.where(np.isnan(fidelity), worst[:, None], fidelity) / np.maximum(best, 1e-9)[:, None]
    budget = np.array([float(job.budget.amount) if job.budget else 0.0 for job in snapshot.jobs])
    scale = np.where(budget > 0, budget, dearest)
    price = np.where(np.isnan(cost), dearest[:, None], cost) / np.where(scale > 0, scale, 1.0)[:, None]
    total = weights[:, :1] * loss + weights[:, 2:] * price + _soft_terms(snapshot, policy)
    latency = np.array([b.latency_seconds or 0.0 for b in snapshot.backends])
    total += second_weights(snapshot, policy)[:, None] * latency
    return np.where(fits, total, np.inf)


def _weights(snapshot: Snapshot) -> Floats:
    raw = np.array([(w.fidelity, w.time, w.cost) for w in (job.terms.weights for job in snapshot.jobs)])
    raw = raw.reshape(-1, 3)
    total = raw.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, raw / np.where(total > 0, total, 1.0), 1 / 3))


def _soft_terms(snapshot: Snapshot, policy: Policy) -> Floats:
    jobs, backends = snapshot.jobs, snapshot.backends
    soft = np.zeros((len(jobs), len(backends)))
    tiers = np.array([b.tier or "" for b in backends])
    sites = np.array([b.site or "" for b in backends])
    columns = {backend.key: column for column, backend in enumerate(backends)}
    for row, job in enumerate(jobs):
        if job.terms.preferred_tiers:
            soft[row] += policy.preferred_tier * ~np.isin(tiers, list(job.terms.preferred_tiers))
        if job.data_site is not None:
            soft[row] += policy.data_locality * (sites != job.data_site)
        if job.warm:
            soft[row] += policy.warm_circuit
            for key in job.warm & columns.keys():
                soft[row, columns[key]] -= policy.warm_circuit
    return soft
