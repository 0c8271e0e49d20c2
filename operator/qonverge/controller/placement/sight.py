"""What a round of placement sees: backends, jobs that wait with their forecasts, and what is left of quotas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qonverge.accounting.ledger import Ledger
from qonverge.api import HybridJob
from qonverge.api.cloud_tasks import Submission
from qonverge.api.placement import Preemption
from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.placement.forecasts import Forecasts
from qonverge.controller.placement.sizes import with_sizes
from qonverge.controller.placement.snapshot import USUAL, PodTask, given_to_pods, seen
from qonverge.controller.placement.ways import Ways
from qonverge.controller.store.cluster import Cluster, Priority
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.program_slots import backends_of_program, left_of_program, reserved
from qonverge.controller.store.state import State
from qonverge.execution import cloud_tasks, placement
from qonverge.execution.transitions import seconds
from qonverge.forecast.intervals import Interval, JobForecasts
from qonverge.forecast.requests import BackendOffer
from qonverge.programs.kinds import kind_of
from qonverge.scheduling import Active, Backend, Estimates, Job, Shares, Snapshot
from qonverge.sites.link import Link


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that a round decides about."""

    key: str
    flight: Flight
    job: HybridJob
    seen: Job
    row: JobForecasts
    links: Mapping[str, Link]
    """From where its program runs to backends, by their keys."""

    @property
    def suspended(self) -> bool:
        """Whether only a forecast is wanted."""
        return self.job.spec.suspend


