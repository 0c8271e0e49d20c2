"""Which programs may use which backends, and what they use.

Pods are told the accounts of the programs that run on their backend, with what each is granted within its quotas and
budget; an account that they are not told any more is closed there. Pods tell what was used.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from qonverge.accounting.conversion import amounts_of
from qonverge.accounting.grants import GrantLedger, Pool, Program
from qonverge.accounting.ledger import Ledger
from qonverge.amounts import Amounts, Limits
from qonverge.api import HybridJob, QuantumBackend
from qonverge.controller.objects import object_names
from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.quotas.accounts import account_of, open_attempt, program_of
from qonverge.controller.quotas.exchanges import Exchanges
from qonverge.controller.store.access import withdrawn
from qonverge.controller.store.cluster import Cluster
from qonverge.controller.store.devices import pricing_of, task_watts
from qonverge.controller.store.pods import Endpoint
from qonverge.controller.store.resources import Change
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.controller.watching.declarations import Handler
from qonverge.execution.transitions import timestamp
from qonverge.programs.kinds import kind_of
from qonverge.wire.errors import WireError
from qonverge.wire.grants import Grant, Meters

logger = logging.getLogger(__name__)

_PUSH_SECONDS = 1.0


@dataclass(slots=True)
class _Running:
    """A program that may use pods."""

    job: HybridJob
    backends: tuple[str, ...]
    """Keys of the backends that it was placed on last: several where its ranks call several."""
    attempt: int
    """Which attempt at it may."""
    first: bool
    """Whether nothing was used of its job before the operator knew of it."""


@dataclass(frozen=True, slots=True)
class _Closing:
    """A program that has ended, of whose last use pods may still tell."""

    job: HybridJob
    counted: Amounts
    """What was counted of it when it ended."""


class Metering:
    """The meters of all pods."""

    def __init__(
        self,
        *,
        state: State,
        cluster: Cluster,
        data: DataPlane,
        ledger: Ledger,
        queue: WorkQueue,
        charge: Callable[[str, float], None],
        changed: Callable[[str], None],
        spent: Callable[[str, str, Amounts], None],
        clock: Callable[[], float],
    ) -> None:
        """Know no pod.

        Args:
            state: what is known.
            cluster: tells which namespaces backends admit.
            data: asks the pods.
            ledger: takes what programs use and are granted.
            queue: takes the jobs that are to be looked at.
            charge: counts seconds towards a namespace's share.
            changed: is told the namespaces whose quotas have news.
            spent: counts what a namespace used of a backend.
            clock: Unix seconds.
        """
        self._state = state
        self._cluster = cluster
        self._data = data
        self._ledger = ledger
        self._queue = queue
        self._charge = charge
        self._changed = changed
        self._spent = spent
        self._clock = clock
        self._books = GrantLedger()
        self._running: dict[str, _Running] = {}
        self._closing: dict[str, _Closing] = {}
        # What ``spent`` has of each account, by the start of the pod's server that told of it.
        self._reported: dict[str, dict[str, Amounts]] = {}
        # How often each account waited, by the start of the pod's server that told of it.
        self._waits: dict[str, dict[str, int]] = {}
        self._exchanges = Exchanges()
        # Pods that have programs which they were not told of.
        self._unnamed: set[str] = set()
        self._telling: set[asyncio.Task[None]] = set()
        # Backends on which accounts are new, or to be closed.
        self._untold: set[str] = set()
        # Those that were deleted since they were last told.
        self._deleted: dict[str, QuantumBackend] = {}
        self.urgent = asyncio.Event()
        """Set where ``push`` has something to tell."""

    @property
    def has_limits(self) -> bool:
        """Whether pods should be asked often: programs run that quotas or budgets limit."""
        programs = self._programs()
        return any(program.budget is not None or program.shots is not None for program in programs) or any(
            self._bounded(namespace) for namespace in {program.namespace for program in programs}
        )

    def used(self, job: HybridJob) -> Amounts:
        """Return what the job's program used, as far as its status and pods have told."""
        if _key(job) not in self._running:
            return amounts_of(job.status.usage)
        running, used = self._running[_key(job)], self._books.used(account_of(job))
        # Several attempts may have run on several backends.
        return used.at_power(self._watts_of(running.backends)) if running.first and running.attempt == 1 else used

    def _watts_of(self, backends: Sequence[str]) -> float | None:
        """Return the power of tasks on backends that are alike in it; None of others, where it is not known."""
        watts = {self._watts(backend) for backend in backends}
        return watts.pop() if len(watts) == 1 else None

    def _watts(self, backend: str) -> float | None:
        return task_watts(self._state.powers, self._state.backends.get(backend), self._clock())[0]

    def waits(self, job: HybridJob) -> int | None:
        """Return how often the job's program waited for tasks, as far as pods have told; None where none has."""
        told = self._waits.get(account_of(job))
        return None if told is None else sum(told.values())

    def handlers(self) -> tuple[Handler, ...]:
        """Return what this watches."""
        return (
            Handler("HybridJob", lambda change: self.observe(change.key), own_writes=True),
            Handler("QuantumBackend", self._observe_backend),
        )

    def observe(self, key: str) -> None:
        """Take what a watch, a list or a write showed of a job."""
        job, known = self._state.jobs.get(key), self._running.get(key)
        if f"HybridJob {key}" in self._state.unread:
            # One that this version cannot read goes on as it was.
            return
        if known is not None and (
            job is None or job.status.state == "Suspended" or account_of(job) != account_of(known.job)
        ):
            self.stop(key, self.used(known.job))
            known = None
        if job is None or not kind_of(job).calls_backends:
            return
        runs = job.status.state in ("Placed", "Running")
        if known is None:
            if runs:
                self._add(key, job, object_names.audiences_of(job), open_attempt(job))
            return
        known.job = job
        if (attempt := open_attempt(job)) > known.attempt:
            known.attempt = attempt
            self._to_tell(*known.backends)
        if runs and attempt == known.attempt:
            known.backends = object_names.audiences_of(job)

    def open(self, key: str, job: HybridJob, backends: Sequence[QuantumBackend], attempt: int) -> None:
        """Let an attempt at a program that is about to start use backends: their pods know before it has begun."""
        known, names = self._running.get(key), tuple(map(object_names.audience, backends))
        if known is None:
            self._add(key, job, names, attempt)
        else:
            former, known.backends, known.attempt = known.backends, names, attempt
            self._to_tell(*former)
        self._to_tell(*names)

    async def close(self, key: str) -> Amounts:
        """Ask the pods what a program that has ended used at last, and return all that it used."""
        running = self._running.get(key)
        if running is None:
            return Amounts()
        found = (self._state.backends.get(key) for key in running.backends)
        await asyncio.gather(*(self._meet_all(backend) for backend in found if backend is not None))
        return self.used(running.job)

    def stop(self, key: str, counted: Amounts) -> None:
        """Close a program's account, of which so much was counted: what pods tell later is counted then."""
        running = self._running.pop(key, None)
        if running is not None:
            account, namespace = account_of(running.job), running.job.metadata.namespace
            self._closing[account] = _Closing(running.job, counted)
            self._ledger.release(account, namespace, self._books.outstanding(account))
            self._finish(account)
            self._to_tell(*running.backends)

    def _observe_backend(self, change: Change) -> None:
        used = any(change.key in running.backends for running in self._running.values())
        if used and isinstance(change.before, QuantumBackend) and change.after is None:
            # Its pods end by and by, and do what they run meanwhile.
            self._deleted[change.key] = change.before
        self.reconsider(change.key)

    def reconsider(self, backend: str | None = None) -> None:
        """Look at the programs on a backend, or on all, after it or the labels of namespaces changed."""
        for key, running in self._running.items():
            if backend in (None, *running.backends) and not self._may_use(running):
                self._queue.add(f"HybridJob {key}")
                self._to_tell(*running.backends)

    async def push(self) -> None:
        """Tell pods at once of accounts that are new or to be closed; those that do not answer learn it from a poll."""
        self.urgent.clear()
        keys, self._untold = self._untold, set()
        deleted, self._deleted = self._deleted, {}
        backends = (self._state.backends.get(key) or deleted.get(key) for key in keys)
        telling = [asyncio.create_task(self._meet_all(backend)) for backend in backends if backend is not None]
        for task in telling:
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
        if telling:
            # A pod that does not answer keeps nobody else waiting.
            await asyncio.wait(telling, timeout=_PUSH_SECONDS)

    async def _meet_all(self, backend: QuantumBackend) -> None:
        async def meet(endpoint: Endpoint) -> None:
            try:
                await self.meet(endpoint, backend)
            except WireError as error:
                logger.info("pod %s is told of its programs by the next poll: %s", endpoint.url, error)

        pods = self._state.pods.reachable(backend_selector(backend))
        await asyncio.gather(*(meet(pod.endpoint) for pod in pods if pod.admits_programs))

    def _add(self, key: str, job: HybridJob, backends: tuple[str, ...], attempt: int) -> None:
        # What its status tells of is gone with pods, or was used by attempts before this operator.
        self._books.carry(account_of(job), amounts_of(job.status.usage))
        self._running[key] = _Running(job, backends, attempt, first=job.status.usage is None)

    def _to_tell(self, *backends: str) -> None:
        self._untold.update(backends)
        self.urgent.set()

    async def meet(self, endpoint: Endpoint, backend: QuantumBackend, *, unnamed: bool = False) -> None:
        """Tell a pod which programs may use it, and how much next, and read its meters.

        Args:
            endpoint: the pod.
            backend: its backend.
            unnamed: whether it has programs that it was not told of; they are refused where nobody tells it of them.

        Raises:
            WireError: the pod does not answer, or refuses; what it was granted counts as used until it is gone.
        """
        if unnamed:
            self._unnamed.add(endpoint.pod)
        await self._exchanges.join(endpoint.pod, lambda: self._exchange(endpoint, backend))

    async def _exchange(self, endpoint: Endpoint, backend: QuantumBackend) -> None:
        pod, key = endpoint.pod, object_names.audience(backend)
        # Operators before this one may have left accounts open there.
        due = pod in self._unnamed or not self._books.knows(pod)
        self._unnamed.discard(pod)
        for _ in range(2):
            named = self._named(key)
            closing = self._closing_on(pod, named, backend)
            if not (due or named or closing):
                return
            if not self._books.knows(pod):
                # What an operator before this one granted is in force.
                self._take(pod, await self._data.meters(endpoint, key, None), list(named.values()), ())
                continue
            grants, boot = self._grants(pod, list(named.values())), self._books.boot(pod)
            meters = await self._data.meters(endpoint, key, grants, boot)
            # A server that began anew took none of them, and closed nothing.
            same = meters.boot == boot
            self._take(pod, meters, [*named.values(), *closing.values()], closing if same else ())
            if same and not self._books.wants(pod, grants):
                break

    def gone(self) -> None:
        """Take the pods into account that serve no more."""
        serving = {pod.uid for pod in self._state.pods.serving()}
        for pod in self._books.pods():
            if pod not in serving:
                accounts = self._books.open_on(pod)
                self._books.lost(pod)
                for account in accounts & self._closing.keys():
                    self._finish(account)
                self._books.drop(pod)
                self._exchanges.forget(pod)
        self._tell()

    def _may_use(self, running: _Running) -> bool:
        # An attempt that loses one of its backends is over on all.
        return all(withdrawn(running.job, key, self._state, self._cluster) is None for key in running.backends)

    def _named(self, backend: str) -> dict[str, Program]:
        """Return the programs that may use a backend, by account."""
        here = (running for running in self._running.values() if backend in running.backends)
        programs = (self._program(running, backend) for running in here if self._may_use(running))
        return {program.account: program for program in programs}

    def _closing_on(self, pod: str, named: Container[str], backend: QuantumBackend) -> dict[str, Program]:
        """Return the programs, by account, that used the pod and may do so no more, until it has told all of them."""
        accounts = {account for account in self._books.open_on(pod) if account not in named}
        if not accounts:
            return {}
        jobs = {account: closing.job for account, closing in self._closing.items()}
        jobs |= {account_of(running.job): running.job for running in self._running.values()}
        key = object_names.audience(backend)
        pricing = pricing_of(self._state.pods, backend)
        return {account: program_of(jobs[account], pricing, key, 0) for account in accounts if account in jobs}

    def _program(self, running: _Running, key: str) -> Program:
        backend = self._state.backends.get(key)
        pricing = None if backend is None else pricing_of(self._state.pods, backend)
        return program_of(running.job, pricing, key, running.attempt)

    def _programs(self) -> list[Program]:
        """Return what runs, once for each backend that it may use."""
        return [self._program(running, key) for running in self._running.values() for key in running.backends]

    def _bounded(self, namespace: str) -> bool:
        """Return whether a quota limits what the namespace's programs may use of pods."""
        left = self._ledger.remaining(namespace, self._clock())
        return left is not None and left.limits_use

    def _grants(self, pod: str, programs: Sequence[Program]) -> dict[str, Grant]:
        pools, running = dict[str, Pool](), self._programs()
        for namespace in {program.namespace for program in programs}:
            peers = [peer for peer in running if peer.namespace == namespace]
            places = sum(len(self._state.reachable_of(peer.backend)) for peer in peers)
            left = self._ledger.remaining(namespace, self._clock())
            until = "" if left is None or left.renews_at is None else timestamp(left.renews_at)
            accounts = dict.fromkeys(peer.account for peer in peers)
            pools[namespace] = self._books.pool(accounts, places, left or Limits(), until)
        grants = {}
        for program in programs:
            grants[program.account] = self._books.grant(pod, program, pools[program.namespace])
            self._reserve(program)
        return grants

    def _reserve(self, program: Program) -> None:
        account = program.account
        use = self._books.used(account) + self._books.outstanding(account)
        self._ledger.reserve(program.uid, program.namespace, use)

    def _take(self, pod: str, meters: Meters, programs: Sequence[Program], closed: Container[str]) -> None:
        """Take what a pod says of these programs, some of whose accounts it has closed."""
        # What was used before this operator counts as charged.
        known = self._books.knows(pod)
        before = {program.account: self._books.used(program.account) for program in programs}
        self._books.told(pod, meters, programs)
        running = {account_of(each.job) for each in self._running.values()}
        for program in programs:
            account, now = program.account, self._books.used(program.account)
            if more := now.beyond(before[account]):
                self._charge(program.namespace, more.seconds if known else 0.0)
                self._changed(program.namespace)
            meter = meters.by_account.get(account)
            if meter is not None and meter.waits is not None:
                self._waits.setdefault(account, {})[meters.boot] = meter.waits
            if meter is not None and not (known and meter.under_way):
                # What is under way may be given back.
                self._report(program, meters.boot, meter.at(program.prices).used, count=known)
            if account in closed and (meter is None or not meter.under_way):
                self._books.closed(pod, account)
            if account in self._closing:
                self._finish(account)
            elif account in running:
                self._reserve(program)
        self._tell()

    def _report(self, program: Program, boot: str, used: Amounts, *, count: bool) -> None:
        """Count what a pod says beyond what was counted; what was there before this operator, its predecessor did."""
        reported = self._reported.setdefault(program.account, {})
        more = used.beyond(reported.get(boot, Amounts()))
        reported[boot] = used
        if count and more:
            self._spent(program.namespace, program.backend, more.at_power(self._watts(program.backend)))

    def _tell(self) -> None:
        """Let jobs know what their programs used."""
        for key, running in self._running.items():
            flight = self._state.flights.get(key)
            if flight is None or flight.uid != running.job.metadata.uid:
                continue
            if flight.meter(self.used(running.job), self._books.gone(account_of(running.job))):
                # No pod will tell the latter again, so it is written.
                self._queue.add(f"HybridJob {key}")

    def _finish(self, account: str) -> None:
        """Count what a program used at last, when no pod is left that may tell more."""
        if self._books.is_open(account):
            return
        closing = self._closing[account]
        namespace = closing.job.metadata.namespace
        if more := self._books.used(account).beyond(closing.counted):
            self._ledger.settle(f"{account}-late", namespace, more, self._clock())
            self._changed(namespace)
        self._ledger.release(account, namespace)
        self._books.forget(account)
        self._reported.pop(account, None)
        self._waits.pop(account, None)
        del self._closing[account]


def _key(job: HybridJob) -> str:
    return f"{job.metadata.namespace}/{job.metadata.name}"
