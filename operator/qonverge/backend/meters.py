"""Keeps programs to what the operator granted, and counts what they use."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from qonverge.circuits.runs import runs
from qonverge.wire.errors import GrantPending, QuotaExceeded
from qonverge.wire.grants import Bound, Grant, Meter, Meters, Used
from qonverge.wire.messages import Observable, Pub, Task
from qonverge.wire.tokens import Caller

# Who waits for a grant asks again well within this.
_WANTED_SECONDS = 5.0
_CLOSED_SECONDS = 120.0
_NOTHING = Bound(0, 0.0)


@dataclass(slots=True)
class _Account:
    grant: Grant
    used: Used = field(default_factory=Used)
    wanted: Used | None = None
    wanted_until: float = 0.0
    under_way: int = 0
    closed_at: float | None = None
    """When the operator named it no more."""

    def is_over(self, now: float) -> bool:
        """Return whether nobody uses it any more."""
        return self.closed_at is not None and not self.under_way and now > self.closed_at + _CLOSED_SECONDS


class Accounts:
    """What is used of this server, by the accounts that tokens name."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds, only differences count."""
        self._clock = clock
        self._boot = secrets.token_hex(8)
        self._accounts: dict[str, _Account] = {}

    def charge(self, caller: Caller, task: Task) -> Used:
        """Count a task that is about to wait, and return what was counted.

        Raises:
            GrantPending: the operator will grant it, or say that nothing is left.
            QuotaExceeded: nothing is left.
        """
        if not caller.account:
            return Used()
        account = self._accounts.get(caller.account)
        if account is None:
            nothing = _NOTHING if caller.limited else Bound()
            account = self._accounts[caller.account] = _Account(Grant(now=nothing))
        needed = sum((asked(pub) for pub in task.pubs), Used())
        grant, used = account.grant, account.used
        if (amount := grant.most.exceeded(used, needed, grant.prices)) is not None:
            raise QuotaExceeded(_sentence(amount, grant, used, needed))
        if grant.now.exceeded(used, needed, grant.prices) is not None:
            account.wanted, account.wanted_until = needed, self._clock() + _WANTED_SECONDS
            raise GrantPending("the operator has not granted the job so much of this pod yet: it is asked for more")
        account.used, account.wanted = used + needed, None
        account.under_way += 1
        return needed

    def ended(self, caller: Caller, charged: Used, *, ran: float, completed: bool) -> None:
        """Take note that a task has ended, after so many seconds of running; only one with a result used shots."""
        account = self._accounts.get(caller.account)
        if account is not None:
            account.used += Used(seconds=ran) if completed else Used(seconds=ran) - charged
            account.under_way -= 1

    def exchange(self, grants: Mapping[str, Grant] | None, boot: str = "") -> Meters:
        """Take the operator's grants, which are all that there are, and tell what was used; None changes nothing.

        Grants count from a start of the server. Those that were made out for another one than ``boot`` names change
        nothing either: they would let through again what was used before this start.
        """
        now = self._clock()
        if grants is not None and boot == self._boot:
            self._take(grants, now)
        told = {
            name: Meter(own.used, own.wanted if own.wanted_until > now else None, own.grant.now, own.under_way)
            for name, own in self._accounts.items()
        }
        # A program that was ended may go on for as long as its pod is given to end.
        for name in [name for name, own in self._accounts.items() if own.is_over(now)]:
            del self._accounts[name]
        return Meters(self._boot, told)

    def _take(self, grants: Mapping[str, Grant], now: float) -> None:
        for name, grant in grants.items():
            account = self._accounts.setdefault(name, _Account(grant))
            account.grant, account.closed_at = grant, None
        for name, account in self._accounts.items():
            if name not in grants and account.closed_at is None:
                account.grant, account.closed_at = Grant(_NOTHING, _NOTHING), now


def asked(pub: Pub) -> Used:
    """Return what a pub uses, but for its time: known before it runs."""
    if pub.empty:
        return Used()
    if pub.statevector:
        return Used(pub.sets)
    if pub.pairs is None or (pub.shots is None and pub.precision is None):
        return _asked(pub, pub.observables, pub.sets)
    wanted: dict[int, set[int]] = {}
    for parameters, observable in pub.pairs.tolist():
        wanted.setdefault(parameters, set()).add(observable)
    # Most often all sets want the same.
    alike = Counter(frozenset(observables) for observables in wanted.values())
    known = range(len(pub.observables))
    each = (_asked(pub, [pub.observables[k] for k in sorted(some) if k in known], sets) for some, sets in alike.items())
    return sum(each, Used())


def _asked(pub: Pub, observables: Sequence[Observable], sets: int) -> Used:
    groups, shots = runs(observables, pub.shots, pub.precision)
    return Used(sets * groups, sets * groups * shots)


def _sentence(amount: str, grant: Grant, used: Used, needed: Used) -> str:
    most = grant.most
    if amount == "shots":
        said = f"the task asks for {needed.shots} shots and {max(0, (most.shots or 0) - used.shots)} are left"
    elif amount == "seconds":
        said = f"all {used.seconds:.3g} seconds are used"
    else:
        left = max(Decimal(0), (most.cost or Decimal(0)) - grant.prices.of(used))
        cost = grant.prices.of(needed)
        said = f"the task costs {cost.normalize():f} {grant.currency} and {left.normalize():f} are left"
    again = f"; they are renewed at {grant.until}" if grant.until else ""
    return f"{said} of what the job's quotas and budget allow{again}: ask for less, or for a larger quota"