class Sight:
    """Sees what the operator knows as a round needs it; nothing changes by that."""

    def __init__(
        self,
        *,
        state: State,
        cluster: Cluster,
        ledger: Ledger,
        forecasts: Forecasts,
        holders: Callable[[], dict[str, set[str]]],
        clock: Callable[[], float],
    ) -> None:
        """See what these know; see ``Rounds``."""
        self._state = state
        self._cluster = cluster
        self._ledger = ledger
        self._forecasts = forecasts
        self._holders = holders
        self._clock = clock

    def backends(self, now: float, tasks: Mapping[str, Sequence[PodTask]] | None = None) -> tuple[Backend, ...]:
        """Return the backends as a round sees them; ``now`` in Unix seconds, ``tasks`` from ``given_to_pods``."""
        state, forecasts = self._state, self._forecasts
        tasks = given_to_pods(state, now) if tasks is None else tasks
        held = reserved(state, now, self._program_seconds)
        found = [
            seen(
                state,
                self._cluster,
                backend,
                tasks,
                now,
                forecasts.stale(backend, now),
                forecasts.device_wait(backend, now),
                held.get(key, ()),
            )
            for key, backend in sorted(state.backends.items())
        ]
        return with_sizes(found, state.backends)

    def _program_seconds(self, job: HybridJob) -> float | None:
        if (most := kind_of(job).most_seconds(job)) is not None:
            return most
        loop = self._forecasts.loop(job)
        return None if loop is None else loop.seconds

    def _priority(self, job: HybridJob) -> Priority:
        return self._cluster.priority_of(job) or Priority()

    def warm(self) -> dict[str, set[str]]:
        """Return the backends that have each circuit, by its digest."""
        places = {pod.uid: pod.endpoint.backend for pod in self._state.pods.serving()}
        keys = {backend_selector(backend): key for key, backend in self._state.backends.items()}
        return {
            digest: {key for pod in pods if (key := keys.get(places.get(pod, ""))) is not None}
            for digest, pods in self._holders().items()
        }

    def waiting(self, key: str, offers: tuple[BackendOffer, ...], warm: Mapping[str, set[str]], ways: Ways) -> Waiting:
        """Return the job as a round sees it."""
        flight, job = self._state.flights[key], self._state.jobs[key]
        planned = None if flight.proposal is None else flight.proposal.planned
        origin, links = ways.of(job)
        priority = self._priority(job)
        # A job does not age while it is suspended.
        since = job.status.resumed_at or job.metadata.creation_timestamp
        seen_job = placement.waiting(
            job,
            seconds(since) if since else self._clock(),
            kind_of(job).needs(job, flight.checked),
            flight.usage,
            priority=priority.value,
            may_preempt=priority.may_preempt,
            warm=frozenset() if flight.checked is None else frozenset(warm.get(flight.checked.digest, ())),
            misfits=self._forecasts.misfits(job, flight, offers),
            loop=self._forecasts.loop(job),
            origin=origin,
            planned=None if planned is None else planned.key,
        )
        return Waiting(key, flight, job, seen_job, self._forecasts.row(job, flight, offers), links)

    def snapshot(self, waiting: list[Waiting], backends: tuple[Backend, ...], now: float) -> Snapshot:
        """Return what the scheduler decides about."""
        namespaces = {each.seen.namespace for each in waiting}
        quotas = {name: left for name in namespaces if (left := self._ledger.remaining(name, now)) is not None}
        return Snapshot(
            jobs=tuple(each.seen for each in waiting),
            backends=backends,
            now=now,
            estimates=Estimates.stack([each.row for each in waiting], len(backends)),
            shares=self._shares(namespaces),
            quotas=quotas,
            active=tuple(self.active(now)),
            links={each.seen.origin: each.links for each in waiting if each.links},
        )

    def _shares(self, namespaces: set[str]) -> Shares:
        """Return what namespaces used, with what is under way for them."""
        shares = self._forecasts.shares(self._ledger.weight, sorted(namespaces))
        for key, flight in self._state.flights.items():
            if flight.sent:
                namespace = key.split("/", 1)[0]
                shares = shares.charged(namespace, sum((sent.run_seconds or USUAL).mid for sent in flight.sent))
        return shares

    def active(self, now: float) -> list[Active]:
        """Return what lower priorities may have to give up: tasks that pods have, and slots that programs hold."""
        return [*self._tasks(now), *self._programs(now)]

    def _programs(self, now: float) -> list[Active]:
        """Return the programs that may have to give up slots of the one backend that they call.

        Where one has slots of several, they begin and end together.
        """
        found = []
        for key, flight in self._state.flights.items():
            job = self._state.jobs.get(key)
            if job is None or _preemption(job) != "Running" or len(held := backends_of_program(flight, job)) != 1:
                continue
            ((backend, ranks),) = held
            found.append(
                Active(
                    job=key,
                    namespace=job.metadata.namespace,
                    backend=backend,
                    priority=self._priority(job).value,
                    preemptible=not cloud_tasks.under_way(job),
                    checkpointable=True,
                    remaining_seconds=left_of_program(job, self._program_seconds(job), now),
                    ranks=ranks,
                    yields=flight.displaced is not None,
                )
            )
        return found

    def _tasks(self, now: float) -> list[Active]:
        """Return the tasks that pods have: of each pod's the oldest are those that run."""
        state, order = self._state, dict[str, int]()
        tasks = sorted(
            ((sent, key, flight) for key, flight in state.flights.items() for sent in flight.sent),
            key=lambda each: (each[0].at, each[0].identity),
        )
        running, places, found = set[str](), [], []
        for sent, key, flight in tasks:
            place = order[sent.endpoint.pod] = order.get(sent.endpoint.pod, 0) + 1
            pod, job = state.pods.find(sent.endpoint.pod), state.jobs.get(key)
            if job is None:
                continue
            # Several tasks of a job are displaced together or not at all: one that runs keeps the others.
            if place <= (1 if pod is None or pod.info is None else pod.info.workers):
                running.add(key)
            places.append((sent, key, flight))
        for sent, key, flight in places:
            job, started = state.jobs[key], key in running
            run = (sent.run_seconds or USUAL).mid
            policy = _preemption(job)
            found.append(
                Active(
                    job=key,
                    namespace=job.metadata.namespace,
                    backend=sent.backend_key,
                    priority=self._priority(job).value,
                    started=started,
                    # What costs money is not begun twice for another job's sake.
                    preemptible=policy != "Never" and len(flight.sent) == 1 and not cloud_tasks.under_way(job),
                    checkpointable=policy == "Running",
                    remaining_seconds=max(0.0, sent.at + run - now) if started else run,
                )
            )
        return found

    def recorded(self, flight: Flight, job: HybridJob) -> list[Submission]:
        """Return what is recorded of the attempt that comes next: it was begun, or was about to be."""
        if kind_of(job).calls_backends:
            # Without its backend nothing of it can be there.
            return [each for each in cloud_tasks.intended(job) if self._state.has_backend(each.backend)]
        return [each for each in cloud_tasks.under_way(job) if each.attempt == flight.attempts + 1]

    def waits(self, now: float) -> list[tuple[Backend, Interval | None]]:
        """Return the backends as a round sees them, and how long a task sent there now waits, seconds.

        None of a backend that does not serve. ``now`` in Unix seconds.
        """
        tasks = given_to_pods(self._state, now)
        return [(each, self.wait(each, tasks, now) if each.serving else None) for each in self.backends(now, tasks)]

    def wait(self, seen: Backend, tasks: Mapping[str, Sequence[PodTask]], now: float) -> Interval:
        """Return how long a task waits that is sent to the backend now, seconds."""
        pods = self._state.pods_of(seen.key)
        if seen.serving and not pods:
            start = min(seen.free_seconds)
            return Interval(start, start, start)
        given = sorted((task for pod in pods for task in tasks.get(pod.uid, ())), key=lambda task: task.sent)
        return self._forecasts.wait(seen.key, seen.workers, given, now).corrected


def _preemption(job: HybridJob) -> Preemption:
    """Return what a job of higher priority may take from this one."""
    return "Waiting" if job.spec.placement is None else job.spec.placement.preemption
