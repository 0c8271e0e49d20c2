"""What programs use of backend pods, and how much more each pod may let them use.

A pod is granted amounts beforehand, so that programs do not wait for the operator, and what is granted counts as used
until the pod says otherwise: so all pods together never let through more than a quota leaves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Generic, Self, TypeVar

from qonverge.amounts import Amounts, Limits, Money, Prices
from qonverge.wire.grants import Grant, Meter, Meters

_Amount = TypeVar("_Amount", int, Decimal)

# Of time less than this is granted as a whole: halves of halves would never be used up.
_LEAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Program:
    """A job's program that runs, or is about to."""

    account: str
    """Under which pods count what it uses."""
    uid: str
    namespace: str
    backend: str
    """Key of the backend that it was placed on."""
    prices: Prices = field(default_factory=Prices)
    budget: Money | None = None
    shots: int | None = None
    """Most that it may have run in all; None: no limit of its own."""
    attempt: int = 0
    """Which attempt at it may use pods."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a pod has of an account."""

    use: Amounts
    wanted: Amounts | None
    outstanding: Amounts
    """Most that the pod may let through beyond what was used, whichever of the messages on their way arrives."""

    @classmethod
    def of(cls, meter: Meter) -> Self:
        """Return what a pod tells; tasks are part of the cost."""
        return cls(replace(meter.used, tasks=0), meter.wanted, meter.now.beyond(meter.used))

    def granting(self, now: Limits) -> _Entry:
        """Return the entry with one more grant on its way to the pod."""
        more = now.beyond(self.use).beyond(self.outstanding)
        return replace(self, outstanding=self.outstanding + more)

    def shut(self) -> _Entry:
        """Return the entry of a pod that lets nothing more through."""
        return _Entry(self.use, None, Amounts())


@dataclass(slots=True)
class _Pod:
    boot: str
    serves: bool = True
    entries: dict[str, _Entry] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    """Accounts among them that it has closed and has nothing under way of: it will tell nothing new."""


@dataclass(slots=True)
class Pool:
    """What a namespace has while grants are made out."""

    left: Limits
    """Beside everything that is used or granted."""
    granted: Amounts
    """To all pods, and not used."""
    wanting: int
    """Programs on pods that have a task which waits."""
    places: int
    until: str

    def take(self, outstanding: Amounts, before: Amounts) -> None:
        """Count what a pod has outstanding, instead of what it had."""
        more = outstanding - before
        self.granted += more
        self.left -= more


