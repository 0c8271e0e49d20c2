"""Rounds of placement: all jobs that wait are planned together, again whenever something changes."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterator, Sequence

from qonverge.accounting.ledger import Ledger
from qonverge.api import HybridJob
from qonverge.api.cloud_tasks import Submission
from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.placement.forecasts import Forecasts
from qonverge.controller.placement.shadow import Shadow
from qonverge.controller.placement.sight import Sight, Waiting
from qonverge.controller.placement.snapshot import given_to_pods
from qonverge.controller.placement.traces import Traces
from qonverge.controller.placement.ways import Ways
from qonverge.controller.placement.window import WaitingJob, chosen
from qonverge.controller.store.cluster import Cluster
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.program_slots import backends_of_program, uses_backend
from qonverge.controller.store.resources import Change
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.controller.watching.declarations import Handler
from qonverge.execution import cloud_tasks, placement
from qonverge.execution.transitions import deadlines, seconds
from qonverge.forecast.intervals import Interval
from qonverge.forecast.requests import BackendOffer
from qonverge.scheduling import Backend, Decision, Plan, Policy, Preemption, Snapshot, plan
from qonverge.scheduling.schedulers import OWN, SchedulerError, decide
from qonverge.telemetry import OperatorMetrics

logger = logging.getLogger(__name__)

# While jobs wait they are planned again this often, since waits, deadlines and what pods tell change with time.
_AGAIN_SECONDS = 5.0
# Rounds of more jobs times backends are planned in a thread, so that the loop goes on meanwhile.
_INLINE_PAIRS = 2_000
# Rounds take at most about this part of the time.
_SHARE = 0.25
_LONGEST_REST = 2.0
# Jobs that a round looks at, or two for each worker where these are more. So a round of one backend takes some 0.15 s
# (measured: 0.1 s for 200 jobs, 0.28 s for 400), which a job that comes meanwhile waits for, with the rest after it.
_LEAST_WINDOW = 256
# Suspended ones are planned one by one.
_MOST_SUSPENDED = 50


class Rounds:
    """Decides where jobs go; what it decides is in their flights, and they are looked at again."""

    def __init__(
        self,
        *,
        state: State,
        queue: WorkQueue,
        cluster: Cluster,
        ledger: Ledger,
        forecasts: Forecasts,
        traces: Traces,
        policy: Policy,
        withdraw: Callable[[str, Flight], None],
        holders: Callable[[], dict[str, set[str]]],
        metrics: OperatorMetrics,
        clock: Callable[[], float],
        activate: Callable[[], None],
        shadow: Shadow | None = None,
    ) -> None:
        """Plan what ``state`` has.

        Args:
            state: what the operator knows.
            queue: gets the jobs about which there is news.
            cluster: priorities of jobs and labels of namespaces.
            ledger: what is left of quotas.
            forecasts: of every job on every backend.
            traces: keep the rounds.
            policy: what the administrator decides.
            withdraw: takes a job's tasks back from their pods.
            holders: tells the pods that have each circuit, by its digest.
            metrics: count the figures that rounds use.
            clock: Unix seconds.
            activate: is called where a job waits for a backend of which no pod serves.
            shadow: decides rounds again without effect.
        """
        self.shadow = shadow
        self._state = state
        self._queue = queue
        self._cluster = cluster
        self.sight = Sight(
            state=state, cluster=cluster, ledger=ledger, forecasts=forecasts, holders=holders, clock=clock
        )
        """What is seen in rounds, and by others."""
        self._ledger = ledger
        self._forecasts = forecasts
        self._traces = traces
        self._policy = policy
        self._withdraw = withdraw
        self._metrics = metrics
        self._clock = clock
        self._activate = activate
        self._wake = asyncio.Event()
        # What made room sits the next round out, so that it does not come before those for whom it did.
        self._yielding: set[str] = set()

    def handlers(self) -> tuple[Handler, ...]:
        """Return what this watches: a program gives its slot back, or a quota, a backend or what serves changes."""
        quotas_and_backends = [Handler(kind, lambda _: self.ask()) for kind in ("QuantumQuota", "QuantumBackend")]
        jobs = Handler("HybridJob", self._observe_job, own_writes=True)
        pods = [Handler(kind, self._observe_pods) for kind in ("Deployment", "ReplicaSet", "Pod")]
        return (jobs, *quotas_and_backends, *pods)

    def _observe_job(self, change: Change) -> None:
        before, after = change.before, change.after
        held, holds = (isinstance(each, HybridJob) and uses_backend(each) for each in (before, after))
        if held and not holds:
            self.ask()

    def _observe_pods(self, change: Change) -> None:
        if change.serving:
            self.ask()

    def ask(self) -> None:
        """Have a round soon."""
        self._wake.set()

    async def run(self) -> None:
        """Plan for ever, and rest in between."""
        loop = asyncio.get_running_loop()
        while True:
            anyone = any(flight.awaiting_placement for flight in self._state.flights.values())
            try:
                async with asyncio.timeout(_AGAIN_SECONDS if anyone else None):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            started = loop.time()
            try:
                await self.once()
            except Exception:
                # A round that trips a defect must not end the operator: the next may see other jobs.
                logger.exception("a round of placement failed")
                await asyncio.sleep(1.0)
            await asyncio.sleep(min(_LONGEST_REST, (loop.time() - started) * (1 / _SHARE - 1)))

    async def once(self) -> None:
        """Plan all jobs that wait, and tell them."""
        now = self._clock()
        if not any(flight.awaiting_placement for flight in self._state.flights.values()):
            return
        tasks = given_to_pods(self._state, now)
        backends = self.sight.backends(now, tasks)
        offers = self._forecasts.offers(backends)
        warm = self.sight.warm() if len(backends) > 1 else {}
        keys = self._window(backends, now)
        ways = Ways(self._state, self._cluster, backends, now)
        waiting = [self.sight.waiting(key, offers, warm, ways) for key in keys]
        for each in waiting:
            # Its own share of a quota must not stand in the way of a job that was placed before.
            self._ledger.release(each.flight.uid, each.seen.namespace, each.flight.usage)
        self._take_up(waiting, backends, offers)
        if self._yielding:
            waiting = [each for each in waiting if each.key not in self._yielding]
            self._yielding.clear()
            self.ask()
        real = [each for each in waiting if not each.suspended and not self._is_held_back(each)]
        if real:
            snapshot = self.sight.snapshot(real, backends, now)
            inline = len(real) * len(backends) <= _INLINE_PAIRS and self._policy.scheduler == OWN
            made = self._decide(snapshot) if inline else await asyncio.to_thread(self._decide, snapshot)
            self._traces.keep(snapshot, made)
            self._metrics.planned(self._clock() - now, _used_figures(backends))
            self._carry_out(real, made, backends, offers)
            if self.shadow is not None:
                self.shadow.offer(snapshot, self._policy, made)
        suspended = [each for each in waiting if each.suspended]
        waits = [self.sight.wait(backend, tasks, now) for backend in backends] if suspended else []
        for each in filter(self._is_waiting, suspended):
            alone = self.sight.snapshot([each], backends, now)
            memories = self._forecasts.memories(each.job, each.flight, offers)
            self._tell(each, self._decide(alone).decisions[0], backends, waits, memories)

    def _decide(self, snapshot: Snapshot) -> Plan:
        try:
            return decide(snapshot, self._policy)
        except SchedulerError as error:
            logger.error("%s; this round is decided by %s", error, OWN)
            return plan(snapshot, self._policy)

    def _window(self, backends: Sequence[Backend], now: float) -> list[str]:
        """Return the jobs that this round looks at, and let the others say that they wait behind them."""
        planned, suspended = list[WaitingJob](), list[WaitingJob]()
        for key, flight in self._state.flights.items():
            job = self._state.jobs.get(key)
            if job is None or not _waits(flight, job) or flight.is_refused(now):
                continue
            candidate = self._candidate(key, flight, job, now)
            (suspended if job.spec.suspend else planned).append(candidate)
        most = max(_LEAST_WINDOW, 2 * sum(backend.workers for backend in backends))
        taken = chosen(planned, most) | chosen(suspended, _MOST_SUSPENDED)
        for candidate in planned:
            flight = self._state.flights[candidate.key]
            if flight.fall_behind(candidate.key not in taken and flight.proposal is None):
                self._queue.add(f"HybridJob {candidate.key}")
        return [candidate.key for candidate in (*planned, *suspended) if candidate.key in taken]

    def _candidate(self, key: str, flight: Flight, job: HybridJob, now: float) -> WaitingJob:
        priority = self._cluster.priority_of(job)
        since = job.status.resumed_at or job.metadata.creation_timestamp
        created = seconds(since) if since else now
        return WaitingJob(
            key,
            job.metadata.namespace,
            created,
            0 if priority is None else priority.value,
            held=self._state.pods.holder(flight.next_identity) is not None or bool(self.sight.recorded(flight, job)),
            aged=now - created > self._policy.aging_seconds,
            deadline=min(deadlines(job, created), default=(math.inf, ""))[0],
            tried_at=flight.tried_at,
        )

    def _take_up(self, waiting: list[Waiting], backends: tuple[Backend, ...], offers: tuple[BackendOffer, ...]) -> None:
        """Keep jobs where an operator before this one sent them and their task still is."""
        by_label = {backend_selector(self._state.backends[b.key]): b for b in backends if b.key in self._state.backends}
        for each in list(waiting):
            record = self.sight.recorded(each.flight, each.job)
            if record and not each.suspended:
                waiting.remove(each)
                self._go_on(each, record, backends, offers)
                continue
            pod = self._state.pods.holder(each.flight.next_identity)
            backend = None if pod is None or not pod.admitted else by_label.get(pod.endpoint.backend)
            if backend is None or pod is None or each.suspended or each.flight.checked is None:
                continue
            if not (backend.serving or pod.terminating):
                # Of one that ends the backend may have no other.
                continue
            waiting.remove(each)
            label = backend.label_for(each.seen.namespace)
            told = each.job.status.placement if each.job.status.backend == label else None
            decision = Decision(each.key, backend, told or f"its task is on {label} since an operator before this one")
            self._reserve(each, decision, offers)
            self._tell(each, decision, backends, [Interval(0.0, 0.0, 0.0)] * len(backends))

    def _go_on(
        self,
        each: Waiting,
        record: list[Submission],
        backends: tuple[Backend, ...],
        offers: tuple[BackendOffer, ...],
    ) -> None:
        """Keep a job where it was to be sent: no other place is looked for, and where no pod serves it waits."""
        there = {backend.key: backend for backend in backends}
        keys = dict.fromkeys(submission.backend for submission in record)
        away = [key for key in keys if key not in there or not self._state.pods_of(key)]
        if away:
            why = f"its tasks are on {' and '.join(away)}, and no pod there answers: it goes on with them when one does"
            self._tell(each, Decision(each.key, None, why), (), ())
            return
        decision = cloud_tasks.resumed(each.job, record, there)
        self._reserve(each, decision, offers)
        self._tell(each, decision, backends, [Interval(0.0, 0.0, 0.0)] * len(backends))

    def _is_held_back(self, each: Waiting) -> bool:
        """Tell a job that can't be planned yet why, and return whether it can't."""
        reason = self._cluster.missing(each.job)
        if reason is not None:
            self._cluster.wanted.set()
        else:
            reason = self._quotas_unread(each.seen.namespace)
        if reason is not None:
            self._tell(each, Decision(each.key, None, reason), (), ())
        return reason is not None

    def _quotas_unread(self, namespace: str) -> str | None:
        """Return that a quota of the namespace can't be read, and so not be kept."""
        for name, unread in sorted(self._state.unread.items()):
            if name.startswith(f"QuantumQuota {namespace}/"):
                return f"the QuantumQuota {unread.metadata['name']} can't be read: {unread.problem}"
        return None

    def _reserve(self, each: Waiting, decision: Decision, offers: tuple[BackendOffer, ...]) -> None:
        most = self._forecasts.most(each.job, each.flight, decision, each.row, offers)
        self._ledger.reserve(each.flight.uid, each.seen.namespace, each.flight.usage + most)

    def _is_waiting(self, each: Waiting) -> bool:
        """Return whether the job waits still: while a round was planned in its thread, jobs may have changed."""
        return self._state.flights.get(each.key) is each.flight and each.flight.awaiting_placement

    def _carry_out(
        self, waiting: list[Waiting], made: Plan, backends: tuple[Backend, ...], offers: tuple[BackendOffer, ...]
    ) -> None:
        # A pod runs what it is given in the order in which it comes.
        pairs = zip(waiting, made.decisions, strict=True)
        for each, decision in sorted(pairs, key=lambda pair: pair[1].expected_start or 0.0):
            if not self._is_waiting(each):
                continue
            if decision.backend is not None:
                self._reserve(each, decision, offers)
            waits = {candidate.backend: candidate.wait_seconds for candidate in decision.candidates}
            behind = [
                Interval(wait, wait, wait)
                for b in backends
                for wait in [waits.get(b.key, _soonest(b, each.seen.ranks_of(0)))]
            ]
            self._tell(each, decision, backends, behind)
            if decision.planned is not None and not self._state.pods_of(decision.planned.key):
                self._activate()
        for preemption in made.preemptions:
            self._displace(preemption)

    def _displace(self, preemption: Preemption) -> None:
        """Take a job away from its backend. It may have gone elsewhere while the round was planned."""
        flight, job = self._state.flights.get(preemption.job), self._state.jobs.get(preemption.job)
        if flight is None or job is None:
            return
        if flight.running is not None and any(sent.backend_key == preemption.backend for sent in flight.sent):
            logger.info("%s", preemption.reason)
            self._withdraw(preemption.job, flight)
            if preemption.beneficiary != preemption.job:
                self._yielding.add(preemption.job)
        elif any(held == preemption.backend for held, _ in backends_of_program(flight, job)):
            logger.info("%s", preemption.reason)
            flight.displace(preemption.reason)
            self._queue.add(f"HybridJob {preemption.job}", urgent=True)

    def _tell(
        self,
        each: Waiting,
        decision: Decision,
        backends: tuple[Backend, ...],
        waits: Sequence[Interval],
        memories: Sequence[Interval | None] | None = None,
    ) -> None:
        before, placeless = each.flight.proposal, decision.backend is None and decision.planned is None
        each.flight.propose(
            decision,
            tuple(
                placement.shown(
                    each.seen, decision, each.row, backends, waits, memories, {each.seen.origin: each.links}
                )
            ),
            tried_at=self._clock() if placeless or each.suspended else 0.0,
        )
        if each.suspended or before is None or (before.reason, before.backend) != (decision.reason, decision.backend):
            self._queue.add(f"HybridJob {each.key}", urgent=decision.backend is not None)


def _soonest(backend: Backend, ranks: int) -> float:
    """Return when a program of so many ranks could start on a backend but for what a round puts there.

    It is in seconds from now. A circuit has no ranks.
    """
    worker, free = min(backend.free_seconds, default=backend.queue_seconds or 0.0), sorted(backend.slot_seconds or ())
    return max(worker, free[min(ranks, len(free)) - 1]) if ranks and free else worker


def _used_figures(backends: Sequence[Backend]) -> Iterator[tuple[str, str]]:
    """Yield the figures of devices in a round, each with its source."""
    for backend in backends:
        yield from ((name, figure.source) for name, figure in backend.figures.items())
        yield from ((name, "Stale") for name in backend.stale_figures)


def _waits(flight: Flight, job: HybridJob) -> bool:
    """Whether a round has something to decide about the job."""
    proposal = flight.proposal
    decided = proposal is not None and (proposal.backend is not None or proposal.impossible)
    return flight.awaiting_placement and (not decided or job.spec.suspend)
