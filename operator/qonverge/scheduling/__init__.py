"""Placement: a snapshot in, decisions with reasons out. Pure: no I/O, the clock is given."""

from qonverge.scheduling.model import Backend, Decision, Job, Needs, Snapshot
from qonverge.scheduling.place import format_bytes, place

__all__ = ["Backend", "Decision", "Job", "Needs", "Snapshot", "format_bytes", "place"]
