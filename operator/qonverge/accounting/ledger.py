"""What namespaces use of their quotas: reserved while a job is under way, counted when it has ended.

A job is counted once, also when the operator restarts: the quota's status says until when it has counted, and names the
jobs of that last second. Where the operator is killed between counting a job and writing its end, the job may be
counted twice, never less than once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from qonverge.api.conditions import Verdict, seconds, set_conditions, timestamp
from qonverge.api.job import Usage
from qonverge.api.placement import seconds_of
from qonverge.api.quota import QuantumQuota, QuantumQuotaStatus, QuotaUse
from qonverge.scheduling.model import Money, Quota


@dataclass(frozen=True, slots=True)
class Use:
    """What a job uses, or used."""

    shots: int = 0
    seconds: float = 0.0
    """Time that its circuits run."""
    cost: Decimal = Decimal(0)
    currency: str = "USD"

    def __add__(self, other: Use) -> Use:
        """Return both together; a job is paid in one currency."""
        return Use(
            self.shots + other.shots,
            self.seconds + other.seconds,
            self.cost + other.cost,
            other.currency if other.cost else self.currency,
        )

    def __bool__(self) -> bool:
        """Return whether anything is used."""
        return bool(self.shots or self.seconds or self.cost)

    def beyond(self, known: Use) -> Use:
        """Return what is used beyond what is known already."""
        return Use(
            max(0, self.shots - known.shots),
            max(0.0, self.seconds - known.seconds),
            max(Decimal(0), self.cost - known.cost),
            self.currency,
        )

    @classmethod
    def of(cls, usage: Usage) -> Use:
        """Return what a job's status says."""
        return cls(usage.shots, usage.seconds, Decimal(usage.cost), usage.currency)

    def shown(self) -> Usage:
        """Return the form of a job's status."""
        return Usage(shots=self.shots, seconds=round(self.seconds, 6), cost=_text(self.cost), currency=self.currency)


_NOTHING = Use()


@dataclass(slots=True)
class _Account:
    """What was counted of one quota in its period."""

    start: float
    """When the period began, Unix seconds."""
    currency: str
    shots: int = 0
    seconds: float = 0.0
    cost: Decimal = Decimal(0)
    until: float = 0.0
    """Jobs that ended before this were counted by an operator before this one, and so were those in ``known``."""
    known: frozenset[str] = frozenset()

    def count(self, uid: str, use: Use, ended: float) -> None:
        """Count a job that is new here, if it ended in this period and was not counted before."""
        if ended < max(self.start, self.until) or uid in self.known:
            return
        self.shots += use.shots
        self.seconds += use.seconds
        self.cost += use.cost if use.currency == self.currency else 0


@dataclass(frozen=True, slots=True)
class _Promised:
    """What is set aside for a job."""

    use: Use
    running: bool
    """False: it waits again, and this is what its attempts used."""


