"""What backends have to do, from what the operator knows. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from qonverge.api import HybridJob, QuantumBackend
from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.placement.snapshot import USUAL, given_to_pods, work_left
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.phases import AwaitingPlacement, Idle
from qonverge.controller.store.pods import BackendPod
from qonverge.controller.store.program_slots import backends_of_program
from qonverge.controller.store.state import State
from qonverge.programs.kinds import kind_of
from qonverge.scheduling.slots import USUAL_PROGRAM_SECONDS


@dataclass(slots=True)
class Work:
    """What one backend has to do. Times are forecast seconds."""

    waiting: list[float] = field(default_factory=list)
    """Of each task that waits for a worker, in the cluster or in a pod, how long it will run."""
    running: list[float] = field(default_factory=list)
    """Of each task that runs, how long it still will."""
    tasks: dict[str, float] = field(default_factory=dict)
    """How long the operator's own run in all, by their job and attempt."""
    programs: int = 0
    """Programs that may send tasks at any moment."""

    def add(self, attempt: str, seconds: float) -> None:
        """Count a task of the operator's own among those that came."""
        self.tasks[attempt] = self.tasks.get(attempt, 0.0) + seconds

    @property
    def seconds(self) -> float:
        """All of it."""
        return sum(self.waiting) + sum(self.running)


def work_of(state: State, now: float) -> dict[str, Work]:
    """Return what each backend with ``spec.scaling`` has to do, by its key; ``now`` in Unix seconds."""
    found = defaultdict[str, Work](Work)
    for key, flight in state.flights.items():
        job = state.jobs.get(key)
        if job is None:
            continue
        _add_held(found, flight, job)
        for used, ranks in backends_of_program(flight, job):
            found[used].programs += ranks
        for sent in flight.sent:
            found[sent.backend_key].add(f"{flight.uid}-{flight.attempts}", (sent.run_seconds or USUAL).mid)
    given = given_to_pods(state, now)
    scaling = {key: backend for key, backend in state.backends.items() if backend.spec.scaling is not None}
    for key, backend in scaling.items():
        work, usual = found[key], workers_of(state, backend)
        for pod in state.pods.of(backend_selector(backend)):
            if pod.terminating:
                # It needs no worker of those that stay.
                continue
            workers = pod.info.workers if pod.info is not None else usual
            running, waiting = work_left(workers, given.get(pod.uid, ()), now)
            of_programs = _of_programs(pod)
            beside = min(of_programs, max(0, workers - len(running)))
            work.running += [*running, *[USUAL.mid] * beside]
            work.waiting += [*waiting, *[USUAL.mid] * (of_programs - beside)]
    return {key: found[key] for key in scaling}


class KnownWork:
    """Says whether ``work_of`` has what a replica before this one had placed or planned.

    A replica that begins to lead reads and plans all jobs again. Until then their work is not known, which is not none.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._whole = False

    def whole(self, state: State, *, acting: bool) -> bool:
        """Return whether nothing is left to be looked at, since this replica acts."""
        # Later on a job that waits for its next round is only one of those that come and go.
        self._whole = acting and (self._whole or all(_looked_at(state, key) for key in state.jobs))
        return self._whole


def _looked_at(state: State, key: str) -> bool:
    job, flight = state.jobs[key], state.flights.get(key)
    begun = job.status.state in ("Placed", "Running")
    if job.spec.suspend or not (begun or job.status.reason in ("Queued", "WaitingForSlot")):
        return True
    if flight is None:
        return False
    if begun and kind_of(job).calls_backends:
        # What it may send is counted by its status.
        return True
    if isinstance(flight.phase, AwaitingPlacement):
        # What has a place is counted once it is sent there.
        return flight.behind or (flight.proposal is not None and flight.proposal.backend is None)
    return not isinstance(flight.phase, Idle)


def workers_of(state: State, backend: QuantumBackend) -> int:
    """Return how many tasks a pod of a backend runs at once, as its pods tell; before one does, as far as it is set."""
    told = [pod.info.workers for pod in state.pods.of(backend_selector(backend)) if pod.info is not None]
    return max(1, min(told, default=backend.spec.capacity.concurrency or 1))


def _add_held(found: dict[str, Work], flight: Flight, job: HybridJob) -> None:
    """Add the tasks of a job that a round holds back for backends, until there is a worker."""
    decision = flight.proposal
    # Of a suspended job only a forecast was made; what is sent now is among what pods were given.
    if decision is None or decision.planned is None or job.spec.suspend:
        return
    forecast = {each.backend: each.run_seconds for each in decision.candidates}
    ranks = job.spec.program.ranks_of_groups
    for number, backend in enumerate([part.backend for part in decision.parts] or [decision.planned]):
        seconds = forecast.get(backend.key)
        # Of a program it is known what its pod takes, and not what it sends.
        run = USUAL.mid if seconds is None or kind_of(job).calls_backends else seconds
        if decision.slot_place:
            # It waits for no worker, but for as many programs to end as keep the present ones.
            run = USUAL_PROGRAM_SECONDS
        found[backend.key].waiting += [run] * ranks[min(number, len(ranks) - 1)]
        found[backend.key].add(f"{flight.uid}-{flight.attempts + 1}", run)


def _of_programs(pod: BackendPod) -> int:
    """Return the tasks that a pod has from others than this operator, as it last told."""
    return 0 if pod.info is None else max(0, pod.info.queued + pod.info.running - pod.assigned)
