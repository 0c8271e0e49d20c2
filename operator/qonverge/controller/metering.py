"""What programs use of backends: read from the pods, and kept within quotas and budgets by what these are granted."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from decimal import Decimal

from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.job import Usage
from qonverge.controller import builders
from qonverge.controller.dataplane import DataPlane
from qonverge.controller.queue import WorkQueue
from qonverge.controller.snapshot import label_key
from qonverge.controller.state import Endpoint, State
from qonverge.lifecycle.metering import Books, Pool, Program
from qonverge.lifecycle.quotas import Ledger, Use
from qonverge.lifecycle.transitions import timestamp
from qonverge.wire.errors import WireError
from qonverge.wire.grants import Grant, Meters, Prices


@dataclass(slots=True)
class _Closing:
    """A program that has ended, of whose last use pods may still tell."""

    program: Program
    counted: Use
    """What was counted of it when it ended."""
    waits: set[str]
    """Pods that may."""


def account_of(job: HybridJob) -> str:
    """Return the account under which the job's program uses pods: with another specification it is another one."""
    return f"{job.metadata.uid}-{job.metadata.generation}"


class Metering:
    """The meters of all pods."""

    def __init__(
        self,
        *,
        state: State,
        data: DataPlane,
        ledger: Ledger,
        queue: WorkQueue,
        charge: Callable[[str, float], None],
        changed: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        """Know no pod.

        Args:
            state: what is known.
            data: asks the pods.
            ledger: takes what programs use and are granted.
            queue: takes the jobs that are to be looked at.
            charge: counts seconds towards a namespace's share.
            changed: is told the namespaces whose quotas have news.
            clock: Unix seconds.
        """
        self._state = state
        self._data = data
        self._ledger = ledger
        self._queue = queue
        self._charge = charge
        self._changed = changed
        self._clock = clock
        self._books = Books()
        self._running: dict[str, tuple[HybridJob, str]] = {}
        self._closing: dict[str, _Closing] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def presses(self) -> bool:
        """Whether pods should be asked often: programs run that quotas or budgets limit."""
        programs = self._programs()
        return any(program.budget is not None for program in programs) or any(
            self._bounded(namespace) for namespace in {program.namespace for program in programs}
        )

    def used(self, job: HybridJob) -> Use:
        """Return what the job's program used, as far as pods have told."""
        return self._books.used(account_of(job))

    def observe(self, key: str) -> None:
        """Take what a watch or a list showed of a job."""
        job = self._state.jobs.get(key)
        if job is not None and job.spec.program.python is not None and job.status.state in ("Placed", "Running"):
            if key not in self._running:
                self._books.carry(account_of(job), Use.of(job.status.usage or Usage()))
            self._running[key] = job, builders.audience_of(job)
        elif key in self._running:
            before = self._running[key][0]
            if job is None or job.status.state == "Suspended" or account_of(job) != account_of(before):
                self.stop(key, self.used(before))

    async def open(self, key: str, job: HybridJob, backend: QuantumBackend) -> bool:
        """Let the backend's pods know of a program that is about to start, and return whether its use is limited."""
        self._running[key] = job, builders.audience(backend)
        for endpoint in self._state.endpoints_of(label_key(backend)):
            with contextlib.suppress(WireError):
                await self.meet(endpoint, backend)
        budget = _program(job, backend, builders.audience(backend)).budget
        return budget is not None or self._bounded(job.metadata.namespace)

    async def close(self, key: str) -> Use:
        """Ask the pods what a program that has ended used at last, and return all that it used."""
        job, name = self._running.get(key, (None, ""))
        if job is None:
            return Use()
        if (backend := self._state.backends.get(name)) is not None:
            for endpoint in self._state.endpoints_of(label_key(backend)):
                with contextlib.suppress(WireError):
                    await self.meet(endpoint, backend)
        return self.used(job)

    def stop(self, key: str, counted: Use) -> None:
        """Take note that a program has ended, of which so much was counted: what pods tell later is counted then."""
        job, name = self._running.pop(key, (None, ""))
        if job is not None:
            account = account_of(job)
            program = _program(job, self._state.backends.get(name), name)
            self._closing[account] = _Closing(program, counted, self._books.holders(account))
            self._ledger.release(account, program.namespace, self._books.outstanding(account))
            self._finish(account)

    async def meet(self, endpoint: Endpoint, backend: QuantumBackend) -> None:
        """Read a pod's meters and grant it what its programs may use next.

        Raises:
            WireError: the pod does not answer, or refuses; what it was granted counts as used until it is gone.
        """
        pod, key = endpoint.pod, builders.audience(backend)
        # Of grants that overtake each other nobody would know which is in force.
        async with self._turns[pod]:
            for _ in range(2):
                programs = [program for program in self._programs() if program.backend == key]
                ended = {name: each.program for name, each in self._closing.items() if pod in each.waits}
                if not programs and not ended:
                    return
                if not self._books.knows(pod):
                    # What an operator before this one granted is in force.
                    self._take(pod, await self._data.meters(endpoint, key, None), programs, ())
                    continue
                grants, boot = self._grants(pod, programs), self._books.boot(pod)
                meters = await self._data.meters(endpoint, key, grants, boot)
                # A server that began anew took none of them, and closed nothing.
                same = meters.boot == boot
                self._take(pod, meters, [*programs, *ended.values()], ended if same else ())
                if same and not self._books.wants(pod, grants):
                    break

    def gone(self) -> None:
        """Take note of the pods that serve no more."""
        for pod in self._books.pods():
            if pod not in self._state.endpoints:
                self._books.lost(pod)
                for account in [name for name, each in self._closing.items() if pod in each.waits]:
                    self._closing[account].waits.discard(pod)
                    self._finish(account)
                self._books.drop(pod)
                self._turns.pop(pod, None)
        self._tell()

    def _programs(self) -> list[Program]:
        return [_program(job, self._state.backends.get(name), name) for job, name in self._running.values()]

    def _bounded(self, namespace: str) -> bool:
        """Return whether a quota limits what the namespace's programs may use of pods."""
        left = self._ledger.remaining(namespace, self._clock())
        return left is not None and any(bound is not None for bound in (left.shots, left.seconds, left.cost))

    def _grants(self, pod: str, programs: Sequence[Program]) -> dict[str, Grant]:
        pools, running = dict[str, Pool](), self._programs()
        for namespace in {program.namespace for program in programs}:
            peers = [peer for peer in running if peer.namespace == namespace]
            backends = [self._state.backends.get(peer.backend) for peer in peers]
            places = sum(len(self._state.endpoints_of(label_key(each))) for each in backends if each is not None)
            left = self._ledger.remaining(namespace, self._clock())
            until = "" if left is None or left.renews_at is None else timestamp(left.renews_at)
            pools[namespace] = self._books.pool([peer.account for peer in peers], places, left, until)
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
        """Take what a pod says of these programs, some of which it lets do nothing new."""
        # What was used before this operator counts as charged.
        known = self._books.knows(pod)
        before = {program.account: self._books.used(program.account) for program in programs}
        self._books.told(pod, meters, programs)
        running = {account_of(job) for job, _ in self._running.values()}
        for program in programs:
            account, now = program.account, self._books.used(program.account)
            if more := now.beyond(before[account]):
                self._charge(program.namespace, more.seconds if known else 0.0)
                self._changed(program.namespace)
            if (closing := self._closing.get(account)) is not None:
                meter = meters.by_account.get(account)
                if meter is None or (account in closed and not meter.under_way):
                    closing.waits.discard(pod)
                self._finish(account)
            elif account in running:
                self._reserve(program)
        self._tell()

    def _tell(self) -> None:
        """Let jobs know what their programs used."""
        for key, (job, _) in self._running.items():
            flight = self._state.flights.get(key)
            if flight is not None and (flight.uid, flight.generation) == (job.metadata.uid, job.metadata.generation):
                flight.usage = self.used(job)
                if (gone := self._books.gone(account_of(job))) != flight.gone:
                    # No pod will tell it again, so it is written.
                    flight.gone = gone
                    self._queue.add(f"HybridJob {key}")

    def _finish(self, account: str) -> None:
        """Count what a program used at last, when no pod is left that may tell more."""
        closing = self._closing[account]
        if closing.waits:
            return
        namespace = closing.program.namespace
        if more := self._books.used(account).beyond(closing.counted):
            self._ledger.settle(f"{account}-late", namespace, more, self._clock())
            self._changed(namespace)
        self._ledger.release(account, namespace)
        self._books.forget(account)
        del self._closing[account]


def _program(job: HybridJob, backend: QuantumBackend | None, name: str) -> Program:
    pricing = None if backend is None else backend.spec.pricing
    metadata, budget = job.metadata, job.spec.budget
    if pricing is None:
        # What costs nothing needs no budget.
        return Program(account_of(job), metadata.uid, metadata.namespace, name)
    prices = Prices(*(Decimal(price or 0) for price in (pricing.per_task, pricing.per_shot, pricing.per_second)))
    # Money of another currency pays for nothing.
    most = None if budget is None else budget.value if budget.currency == pricing.currency else Decimal(0)
    return Program(account_of(job), metadata.uid, metadata.namespace, name, prices, pricing.currency, most)
