"""Placement: a snapshot in, decisions with reasons out. Pure: no I/O, the clock is given."""

from qonverge.amounts import Quota
from qonverge.scheduling.estimates import Estimates
from qonverge.scheduling.model import (
    Active,
    Backend,
    Decision,
    Job,
    Needs,
    Plan,
    Policy,
    Preemption,
    Share,
    Shares,
    Snapshot,
)
from qonverge.scheduling.rounds import plan

__all__ = [
    "Active",
    "Backend",
    "Decision",
    "Estimates",
    "Job",
    "Needs",
    "Plan",
    "Policy",
    "Preemption",
    "Quota",
    "Share",
    "Shares",
    "Snapshot",
    "plan",
]
