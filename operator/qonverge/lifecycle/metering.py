"""What programs use of backend pods, and how much more each pod may let them use.

A pod is granted amounts beforehand, so that programs do not wait for the operator, and what is granted counts as used
until the pod says otherwise: so all pods together never let through more than a quota leaves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from qonverge.lifecycle.quotas import Use
from qonverge.scheduling.model import Quota
from qonverge.wire.grants import Bound, Grant, Meters, Prices, Used

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


@dataclass(slots=True)
class _Entry:
    """What a pod has of an account."""

    prices: Prices
    currency: str
    used: Used = field(default_factory=Used)
    wanted: Used | None = None
    granted: Bound = field(default_factory=Bound)
    """Most that the pod may let through, whichever of the messages on their way arrives."""

    @property
    def use(self) -> Use:
        """What was used."""
        return Use(self.used.shots, self.used.seconds, self.prices.of(self.used), self.currency)

    @property
    def outstanding(self) -> Use:
        """What is granted beyond that."""
        use, most = self.use, self.granted
        return Use(
            0 if most.shots is None else max(0, most.shots - use.shots),
            0.0 if most.seconds is None else max(0.0, most.seconds - use.seconds),
            Decimal(0) if most.cost is None else max(Decimal(0), most.cost - use.cost),
            self.currency,
        )


@dataclass(slots=True)
class _Pod:
    boot: str
    serves: bool = True
    entries: dict[str, _Entry] = field(default_factory=dict)


class Books:
    """What all pods said last."""

    def __init__(self) -> None:
        """Know no pod."""
        self._pods: dict[str, _Pod] = {}
        self._over: dict[str, Use] = {}

    def knows(self, pod: str) -> bool:
        """Return whether the pod has told what it has, so that grants can follow from it."""
        return pod in self._pods

    def told(self, pod: str, meters: Meters, programs: Iterable[Program]) -> None:
        """Take what a pod says of these programs; of one that it does not name, what it said last stays true."""
        known = self._pods.get(pod)
        if known is None or known.boot != meters.boot:
            for account, entry in {} if known is None else known.entries.items():
                self._over[account] = self._over.get(account, Use()) + entry.use
            known = self._pods[pod] = _Pod(meters.boot)
        known.serves = True
        for program in programs:
            meter, before = meters.by_account.get(program.account), known.entries.get(program.account)
            if meter is not None:
                known.entries[program.account] = _Entry(
                    program.prices, program.currency, meter.used, meter.wanted, meter.now
                )
            elif before is not None:
                before.wanted, before.granted = None, _NOTHING

    def lost(self, pod: str) -> None:
        """Take note that a pod serves no more: it lets nothing through until it tells of itself again."""
        self._pods[pod].serves = False
        for entry in self._pods[pod].entries.values():
            entry.wanted, entry.granted = None, _NOTHING

    def pods(self) -> list[str]:
        """Return the pods that are known."""
        return list(self._pods)

    def wants(self, pod: str, accounts: Iterable[str]) -> bool:
        """Return whether a task on the pod waits for a grant."""
        entries = self._pods[pod].entries
        return any(account in entries and entries[account].wanted is not None for account in accounts)

    def holders(self, account: str) -> set[str]:
        """Return the pods that told of the account."""
        return {pod for pod, known in self._pods.items() if account in known.entries}

    def used(self, account: str) -> Use:
        """Return what was used on all pods."""
        return sum((entry.use for entry in self._entries(account)), self._over.get(account, Use()))

    def outstanding(self, account: str) -> Use:
        """Return what is granted on all pods and not used."""
        return sum((entry.outstanding for entry in self._entries(account)), Use())

    def gone(self, account: str) -> Use:
        """Return what was used of pods that may never tell it again."""
        away = (
            known.entries[account].use for known in self._pods.values() if not known.serves and account in known.entries
        )
        return sum(away, self._over.get(account, Use()))

    def carry(self, account: str, use: Use) -> None:
        """Take what an operator before this one knew of such pods."""
        self._over.setdefault(account, use)

    def forget(self, account: str) -> None:
        """Forget a program that has ended."""
        self._over.pop(account, None)
        for known in self._pods.values():
            known.entries.pop(account, None)

    def drop(self, pod: str) -> None:
        """Forget a pod that is gone, if no program used it."""
        if not self._pods[pod].entries:
            del self._pods[pod]

    def grant(
        self, pod: str, program: Program, peers: Iterable[Program], places: int, left: Quota | None, until: str
    ) -> Grant:
        """Return what the pod may let the program use, and count it as granted.

        Args:
            pod: the pod, which has told what it has.
            program: the program.
            peers: programs of its namespace, itself among them.
            places: pods on which these may run, each counted once for each of them.
            left: what the namespace's quotas leave beside everything that is used or granted; None without a quota.
            until: when quotas are renewed, RFC 3339, or empty.
        """
        entries = self._pods[pod].entries
        entry = entries.setdefault(program.account, _Entry(program.prices, program.currency, granted=_NOTHING))
        accounts = [peer.account for peer in peers]
        others_want = entry.wanted is None and any(
            other.wanted is not None for account in accounts for other in self._entries(account)
        )
        own, all_granted = entry.outstanding, sum((self.outstanding(account) for account in accounts), Use())
        # What is there is halved from time to time, so that whoever comes next finds some.
        share = 0 if others_want else Decimal(1) / (2 * max(1, places))
        wanted = entry.wanted or Used()
        shots, most_shots = _amounts(
            *(None if left is None or left.shots is None else Decimal(left.shots), own.shots, all_granted.shots),
            *(wanted.shots, share, 0),
        )
        seconds, most_seconds = _amounts(
            *(None if left is None or left.seconds is None else Decimal(left.seconds), own.seconds),
            *(all_granted.seconds, 0, share, 0 if others_want else _LEAST_SECONDS),
        )
        # Of another currency nothing is left; what costs nothing may still run.
        money = None
        if left is not None and left.cost is not None:
            money = left.cost.amount if left.cost.currency == program.currency else Decimal(0)
        if program.budget is not None:
            rest = program.budget - self.used(program.account).cost - self.outstanding(program.account).cost
            money = rest if money is None else min(money, rest)
        cost, most_cost = _amounts(
            *(money, own.cost, all_granted.cost if program.budget is None else self.outstanding(program.account).cost),
            *(program.prices.of(wanted), share, 0 if others_want else program.prices.second),
        )
        use = entry.use
        now = Bound(_plus(use.shots, shots), _float(use.seconds, seconds), _exact(use.cost, cost))
        most = Bound(_plus(use.shots, most_shots), _float(use.seconds, most_seconds), _exact(use.cost, most_cost))
        entry.granted = _higher(entry.granted, now)
        return Grant(now, most, program.prices, program.currency, until)

    def _entries(self, account: str) -> list[_Entry]:
        return [known.entries[account] for known in self._pods.values() if account in known.entries]


def _amounts(
    left: Decimal | None,
    own: Decimal | float,
    granted: Decimal | float,
    wanted: Decimal | float,
    share: Decimal | float,
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
    pool = max(Decimal(0), left + Decimal(own))
    asked = Decimal(wanted) if wanted <= pool else Decimal(0)
    return max(asked, pool * Decimal(share), min(pool, Decimal(least))), max(Decimal(0), left + Decimal(granted))


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