class Ledger:
    """All namespaces' quotas and what is used of them."""

    def __init__(self) -> None:
        """Start with no quota and no job."""
        self._quotas: dict[str, dict[str, QuantumQuota]] = {}
        self._accounts: dict[str, _Account] = {}
        self._reserved: dict[str, dict[str, _Promised]] = {}
        self._ended: dict[str, dict[str, tuple[Use, float]]] = {}

    def see(self, quota: QuantumQuota) -> None:
        """Take a quota, new or changed."""
        metadata = quota.metadata
        self._quotas.setdefault(metadata.namespace, {})[metadata.name] = quota

    def unsee(self, namespace: str, name: str) -> None:
        """Forget a quota that is gone."""
        self._quotas.get(namespace, {}).pop(name, None)
        self._accounts.pop(f"{namespace}/{name}", None)

    def reserve(self, uid: str, namespace: str, most: Use) -> None:
        """Set aside what a job may use that is under way, all attempts together."""
        self._reserved.setdefault(namespace, {})[uid] = _Promised(most, running=True)

    def release(self, uid: str, namespace: str, used: Use = _NOTHING) -> None:
        """Take back what was set aside for a job, but for what its attempts used already if it waits again."""
        if used:
            self._reserved.setdefault(namespace, {})[uid] = _Promised(used, running=False)
        else:
            self._reserved.get(namespace, {}).pop(uid, None)

    def counted(self, uid: str, namespace: str) -> bool:
        """Return whether the job was counted as one that has ended."""
        return uid in self._ended.get(namespace, {})

    def settle(self, uid: str, namespace: str, use: Use, ended: float) -> None:
        """Count a job that has ended, instead of what was set aside for it; ``ended`` in Unix seconds."""
        self.release(uid, namespace)
        there = self._ended.setdefault(namespace, {})
        if uid in there:
            return
        there[uid] = (use, ended)
        for name in self._quotas.get(namespace, {}):
            if (account := self._accounts.get(f"{namespace}/{name}")) is not None:
                account.count(uid, use, ended)

    def forget(self, uid: str, namespace: str) -> None:
        """Take note that an ended job is deleted: what it used stays counted."""
        self._ended.get(namespace, {}).pop(uid, None)

    def weight(self, namespace: str) -> float:
        """Return the namespace's weight beside others."""
        return float(max((quota.spec.weight for quota in self._of(namespace)), default=1))

    def remaining(self, namespace: str, now: float) -> Quota | None:
        """Return what the namespace's jobs may still use, as placement sees it; None where it has no quota."""
        quotas = [self._remaining(quota, now) for quota in self._of(namespace)]
        if not quotas:
            return None
        costs = [quota.cost for quota in quotas if quota.cost is not None]
        return Quota(
            shots=_least(quota.shots for quota in quotas),
            seconds=_least(quota.seconds for quota in quotas),
            cost=min(costs, key=lambda money: money.amount) if costs else None,
            jobs=_least(quota.jobs for quota in quotas),
            renews_at=_least(quota.renews_at for quota in quotas),
        )

    def status(self, quota: QuantumQuota, now: float) -> QuantumQuotaStatus:
        """Return the quota's status."""
        account, left = self._account(quota, now), self._remaining(quota, now)
        before = quota.status
        namespace = quota.metadata.namespace
        promised = self._reserved.get(namespace, {}).values()
        reserved = [each.use for each in promised]
        spent = [name for name, amount in _amounts(left) if amount <= 0]
        end = account.start + seconds_of(quota.spec.period)
        message = f"nothing is left of {', '.join(spent)} until {timestamp(end)}" if spent else "within its limits"
        exhausted = Verdict("True", "Exhausted", message) if spent else Verdict("False", "WithinLimits", message)
        # To the second, as the ends of jobs are written: later ones of this second are told by name.
        until = float(math.floor(now))
        return QuantumQuotaStatus(
            observed_generation=quota.metadata.generation,
            conditions=set_conditions(
                before.conditions,
                ready=Verdict("True", "InForce", "the quota is in force"),
                progress=None,
                others={"Exhausted": exhausted},
                now=now,
                generation=quota.metadata.generation,
            ),
            period_start=timestamp(account.start),
            period_end=timestamp(end),
            used=QuotaUse(shots=account.shots, seconds=round(account.seconds, 6), cost=_text(account.cost)),
            reserved=QuotaUse(
                shots=sum(use.shots for use in reserved),
                seconds=round(sum(use.seconds for use in reserved), 6),
                cost=_text(sum((use.cost for use in reserved if use.currency == account.currency), Decimal(0))),
            ),
            running_jobs=sum(each.running for each in promised),
            counted=sorted(uid for uid, (_, ended) in self._ended.get(namespace, {}).items() if ended >= until),
            counted_until=timestamp(until),
        )

    def _of(self, namespace: str) -> list[QuantumQuota]:
        return list(self._quotas.get(namespace, {}).values())

    def _account(self, quota: QuantumQuota, now: float) -> _Account:
        metadata, status, length = quota.metadata, quota.status, seconds_of(quota.spec.period)
        key, start = f"{metadata.namespace}/{metadata.name}", math.floor(now / length) * length
        known = self._accounts.get(key)
        if known is not None and known.start == start:
            return known
        limit = quota.spec.limits.cost
        account = self._accounts[key] = _Account(start, limit.currency if limit else "USD")
        if known is None and status.used is not None and status.period_start == timestamp(start):
            # What an operator before this one counted.
            account.shots, account.seconds = status.used.shots, status.used.seconds
            account.cost = Decimal(status.used.cost)
            account.until = seconds(status.counted_until) if status.counted_until else 0.0
            account.known = frozenset(status.counted or ())
        for uid, (use, ended) in self._ended.get(metadata.namespace, {}).items():
            account.count(uid, use, ended)
        return account

    def _remaining(self, quota: QuantumQuota, now: float) -> Quota:
        account, limits = self._account(quota, now), quota.spec.limits
        everything = self._reserved.get(quota.metadata.namespace, {}).values()
        reserved, running = [each.use for each in everything], sum(each.running for each in everything)
        cost = None
        if limits.cost is not None:
            promised = sum((use.cost for use in reserved if use.currency == account.currency), Decimal(0))
            cost = Money(limits.cost.value - account.cost - promised, account.currency)
        return Quota(
            shots=None if limits.shots is None else limits.shots - account.shots - sum(use.shots for use in reserved),
            seconds=None
            if limits.seconds is None
            else limits.seconds - account.seconds - sum(use.seconds for use in reserved),
            cost=cost,
            jobs=None if limits.concurrent_jobs is None else limits.concurrent_jobs - running,
            renews_at=account.start + seconds_of(quota.spec.period),
        )


def _least(values: Iterable[Any]) -> Any:
    return min((value for value in values if value is not None), default=None)


def _amounts(left: Quota) -> list[tuple[str, float | Decimal]]:
    """Return what is left of each limit that lasts for the period; jobs at the same time end."""
    amounts = [
        ("shots", left.shots),
        ("seconds", left.seconds),
        ("cost", None if left.cost is None else left.cost.amount),
    ]
    return [(name, amount) for name, amount in amounts if amount is not None]


def _text(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