class GrantLedger:
    """What all pods said last."""

    def __init__(self) -> None:
        """Know no pod."""
        self._pods: dict[str, _Pod] = {}
        self._over: dict[str, Amounts] = {}
        # Sums over pods of what was used, and of what is granted beyond that, until an entry changes.
        self._sums: dict[str, tuple[Amounts, Amounts]] = {}

    def knows(self, pod: str) -> bool:
        """Return whether the pod has told what it has, so that grants can follow from it."""
        return pod in self._pods

    def boot(self, pod: str) -> str:
        """Return the start of the pod's server that it told of last."""
        return self._pods[pod].boot

    def told(self, pod: str, meters: Meters, programs: Iterable[Program]) -> None:
        """Take what a pod says of these programs; of one that it does not name, what it said last stays true."""
        known = self._pods.get(pod)
        if known is None or known.boot != meters.boot:
            for account, entry in {} if known is None else known.entries.items():
                self._over[account] = self._over.get(account, Amounts()) + entry.use
            known = self._pods[pod] = _Pod(meters.boot)
        known.serves = True
        for program in programs:
            account = program.account
            meter, before = meters.by_account.get(account), known.entries.get(account)
            if meter is not None:
                if (entry := _Entry.of(meter.at(program.prices))) != before:
                    self._set(known, account, entry)
            elif before is not None:
                self._set(known, account, before.shut())

    def lost(self, pod: str) -> None:
        """Record that a pod serves no more: it lets nothing through until it tells of itself again."""
        known = self._pods[pod]
        known.serves = False
        for account, entry in list(known.entries.items()):
            self._set(known, account, entry.shut())
            known.closed.add(account)

    def pods(self) -> list[str]:
        """Return the pods that are known."""
        return list(self._pods)

    def wants(self, pod: str, accounts: Iterable[str]) -> bool:
        """Return whether a task on the pod waits for a grant."""
        entries = self._pods[pod].entries
        return any(account in entries and entries[account].wanted is not None for account in accounts)

    def open_on(self, pod: str) -> set[str]:
        """Return the accounts of which the pod may still tell something new."""
        known = self._pods.get(pod)
        return set() if known is None else known.entries.keys() - known.closed

    def is_open(self, account: str) -> bool:
        """Return whether any pod may still tell something new of the account."""
        return any(account in known.entries and account not in known.closed for known in self._pods.values())

    def closed(self, pod: str, account: str) -> None:
        """Record that the pod lets nothing more through for the account, and has nothing of it under way."""
        self._pods[pod].closed.add(account)

    def used(self, account: str) -> Amounts:
        """Return what was used on all pods."""
        return self._sum(account)[0]

    def outstanding(self, account: str) -> Amounts:
        """Return what is granted on all pods and not used."""
        return self._sum(account)[1]

    def gone(self, account: str) -> Amounts:
        """Return what was used of pods that may never tell it again."""
        away = (
            known.entries[account].use for known in self._pods.values() if not known.serves and account in known.entries
        )
        return sum(away, self._over.get(account, Amounts()))

    def carry(self, account: str, use: Amounts) -> None:
        """Take what an operator before this one knew of such pods."""
        self._over.setdefault(account, use)
        self._sums.pop(account, None)

    def forget(self, account: str) -> None:
        """Forget a program that has ended."""
        self._over.pop(account, None)
        self._sums.pop(account, None)
        for known in self._pods.values():
            known.entries.pop(account, None)
            known.closed.discard(account)

    def drop(self, pod: str) -> None:
        """Forget a pod that is gone, if no program used it."""
        if not self._pods[pod].entries:
            del self._pods[pod]

    def pool(self, accounts: Iterable[str], places: int, left: Limits, until: str) -> Pool:
        """Return what a namespace has to grant.

        Args:
            accounts: of its programs that run.
            places: pods on which these may run, each counted once for each of them.
            left: what its quotas leave beside everything that is used or granted.
            until: when quotas are renewed, RFC 3339, or empty.
        """
        names = list(accounts)
        granted = sum((self.outstanding(account) for account in names), Amounts())
        wanting = sum(entry.wanted is not None for account in names for entry in self._entries(account))
        return Pool(left, granted, wanting, max(1, places), until)

    def grant(self, pod: str, program: Program, pool: Pool) -> Grant:
        """Return what the pod, which has told what it has, may let the program use, and count it as granted."""
        known = self._pods[pod]
        entry = known.entries.get(program.account) or _Entry(Amounts(), None, Amounts())
        before, left, prices, currency = entry.outstanding, pool.left, program.prices, program.prices.currency
        wanted = entry.wanted or Amounts()
        # What is there is halved from time to time, so that whoever comes next finds some; and left to those who wait.
        others_want = pool.wanting > 0 and entry.wanted is None
        share = Decimal(0) if others_want else 1 / Decimal(2 * pool.places)
        used, own = self.used(program.account), self.outstanding(program.account)
        free = _bounded(left.shots, pool.granted.shots, program.shots, used.shots, own.shots)
        shots = _share(free.left, before.shots, free.granted, wanted.shots, share, 0)
        seconds = _share(
            *(left.seconds, before.seconds, pool.granted.seconds),
            *(0, share, 0 if others_want else _LEAST_SECONDS),
        )
        money = _bounded(
            None if left.cost is None else left.cost.amount_in(currency),
            pool.granted.cost_in(currency),
            None if program.budget is None else program.budget.amount_in(currency),
            used.cost_in(currency),
            own.cost_in(currency),
        )
        asked = prices.charge(wanted).cost_in(currency)
        least = 0 if others_want else prices.second
        cost = _share(money.left, before.cost_in(currency), money.granted, asked, share, least)
        now, most = (_above(entry.use, *beyond, currency) for beyond in zip(shots, seconds, cost, strict=True))
        entry = entry.granting(now)
        self._set(known, program.account, entry)
        pool.take(entry.outstanding, before)
        known.closed.discard(program.account)
        return Grant(now, most, prices, pool.until, program.attempt, money.by_job, free.by_job)

    def _set(self, pod: _Pod, account: str, entry: _Entry) -> None:
        pod.entries[account] = entry
        self._sums.pop(account, None)

    def _sum(self, account: str) -> tuple[Amounts, Amounts]:
        if account not in self._sums:
            entries = self._entries(account)
            used = sum((entry.use for entry in entries), self._over.get(account, Amounts()))
            self._sums[account] = used, sum((entry.outstanding for entry in entries), Amounts())
        return self._sums[account]

    def _entries(self, account: str) -> list[_Entry]:
        return [known.entries[account] for known in self._pods.values() if account in known.entries]


@dataclass(frozen=True, slots=True)
class _Free(Generic[_Amount]):
    """What there is of one amount for a program."""

    left: _Amount | None
    """Beside everything that is granted; None: no limit."""
    granted: _Amount
    """What a program could have beyond that, since it is granted and may be given back."""
    by_job: bool
    """Whether the job's own limit says so, and no quota."""


def _bounded(
    left: _Amount | None, granted: _Amount, limit: _Amount | None, used: _Amount, own: _Amount
) -> _Free[_Amount]:
    """Return what quotas and a job's own limit leave.

    Args:
        left: of quotas, beside everything that is granted.
        granted: to all programs under these quotas.
        limit: the job's own; None: it has none.
        used: by its program.
        own: granted to that, and not used.
    """
    if limit is None:
        return _Free(left, granted, by_job=False)
    rest = limit - used - own
    if left is None:
        return _Free(rest, own, by_job=True)
    by_job = rest + own <= left + granted
    total, least = (rest + own if by_job else left + granted), min(rest, left)
    return _Free(least, total - least, by_job=by_job)


def _share(
    left: Decimal | float | None,
    own: Decimal | float,
    granted: Decimal | float,
    wanted: Decimal | float,
    share: Decimal,
    least: Decimal | float,
) -> tuple[Decimal | None, Decimal | None]:
    """Return how much to grant now beyond what is used, and how much there is at most; None: no limit.

    Args:
        left: beside everything that is granted.
        own: granted to this pod already.
        granted: to all pods.
        wanted: what a task waits for.
        share: of what is there, to be granted without a task that asks for it.
        least: what is granted at once, where so little is left.
    """
    if left is None:
        return None, None
    rest = Decimal(left)
    pool = max(Decimal(0), rest + Decimal(own))
    asked = Decimal(wanted) if wanted <= pool else Decimal(0)
    return max(asked, pool * share, min(pool, Decimal(least))), max(Decimal(0), rest + Decimal(granted))


def _above(
    used: Amounts, shots: Decimal | None, seconds: Decimal | None, cost: Decimal | None, currency: str
) -> Limits:
    """Return limits that leave so much beyond what is used; cost in this currency."""
    return Limits(
        None if shots is None else used.shots + int(shots),
        None if seconds is None else used.seconds + float(seconds),
        None if cost is None else Money(used.cost_in(currency) + cost, currency),
    )
