"""Lets programs in that the operator named, keeps them to what it granted, and counts what they use.

An account is open while the operator's list of grants has it. One that the list never had waits: the list that names
it may be under way. One that the list has no more is closed: its tasks end and it is refused, for as long as its
tokens live.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from qonverge.amounts import Amounts, Limits, Prices, TaskLimits
from qonverge.circuits.analysis.measurement_plan import blocks, runs, tasks_for
from qonverge.wire.errors import AccessEnded, BudgetExceeded, GrantPending, QuotaExceeded, WireError
from qonverge.wire.grants import Grant, Meter, Meters
from qonverge.wire.messages import Pub, Task
from qonverge.wire.tokens import PROGRAM_TOKEN_SECONDS, Caller
from qonverge.wire.vendor import VendorTask, charged_tasks, corrected

# Who waits for a grant asks again well within this.
_WANTED_SECONDS = 5.0
# What a closed account used is told for so long.
_TOLD_SECONDS = 120.0
# An operator that has not named an account for so long, although it sent lists, does not know it.
_UNNAMED_SECONDS = 10.0
_NOTHING = Limits(0, 0.0)
_UNNAMED = Grant(now=_NOTHING)
_CLOSED = Grant(_NOTHING, _NOTHING)


@dataclass(slots=True)
class _Account:
    asked_at: float
    """When it was first asked for, or named."""
    grant: Grant = _UNNAMED
    named: bool = False
    used: Amounts = field(default_factory=Amounts)
    wanted: Amounts | None = None
    wanted_until: float = 0.0
    under_way: int = 0
    waits: int = 0
    """Times that a task came while none of the account was under way."""
    closed_at: float | None = None
    """When the operator named it no more."""

    def close(self, now: float) -> None:
        """Let it use nothing any more; what is under way still has its prices."""
        self.grant, self.closed_at = replace(_CLOSED, prices=self.grant.prices), now

    def is_told(self, now: float) -> bool:
        """Return whether the operator may still learn something of it."""
        return self.closed_at is None or self.under_way > 0 or now <= self.closed_at + _TOLD_SECONDS


class Accounts:
    """What is used of this server, by the accounts that tokens name."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds, only differences count."""
        self._clock = clock
        self.boot = secrets.token_hex(8)
        """Another one with every start of the server."""
        self._accounts: dict[str, _Account] = {}
        # Closed accounts of which there is nothing more to tell, with the time until which their tokens may live.
        self._ended: dict[str, float] = {}
        # Attempts that the operator has ended one by one, likewise.
        self._runs: dict[str, float] = {}

    @property
    def unnamed(self) -> int:
        """How many accounts wait for the operator to name them."""
        return sum(not own.named and own.closed_at is None for own in self._accounts.values())

    def refusal(self, caller: Caller) -> AccessEnded | None:
        """Return why the caller may do nothing here any more; None where it may, or may soon."""
        account = self._accounts.get(caller.account)
        if caller.run in self._runs:
            return AccessEnded(f"attempt {caller.attempt} of {caller.subject} is over: the operator has ended it")
        if caller.account in self._ended or (account is not None and account.closed_at is not None):
            return AccessEnded(
                f"{caller.subject} may use this backend no more: the job has ended, was suspended or deleted, or the "
                "backend does not admit it any longer"
            )
        if account is not None and caller.attempt < account.grant.attempt:
            return AccessEnded(f"attempt {caller.attempt} of {caller.subject} is over: another one takes its place")
        return None

    def charge(self, caller: Caller, task: Task, limits: TaskLimits) -> Amounts:
        """Count a task that is about to wait, and return what was counted; ``limits`` as in ``asked``.

        Raises:
            AccessEnded: the account is closed.
            GrantPending: the operator will grant it, or say that nothing is left, or that it is none of its own.
            QuotaExceeded: the quotas of the job's namespace leave less than the task needs.
            BudgetExceeded: the job's budget does, or the shots that it may run.
        """
        if not caller.account:
            return Amounts()
        if (refusal := self.refusal(caller)) is not None:
            raise refusal
        account = self._accounts.setdefault(caller.account, _Account(self._clock()))
        grant, used = account.grant, account.used
        needed = grant.prices.charge(asked(task.pubs, limits))
        if amount := _lacking(grant.most, used, needed, grant.prices):
            raise _refusal(amount, grant, used, needed)
        pending = ""
        if not account.named or caller.attempt > grant.attempt:
            pending = "the operator has not told this pod of the program yet"
        elif _lacking(grant.now, used, needed, grant.prices):
            pending = "the operator has not granted the job so much of this pod yet: it is asked for more"
        if pending:
            account.wanted, account.wanted_until = needed, self._clock() + _WANTED_SECONDS
            raise GrantPending(pending)
        account.used, account.wanted = used + needed, None
        account.waits += account.under_way == 0
        account.under_way += 1
        return needed

    def resume(self, caller: Caller) -> None:
        """Count a task as under way that an earlier start of the server charged; that charge stays, however it ends."""
        if caller.account:
            self._accounts.setdefault(caller.account, _Account(self._clock())).under_way += 1

    def ended(
        self,
        caller: Caller,
        charged: Amounts,
        *,
        ran: float,
        completed: bool,
        vendor_tasks: Sequence[VendorTask] = (),
    ) -> None:
        """Record that a task has ended.

        Args:
            caller: whose it was.
            charged: what ``charge`` counted.
            ran: seconds of running.
            completed: whether it has a result: only then it used shots.
            vendor_tasks: what it was elsewhere; what the vendor billed replaces what the prices say.
        """
        account = self._accounts.get(caller.account)
        if account is not None:
            # First: a bill that cannot be read leaves what was charged, and nothing under way.
            account.under_way -= 1
            prices = account.grant.prices
            # One that was charged by an earlier start of the server stays as it is.
            more = charged_tasks(charged.tasks, vendor_tasks) - charged.tasks if charged.tasks and completed else 0
            time = prices.charge(Amounts(seconds=ran, tasks=more))
            used = charged + time if completed else time
            account.used += corrected(used, vendor_tasks, prices) - charged

    def take(self, grants: Mapping[str, Grant] | None, boot: str = "") -> None:
        """Take the operator's grants, which are all that there are; None changes nothing.

        Grants count from a start of the server. Those that were made out for another one than ``boot`` names change
        nothing either: they would let through again what was used before this start.
        """
        if grants is None or boot != self.boot:
            return
        now = self._clock()
        for name, grant in grants.items():
            account = self._accounts.setdefault(name, _Account(now))
            account.grant, account.named, account.closed_at = grant, True, None
            self._ended.pop(name, None)
        for name, account in self._accounts.items():
            if name in grants or account.closed_at is not None:
                continue
            if account.named or now >= account.asked_at + _UNNAMED_SECONDS:
                account.close(now)

    def end_run(self, run: str) -> None:
        """Let an attempt do nothing here any more, for as long as its tokens live; ``run`` is its callers'."""
        now = self._clock()
        self._runs = {name: until for name, until in self._runs.items() if now <= until}
        self._runs[run] = now + PROGRAM_TOKEN_SECONDS

    def tell(self) -> Meters:
        """Return what was used, and forget what is told for long enough."""
        now = self._clock()
        told = {
            name: Meter(
                own.used,
                own.wanted if own.wanted_until > now else None,
                own.grant.now,
                own.under_way,
                own.waits,
            )
            for name, own in self._accounts.items()
        }
        for name in [name for name, own in self._accounts.items() if not own.is_told(now)]:
            del self._accounts[name]
            self._ended[name] = now + PROGRAM_TOKEN_SECONDS
        for name in [name for name, until in self._ended.items() if now > until]:
            del self._ended[name]
        return Meters(self.boot, told)


