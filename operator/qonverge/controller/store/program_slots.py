"""Slots of backends for programs, and who holds them. Pure.

A reservation stands in no object of its own: the job's status is it, from ``Placed`` on. So it outlives an operator,
ends with the attempt and with it the attempt's right to use the backend's pods, and cannot be left over.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from qonverge.api import HybridJob, QuantumBackend
from qonverge.controller.objects import object_names
from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.phases import Launched
from qonverge.controller.store.state import State
from qonverge.execution.transitions import seconds
from qonverge.programs.kinds import kind_of
from qonverge.scheduling.slots import USUAL_PROGRAM_SECONDS

# Of a program that runs longer than forecast some part is still to come.
_LATE_SHARE = 0.25


def uses_backend(job: HybridJob) -> bool:
    """Return whether an attempt at a program that calls backends itself has begun and is not over."""
    return kind_of(job).calls_backends and job.status.state in ("Placed", "Running")


def backends_of_program(flight: Flight | None, job: HybridJob) -> list[tuple[str, int]]:
    """Return the backends of which a program that has begun holds slots, by key, each with how many: one per rank."""
    if not uses_backend(job):
        # The attempt that was launched last is over, and the next may be an hour away.
        return []
    if flight is not None and isinstance(flight.phase, Launched):
        keys = [backend.key for backend in flight.phase.decision.backends]
    elif job.status.backend is not None:
        # An operator before this one started it.
        keys = list(object_names.audiences_of(job))
    else:
        return []
    return list(zip(keys, job.spec.program.ranks_of_groups, strict=False))


def slots_of(state: State, backend: QuantumBackend) -> int:
    """Return how many programs may use a backend at the same time: so many for each pod that takes new work."""
    capacity = backend.spec.capacity
    pods = state.pods.accepting(backend_selector(backend))
    return sum(capacity.programs or (1 if pod.info is None else max(1, pod.info.workers)) for pod in pods)


def reserved(
    state: State, now: float, length: Callable[[HybridJob], float | None] = lambda _: None
) -> Mapping[str, Sequence[float]]:
    """Return for each backend the ranks of programs that hold its slots, as the seconds for which each is forecast to.

    Args:
        state: what is known.
        now: Unix seconds.
        length: returns how long a job's program is forecast to run, seconds; None where that is not known.
    """
    found = defaultdict[str, list[float]](list)
    for key, job in state.jobs.items():
        if not kind_of(job).calls_backends:
            continue
        flight = state.flights.get(key)
        if flight is not None and flight.awaiting_placement:
            # Its attempt is over, if there was one. Where a round gave it a slot, its pod is about to be made.
            given = () if flight.proposal is None or job.spec.suspend else flight.proposal.backends
            for backend, ranks in zip(given, job.spec.program.ranks_of_groups, strict=False):
                found[backend.key] += [_left(length(job), 0.0)] * ranks
        elif holds := backends_of_program(flight, job):
            for key_of_held, ranks in holds:
                found[key_of_held] += [left_of_program(job, length(job), now)] * ranks
    return found


def left_of_program(job: HybridJob, length: float | None, now: float) -> float:
    """Return for how long a program that has begun is forecast to hold its slots yet, seconds.

    ``length`` is for how long it is forecast to run, seconds; None: not known. ``now`` in Unix seconds.
    """
    begun = now if job.status.placed_at is None else min(now, seconds(job.status.placed_at))
    return _left(length, now - begun)


def waiting_for_slots(state: State) -> Counter[str]:
    """Return how many programs wait for slots of each backend, by its key, as the last round found."""
    proposals = (flight.proposal for flight in state.flights.values())
    waiting = (each for each in proposals if each is not None and each.planned and each.slot_place)
    return Counter(backend.key for each in waiting for backend in each.held_for)


def paused(state: State) -> Counter[str]:
    """Return how many programs hold a slot of each backend, by its key, and have no pod: their tasks go on."""
    return Counter(
        object_names.audience_of(job) for job in state.jobs.values() if uses_backend(job) and job.status.paused
    )


def free_seconds(slots: int, held: Sequence[float]) -> tuple[float, ...]:
    """Return the seconds until each of so many slots is forecast to be free.

    Where fewer are left than programs hold, as after a pod has gone, those that end first free none.
    """
    times = sorted(held)[max(0, len(held) - slots) :]
    return (*[0.0] * (slots - len(times)), *times)


def _left(length: float | None, elapsed: float) -> float:
    return max((USUAL_PROGRAM_SECONDS if length is None else length) - elapsed, _LATE_SHARE * elapsed, 0.1)
