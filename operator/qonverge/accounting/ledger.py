"""What namespaces use of their quotas: reserved while a job is under way, counted when it has ended.

A job is counted once, also when the operator restarts: the quota's status says until when it has counted, and names the
jobs of that last second. Where the operator is killed between counting a job and writing its end, the job may be
counted twice, never less than once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import reduce

from qonverge.accounting.conversion import amounts_of, limits_of, usage_of
from qonverge.amounts import Amounts, Limits, Quota
from qonverge.api.conditions import Verdict, seconds, set_conditions, timestamp
from qonverge.api.placement import seconds_of
from qonverge.api.quota import QuantumQuota, QuantumQuotaStatus

_NOTHING = Amounts()


@dataclass(slots=True)
class _Account:
    """What was counted of one quota in its period."""

    start: float
    """When the period began, Unix seconds."""
    used: Amounts = field(default_factory=Amounts)
    """In all currencies, so that a limit that is changed to another one finds what was paid in that."""
    until: float = 0.0
    """Jobs that ended before this were counted by an operator before this one, and so were those in ``known``."""
    known: frozenset[str] = frozenset()

    def count(self, uid: str, use: Amounts, ended: float) -> None:
        """Count a job that is new here, if it ended in this period and was not counted before."""
        if ended >= max(self.start, self.until) and uid not in self.known:
            self.used += use


class Ledger:
    """All namespaces' quotas and what is used of them."""

    def __init__(self) -> None:
        """Start with no quota and no job."""
        self._quotas: dict[str, dict[str, QuantumQuota]] = {}
        self._accounts: dict[str, _Account] = {}
        # A job that waits again has here what its attempts used, and does not count as one that runs.
        self._reserved: dict[str, dict[str, Amounts]] = {}
        self._ended: dict[str, dict[str, tuple[Amounts, float]]] = {}

    def see(self, quota: QuantumQuota) -> None:
        """Take a quota, new or changed."""
        metadata = quota.metadata
        self._quotas.setdefault(metadata.namespace, {})[metadata.name] = quota

    def unsee(self, namespace: str, name: str) -> None:
        """Forget a quota that is gone."""
        self._quotas.get(namespace, {}).pop(name, None)
        self._accounts.pop(f"{namespace}/{name}", None)

    def reserve(self, uid: str, namespace: str, most: Amounts) -> None:
        """Set aside what a job may use that is under way, all attempts together."""
        self._reserved.setdefault(namespace, {})[uid] = replace(most, jobs=1)

    def release(self, uid: str, namespace: str, used: Amounts = _NOTHING) -> None:
        """Take back what was set aside for a job, but for what its attempts used already if it waits again."""
        if used:
            self._reserved.setdefault(namespace, {})[uid] = replace(used, jobs=0)
        else:
            self._reserved.get(namespace, {}).pop(uid, None)

    def counted(self, uid: str, namespace: str) -> bool:
        """Return whether the job was counted as one that has ended."""
        return uid in self._ended.get(namespace, {})

    def settle(self, uid: str, namespace: str, use: Amounts, ended: float) -> None:
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
        """Record that an ended job is deleted: what it used stays counted."""
        self._ended.get(namespace, {}).pop(uid, None)

    def weight(self, namespace: str) -> float:
        """Return the namespace's weight beside others."""
        return float(max((quota.spec.weight for quota in self._of(namespace)), default=1))

    def remaining(self, namespace: str, now: float) -> Quota | None:
        """Return what the namespace's jobs may still use, as placement sees it; None where it has no quota."""
        quotas = self._of(namespace)
        if not quotas:
            return None
        left = reduce(Limits.tightest, (self._remaining(quota, now) for quota in quotas))
        renews_at = min(self._end(quota, now) for quota in quotas)
        return Quota(left.shots, left.seconds, left.cost, left.jobs, renews_at)

    def in_use(self, quota: QuantumQuota, now: float) -> Amounts:
        """Return what counts against a quota now: what was used in its period, and what is set aside."""
        return self._account(quota, now).used + self._all_reserved(quota.metadata.namespace)

    def status(self, quota: QuantumQuota, now: float) -> QuantumQuotaStatus:
        """Return the quota's status."""
        account, before, namespace = self._account(quota, now), quota.status, quota.metadata.namespace
        reserved, spent = self._all_reserved(namespace), self._remaining(quota, now).spent
        end = self._end(quota, now)
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
            used=usage_of(account.used),
            reserved=usage_of(reserved),
            running_jobs=reserved.jobs,
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
        account = self._accounts[key] = _Account(start)
        if known is None and status.used is not None and status.period_start == timestamp(start):
            # What an operator before this one counted.
            limit = quota.spec.limits.cost
            account.used = amounts_of(status.used, limit.currency if limit else "USD")
            account.until = seconds(status.counted_until) if status.counted_until else 0.0
            account.known = frozenset(status.counted or ())
        for uid, (use, ended) in self._ended.get(metadata.namespace, {}).items():
            account.count(uid, use, ended)
        return account

    def _end(self, quota: QuantumQuota, now: float) -> float:
        return self._account(quota, now).start + seconds_of(quota.spec.period)

    def _all_reserved(self, namespace: str) -> Amounts:
        return sum(self._reserved.get(namespace, {}).values(), Amounts())

    def _remaining(self, quota: QuantumQuota, now: float) -> Limits:
        return limits_of(quota.spec.limits) - self.in_use(quota, now)