def asked(pubs: Sequence[Pub], limits: TaskLimits) -> Amounts:
    """Return what a task's pubs use, but for its time: known before it runs.

    ``limits``: of one task of the device; a simulator's tasks are not divided.
    """
    measured = [part for pub in pubs if not pub.empty for part in _measured(pub)]
    return Amounts(sum(count * shots for count, shots in measured), tasks=tasks_for(measured, limits))


def _measured(pub: Pub) -> Iterator[tuple[int, int]]:
    """Yield (measurements, shots of each)."""
    if pub.statevector:
        yield pub.sets, 0
        return
    if pub.pairs is None or (pub.shots is None and pub.precision is None):
        parts = [(pub.observables, pub.sets)]
    else:
        known = range(len(pub.observables))
        parts = [
            (tuple(pub.observables[k] for k in wanted if k in known), len(sets))
            for wanted, sets in blocks(pub.pairs.tolist())
        ]
    for observables, sets in parts:
        groups, shots = runs(observables, pub.shots, pub.precision)
        yield sets * groups, shots


def _lacking(limits: Limits, used: Amounts, needed: Amounts, prices: Prices) -> str | None:
    """Return the first amount of which the limits do not leave so much more; how long a task will run is not known."""
    left = limits - used
    # Of time there must be some, and of the money that it costs.
    by_time = {"seconds", "cost"} if prices.second else {"seconds"}
    lacking = {*left.exceeded_by(needed), *by_time.intersection(left.spent)}
    return next((name for name in ("shots", "seconds", "cost") if name in lacking), None)


def _refusal(amount: str, grant: Grant, used: Amounts, needed: Amounts) -> WireError:
    currency = grant.prices.currency
    left = grant.most.beyond(used)
    if amount == "shots":
        said = f"the task asks for {needed.shots} shots and {left.shots} are left"
    elif amount == "seconds":
        said = f"all {used.seconds:.3g} seconds are used"
    else:
        cost, rest = needed.cost_in(currency), left.cost_in(currency)
        second = grant.prices.second
        price = f"{_plain(second)} {currency} a second" if second and not cost else f"{_plain(cost)} {currency}"
        said = f"the task costs {price} and {_plain(rest)} {currency} are left"
    if amount == "cost" and grant.cost_is_budget:
        return BudgetExceeded(f"{said} of the job's budget: ask for less, or give the job a larger spec.budget")
    if amount == "shots" and grant.shots_are_the_jobs:
        return BudgetExceeded(f"{said} of the job's maxShots: ask for less, or begin a session with more")
    again = f"; they are renewed at {grant.until}" if grant.until else ""
    return QuotaExceeded(f"{said} of what the namespace's quotas allow{again}: ask for less, or for a larger quota")


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
