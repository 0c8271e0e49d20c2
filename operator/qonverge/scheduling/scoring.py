"""The static part of the objective: fidelity, money, energy and soft terms, normalised; and what a second counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qonverge.forecast.intervals import Floats
from qonverge.scheduling.model import Backend, Policy, Snapshot
from qonverge.scheduling.terms import Table

_REFERENCE_GATES, _REFERENCE_MEASUREMENTS = 20, 5
"""Gates on two qubits and measurements of the circuit that stands for one that is not known."""
_LEAST_FIDELITY = 1e-9
_UNWEIGHTED = (1 / 3, 1 / 3, 1 / 3, 0.0)
"""Weights of a job for which nothing counts."""


def second_weights(snapshot: Snapshot, policy: Policy) -> Floats:
    """Return what a second of each job's completion time counts, in whole losses of fidelity."""
    return _weights(snapshot, policy).time / policy.patience_seconds


def static_costs(snapshot: Snapshot, table: Table, policy: Policy, network: Floats) -> Floats:
    """Return what each pair costs whatever the time, shape (jobs, backends); infinite where it does not fit.

    The loss of fidelity is relative to the best backend that fits; cost is relative to the budget, or else to the
    most expensive one that fits, and energy to the most that is needed on one that fits. What is not known never counts
    as better than what is. ``network`` has the seconds that jobs wait for the ways to backends.
    """
    fits, weights = table.fits, _weights(snapshot, policy)
    total = weights.fidelity[:, None] * _lost_fidelity(snapshot, table)
    total += weights.cost[:, None] * _relative_cost(snapshot, table)
    total += weights.energy[:, None] * _relative_energy(table)
    total += _soft_terms(snapshot, policy) + second_weights(snapshot, policy)[:, None] * network
    return np.where(fits, total, np.inf)


def reference_fidelity(backend: Backend) -> float:
    """Return what a circuit that is not known is taken to give: a product over its operations, with median errors.

    An error that is not known counts as 1, so that backends whose calibration is not known come last.
    """
    two_qubit, readout = (1.0 if e is None else e for e in (backend.two_qubit_error, backend.readout_error))
    return float((1 - two_qubit) ** _REFERENCE_GATES * (1 - readout) ** _REFERENCE_MEASUREMENTS)


def _lost_fidelity(snapshot: Snapshot, table: Table) -> Floats:
    """Return the loss of each pair relative to the best that is known for the job.

    Where the fidelity is not known all of it counts as lost beside backends where it is. Among themselves such backends
    are in the order of their calibrations.
    """
    fidelity = np.where(table.fits, table.fidelity, np.nan)
    best: Floats = np.fmax.reduce(fidelity, axis=1, initial=np.nan)[:, None]
    reference = np.array([reference_fidelity(backend) for backend in snapshot.backends])
    unknown = np.isnan(fidelity)
    top = np.where(table.fits & unknown, reference, 0.0).max(axis=1, initial=0.0)[:, None]
    behind = 1 - reference / np.where(top > 0, top, 1.0) + np.isfinite(best)
    return np.where(unknown, behind, 1 - fidelity / np.fmax(best, _LEAST_FIDELITY))


def _relative_cost(snapshot: Snapshot, table: Table) -> Floats:
    """Return the cost of each pair, relative to the budget or the highest one in the same currency.

    It is 1 where only that of others is known. Numbers of two currencies are not compared.
    """
    cost = np.where(table.fits, table.cost, np.nan)
    currencies = np.array([backend.currency for backend in snapshot.backends])
    highest = np.empty_like(cost)
    for currency in set(currencies.tolist()):
        same = currencies == currency
        highest[:, same] = np.fmax.reduce(cost[:, same], axis=1, initial=np.nan)[:, None]
    budget = np.array([float(job.budget.amount) if job.budget else 0.0 for job in snapshot.jobs])[:, None]
    scale = np.where(budget > 0, budget, highest)
    known = np.isfinite(np.fmax.reduce(cost, axis=1, initial=np.nan))[:, None]
    return np.where(np.isnan(cost), known, cost / np.where(scale > 0, scale, 1.0))


def _relative_energy(table: Table) -> Floats:
    """Return the energy of each pair, relative to the most that is known for the job: 1 where only others' is known."""
    energy = np.where(table.fits, table.energy, np.nan)
    most = np.fmax.reduce(energy, axis=1, initial=np.nan)[:, None]
    return np.where(np.isnan(energy), np.isfinite(most), energy / np.where(most > 0, most, 1.0))


@dataclass(frozen=True, slots=True)
class _Weights:
    """What jobs' terms weigh, of 1 in all, each of shape (jobs,)."""

    fidelity: Floats
    time: Floats
    cost: Floats
    energy: Floats


def _weights(snapshot: Snapshot, policy: Policy) -> _Weights:
    own = [job.terms.weights for job in snapshot.jobs]
    chosen = [policy.weights if policy.weights is not None and w.equal else w for w in own]
    # Where nothing is known of energy the other terms keep their weight beside soft ones.
    measured = any(backend.task_watts is not None for backend in snapshot.backends)
    raw = np.array([(w.fidelity, w.time, w.cost, w.energy if measured else 0.0) for w in chosen])
    raw = raw.reshape(-1, 4)
    total = raw.sum(axis=1, keepdims=True)
    return _Weights(*np.where(total > 0, raw / np.where(total > 0, total, 1.0), _UNWEIGHTED).T)


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
