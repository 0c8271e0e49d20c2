"""What a job says of the account under which its program uses backend pods."""

from __future__ import annotations

from qonverge.accounting.conversion import money_of, prices_of
from qonverge.accounting.grants import Program
from qonverge.api import HybridJob
from qonverge.api.pricing import Pricing
from qonverge.execution.transitions import seconds
from qonverge.programs.kinds import kind_of


def account_of(job: HybridJob) -> str:
    """Return the account under which the job's program uses pods; from one suspension to the next it is the same."""
    resumed = job.status.resumed_at
    return f"{job.metadata.uid}-{0 if resumed is None else int(seconds(resumed))}"


def open_attempt(job: HybridJob) -> int:
    """Return which attempt at the job's program may use pods: the one that runs, or the next."""
    attempts = job.status.attempts or 0
    return attempts if job.status.state in ("Placed", "Running") else attempts + 1


def program_of(job: HybridJob, pricing: Pricing | None, name: str, attempt: int) -> Program:
    """Return what grants are made out by.

    Args:
        job: whose program runs, or is about to.
        pricing: of its backend, the one in force; None where it costs nothing, as where the backend is gone.
        name: the backend's key.
        attempt: which attempt at the program may use pods.
    """
    # What costs nothing needs no budget.
    budget = None if pricing is None else money_of(job.spec.budget)
    uid, namespace = job.metadata.uid, job.metadata.namespace
    shots = kind_of(job).most_shots(job)
    return Program(account_of(job), uid, namespace, name, prices_of(pricing), budget, shots, attempt)
