"""Scaling: what a backend has to do in, replicas with a reason out. Pure: no I/O, the clock is given."""

from qonverge.scaling.autoscaler import Autoscaler
from qonverge.scaling.model import Decision, Demand, Policy
from qonverge.scaling.removal import Pod, Removal, choose

__all__ = ["Autoscaler", "Decision", "Demand", "Pod", "Policy", "Removal", "choose"]
