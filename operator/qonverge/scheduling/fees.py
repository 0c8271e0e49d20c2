"""What jobs cost in several submissions: each has tasks of its own at the device, and each task has its price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qonverge.circuits.analysis.measurement_plan import tasks_for
from qonverge.forecast.intervals import Floats
from qonverge.scheduling.model import Backend, Job, Needs


def in_limits(shots: int, most: int | None) -> list[int]:
    """Return the shots of each submission to a backend that takes ``most`` in one: as few and as equal as can be."""
    parts = 1 if most is None else max(1, -(-shots // most))
    return [shots // parts + (number < shots % parts) for number in range(parts)]


def fees(needs: Needs, backend: Backend, shots: int) -> float:
    """Return the price of the tasks that so many of a job's shots become; what shots and seconds cost is not in it."""
    if not backend.task_price or not needs.shots:
        return 0.0
    circuits = needs.charged_shots // needs.shots
    submissions = in_limits(shots, backend.max_shots)
    return backend.task_price * sum(tasks_for([(circuits, part)], backend.task_limits) for part in submissions)


def of_submissions(jobs: Sequence[Job], backends: Sequence[Backend], cost: Floats) -> Floats:
    """Return what jobs cost on backends that take fewer shots in one submission than some of the jobs have.

    Args:
        jobs: J of them.
        backends: B of them.
        cost: of each job in one submission, shape (J, B).
    """
    found = cost.copy()
    for row, job in enumerate(jobs):
        needs = job.needs
        if job.split is None or needs is None:
            continue
        for column, backend in enumerate(backends):
            if backend.max_shots is not None and needs.shots > backend.max_shots:
                whole = replace(backend, max_shots=None)
                found[row, column] += fees(needs, backend, needs.shots) - fees(needs, whole, needs.shots)
    return found
