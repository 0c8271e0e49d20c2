"""What a job's program may use of a backend pod, and what it used. The operator grants; pods keep to it and tell.

Amounts are counted from a pod's start, so that a message that is lost, or comes twice, changes nothing. What a task
costs is known where it runs: the pod prices it when it comes, and takes what the vendor billed where that is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Self

from qonverge.amounts import Amounts, Limits, Money, Prices


@dataclass(frozen=True, slots=True)
class Grant:
    """What a job may have used of a pod since that began."""

    now: Limits = field(default_factory=Limits)
    """Until the operator grants more, which it does as soon as a task asks for it."""
    most: Limits = field(default_factory=Limits)
    """What the operator could grant at most, as of now."""
    prices: Prices = field(default_factory=Prices)
    until: str = ""
    """When more may be there, RFC 3339; empty where that is not known."""
    attempt: int = 0
    """Which attempt at the job's program it is for: those before it are over."""
    cost_is_budget: bool = False
    """Whether ``most.cost`` is what is left of the job's budget, and not of a quota."""
    shots_are_the_jobs: bool = False
    """Whether ``most.shots`` is what is left of those that the job may run, and not of a quota."""

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        return {
            "now": _list_of_limits(self.now),
            "most": _list_of_limits(self.most),
            "prices": [str(self.prices.task), str(self.prices.shot), str(self.prices.second)],
            "currency": self.prices.currency,
            "until": self.until,
            "attempt": self.attempt,
            "cost_is_budget": self.cost_is_budget,
            "shots_are_the_jobs": self.shots_are_the_jobs,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` gave."""
        task, shot, second = map(Decimal, data["prices"])
        currency = str(data["currency"])
        return cls(
            _limits(data["now"], currency),
            _limits(data["most"], currency),
            Prices(task, shot, second, currency),
            str(data["until"]),
            int(data["attempt"]),
            bool(data.get("cost_is_budget", False)),
            bool(data.get("shots_are_the_jobs", False)),
        )


@dataclass(frozen=True, slots=True)
class Meter:
    """What a pod tells of a job."""

    used: Amounts = field(default_factory=Amounts)
    """With its cost, unless ``priced`` is false."""
    wanted: Amounts | None = None
    """What a task needs that waits for a grant."""
    now: Limits = field(default_factory=Limits)
    """What is granted; nothing to a job that the operator named no more."""
    under_way: int = 0
    """Its tasks that wait or run."""
    waits: int | None = None
    """How often it sent a task while none of it was under way; None: a server of a former version does not tell."""
    priced: bool = True
    """False of what a server of a former version tells, which does not know what tasks cost."""

    def at(self, prices: Prices) -> Self:
        """Return the meter with the cost that a server of a former version does not tell, at these prices."""
        if self.priced:
            return self
        cost = None if self.now.cost is None else replace(self.now.cost, currency=prices.currency)
        return replace(self, used=prices.charge(self.used), now=replace(self.now, cost=cost), priced=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        return {
            "used": _list_of_amounts(self.used),
            "wanted": None if self.wanted is None else _list_of_amounts(self.wanted),
            "now": _list_of_limits(self.now),
            "currency": None if self.now.cost is None else self.now.cost.currency,
            "costs": [[str(money.amount), money.currency] for money in self.used.costs],
            "under_way": self.under_way,
            "waits": self.waits,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` gave."""
        wanted = None if data["wanted"] is None else _amounts(data["wanted"])
        priced = "costs" in data
        costs = tuple(Money(Decimal(amount), str(currency)) for amount, currency in data.get("costs", ()))
        now = _limits(data["now"], str(data.get("currency") or ""))
        return cls(
            replace(_amounts(data["used"]), costs=costs), wanted, now, int(data["under_way"]), data.get("waits"), priced
        )


@dataclass(frozen=True, slots=True)
class Meters:
    """What a pod tells of all jobs."""

    boot: str
    """Other amounts are told after each start of the pod's server."""
    by_account: Mapping[str, Meter]

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        return {"boot": self.boot, "meters": {name: meter.to_dict() for name, meter in self.by_account.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` gave."""
        return cls(str(data["boot"]), {name: Meter.from_dict(meter) for name, meter in data["meters"].items()})


def _list_of_amounts(amounts: Amounts) -> list[float]:
    return [amounts.tasks, amounts.shots, amounts.seconds]


def _amounts(data: Any) -> Amounts:
    tasks, shots, seconds = data
    return Amounts(int(shots), float(seconds), tasks=int(tasks))


def _list_of_limits(limits: Limits) -> list[Any]:
    return [limits.shots, limits.seconds, None if limits.cost is None else str(limits.cost.amount)]


def _limits(data: Any, currency: str) -> Limits:
    shots, seconds, cost = data
    return Limits(shots, seconds, None if cost is None else Money(Decimal(cost), currency))
