"""What programs use of backend pods, and how much more each pod may let them use.

A pod is granted amounts beforehand, so that programs do not wait for the operator, and what is granted counts as used
until the pod says otherwise: so all pods together never let through more than a quota leaves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Self

from qonverge.accounting.ledger import Use
from qonverge.scheduling.model import Quota
from qonverge.wire.grants import Bound, Grant, Meter, Meters, Prices, Used

# Of time less than this is granted as a whole: halves of halves would never be used up.
_LEAST_SECONDS = 1.0
_NOTHING = Bound(0, 0.0, Decimal(0))


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
    currency: str = "USD"
    """Of the prices."""
    budget: Decimal | None = None
    """In that currency."""
    attempt: int = 0
    """Which attempt at it may use pods."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a pod has of an account."""

    used: Used
    use: Use
    """The same with its cost."""
    wanted: Used | None
    granted: Bound
    """Most that the pod may let through, whichever of the messages on their way arrives."""
    outstanding: Use
    """What is granted beyond what was used."""

    @classmethod
    def of(cls, use: Use, meter: Meter) -> Self:
        """Return what a pod tells."""
        most = meter.now
        outstanding = Use(
            0 if most.shots is None else max(0, most.shots - use.shots),
            0.0 if most.seconds is None else max(0.0, most.seconds - use.seconds),
            Decimal(0) if most.cost is None else max(Decimal(0), most.cost - use.cost),
            use.currency,
        )
        return cls(meter.used, use, meter.wanted, most, outstanding)

    def granting(self, most: Bound, wanted: Used | None) -> _Entry:
        """Return the entry with another grant."""
        return _Entry.of(self.use, Meter(self.used, wanted, most))


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

    left: Quota | None
    """Beside everything that is used or granted; None without a quota."""
    granted: Use
    """To all pods, and not used."""
    wanting: int
    """Programs on pods that have a task which waits."""
    places: int
    until: str

    def take(self, outstanding: Use, before: Use) -> None:
        """Take note of what a pod has outstanding, instead of what it had."""
        shots, seconds, cost = (
            outstanding.shots - before.shots,
            outstanding.seconds - before.seconds,
            outstanding.cost - before.cost,
        )
        granted, left = self.granted, self.left
        self.granted = Use(granted.shots + shots, granted.seconds + seconds, granted.cost + cost, granted.currency)
        if left is not None:
            self.left = replace(
                left,
                shots=None if left.shots is None else left.shots - shots,
                seconds=None if left.seconds is None else left.seconds - seconds,
                cost=None if left.cost is None else replace(left.cost, amount=left.cost.amount - cost),
            )


class GrantLedger:
    """What all pods said last."""

    def __init__(self) -> None:
        """Know no pod."""
        self._pods: dict[str, _Pod] = {}
        self._over: dict[str, Use] = {}
        # Sums over pods of what was used, and of what is granted beyond that, until an entry changes.
        self._sums: dict[str, tuple[Use, Use]] = {}

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
                self._over[account] = self._over.get(account, Use()) + entry.use
            known = self._pods[pod] = _Pod(meters.boot)
        known.serves = True
        for program in programs:
            account = program.account
            meter, before = meters.by_account.get(account), known.entries.get(account)
            if meter is not None:
                if before is None or (before.used, before.wanted, before.granted) != (
                    meter.used,
                    meter.wanted,
                    meter.now,
                ):
                    self._set(known, account, _Entry.of(_use(program, meter.used), meter))
            elif before is not None:
                self._set(known, account, before.granting(_NOTHING, None))

    def lost(self, pod: str) -> None:
        """Take note that a pod serves no more: it lets nothing through until it tells of itself again."""
        known = self._pods[pod]
        known.serves = False
        for account, entry in list(known.entries.items()):
            self._set(known, account, entry.granting(_NOTHING, None))
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

    def used(self, account: str) -> Use:
        """Return what was used on all pods."""
        return self._sum(account)[0]

    def outstanding(self, account: str) -> Use:
        """Return what is granted on all pods and not used."""
        return self._sum(account)[1]

    def gone(self, account: str) -> Use:
        """Return what was used of pods that may never tell it again."""
        away = (
            known.entries[account].use for known in self._pods.values() if not known.serves and account in known.entries
        )
        return sum(away, self._over.get(account, Use()))

    def carry(self, account: str, use: Use) -> None:
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

    def pool(self, accounts: Iterable[str], places: int, left: Quota | None, until: str) -> Pool:
        """Return what a namespace has to grant.

        Args:
            accounts: of its programs that run.
            places: pods on which these may run, each counted once for each of them.
            left: what its quotas leave beside everything that is used or granted; None without a quota.
            until: when quotas are renewed, RFC 3339, or empty.
        """
        names = list(accounts)
        granted = sum((self.outstanding(account) for account in names), Use())
        wanting = sum(entry.wanted is not None for account in names for entry in self._entries(account))
        return Pool(left, granted, wanting, max(1, places), until)

    def grant(self, pod: str, program: Program, pool: Pool) -> Grant:
        """Return what the pod, which has told what it has, may let the program use, and count it as granted."""
        known = self._pods[pod]
        entry = known.entries.get(program.account) or _Entry.of(_use(program, Used()), Meter(now=_NOTHING))
        before, left, prices = entry.outstanding, pool.left, program.prices
        wanted = entry.wanted or Used()
        # What is there is halved from time to time, so that whoever comes next finds some; and left to those who wait.
        others_want = pool.wanting > 0 and entry.wanted is None
        share = Decimal(0) if others_want else 1 / Decimal(2 * pool.places)
        shots = _amounts(None if left is None else left.shots, before.shots, pool.granted.shots, wanted.shots, share, 0)
        seconds = _amounts(
            *(None if left is None else left.seconds, before.seconds, pool.granted.seconds),
            *(0, share, 0 if others_want else _LEAST_SECONDS),
        )
        money, all_granted = None, pool.granted.cost
        if left is not None and left.cost is not None:
            # Money of another currency pays for nothing.
            money = left.cost.amount if left.cost.currency == program.currency else Decimal(0)
        if program.budget is not None:
            own = self.outstanding(program.account).cost
            rest = program.budget - self.used(program.account).cost - own
            if money is None or rest < money:
                money, all_granted = rest, own
        cost = _amounts(money, before.cost, all_granted, prices.of(wanted), share, 0 if others_want else prices.second)
        use = entry.use
        now, most = (
            Bound(_plus(use.shots, shots[n]), _float(use.seconds, seconds[n]), _exact(use.cost, cost[n]))
            for n in range(2)
        )
        entry = entry.granting(_higher(entry.granted, now), entry.wanted)
        self._set(known, program.account, entry)
        pool.take(entry.outstanding, before)
        known.closed.discard(program.account)
        return Grant(now, most, prices, program.currency, pool.until, program.attempt)

    def _set(self, pod: _Pod, account: str, entry: _Entry) -> None:
        pod.entries[account] = entry
        self._sums.pop(account, None)

    def _sum(self, account: str) -> tuple[Use, Use]:
        if account not in self._sums:
            entries = self._entries(account)
            used = sum((entry.use for entry in entries), self._over.get(account, Use()))
            self._sums[account] = used, sum((entry.outstanding for entry in entries), Use())
        return self._sums[account]

    def _entries(self, account: str) -> list[_Entry]:
        return [known.entries[account] for known in self._pods.values() if account in known.entries]


def _use(program: Program, used: Used) -> Use:
    return Use(used.shots, used.seconds, program.prices.of(used), program.currency)


def _amounts(
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


def _plus(used: int, more: Decimal | None) -> int | None:
    return None if more is None else used + int(more)


def _float(used: float, more: Decimal | None) -> float | None:
    return None if more is None else used + float(more)


def _exact(used: Decimal, more: Decimal | None) -> Decimal | None:
    return None if more is None else used + more


def _higher(one: Bound, other: Bound) -> Bound:
    """Return the bound that lets through what either does."""

    def higher(a: Any, b: Any) -> Any:
        return None if a is None or b is None else max(a, b)

    return Bound(higher(one.shots, other.shots), higher(one.seconds, other.seconds), higher(one.cost, other.cost))
