"""What a job's program may use of a backend pod, and what it used. The operator grants; pods keep to it and tell.

Amounts are counted from a pod's start, so that a message that is lost, or comes twice, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Self

_FINEST = Decimal("0.000001")
_WIDE = Context(prec=60)


@dataclass(frozen=True, slots=True)
class Used:
    """What was used of a pod."""

    tasks: int = 0
    """As providers count them: one for each parameter set and measured basis of a circuit."""
    shots: int = 0
    """Of all tasks together."""
    seconds: float = 0.0
    """Time that tasks ran."""

    def __add__(self, other: Used) -> Used:
        """Return both together."""
        return Used(self.tasks + other.tasks, self.shots + other.shots, self.seconds + other.seconds)

    def __sub__(self, other: Used) -> Used:
        """Return the rest."""
        return Used(self.tasks - other.tasks, self.shots - other.shots, self.seconds - other.seconds)

    def to_list(self) -> list[float]:
        """Return the form that travels."""
        return [self.tasks, self.shots, self.seconds]

    @classmethod
    def from_list(cls, data: Any) -> Self:
        """Return what ``to_list`` gave."""
        tasks, shots, seconds = data
        return cls(int(tasks), int(shots), float(seconds))


@dataclass(frozen=True, slots=True)
class Prices:
    """What using a pod costs, in one currency."""

    task: Decimal = Decimal(0)
    shot: Decimal = Decimal(0)
    second: Decimal = Decimal(0)

    def of(self, used: Used) -> Decimal:
        """Return the cost, to a millionth as providers bill."""
        # The digits that a float is written with, not its binary expansion.
        cost = used.tasks * self.task + used.shots * self.shot + Decimal(repr(used.seconds)) * self.second
        return cost.quantize(_FINEST, context=_WIDE)

    def to_list(self) -> list[str]:
        """Return the form that travels."""
        return [str(self.task), str(self.shot), str(self.second)]

    @classmethod
    def from_list(cls, data: Any) -> Self:
        """Return what ``to_list`` gave."""
        return cls(*map(Decimal, data))


@dataclass(frozen=True, slots=True)
class Bound:
    """Most of each amount; None where there is no limit."""

    shots: int | None = None
    seconds: float | None = None
    cost: Decimal | None = None

    def exceeded(self, used: Used, more: Used, prices: Prices) -> str | None:
        """Return which amount is not left for so much more; how long a task will run is not known."""
        if self.shots is not None and more.shots and used.shots + more.shots > self.shots:
            return "shots"
        if self.seconds is not None and used.seconds >= self.seconds:
            return "seconds"
        if self.cost is not None:
            cost = prices.of(used)
            if cost + prices.of(more) > self.cost or (prices.second and cost >= self.cost):
                return "cost"
        return None

    def to_list(self) -> list[Any]:
        """Return the form that travels."""
        return [self.shots, self.seconds, None if self.cost is None else str(self.cost)]

    @classmethod
    def from_list(cls, data: Any) -> Self:
        """Return what ``to_list`` gave."""
        shots, seconds, cost = data
        return cls(shots, seconds, None if cost is None else Decimal(cost))


@dataclass(frozen=True, slots=True)
class Grant:
    """What a job may have used of a pod since that began."""

    now: Bound = Bound()
    """Until the operator grants more, which it does as soon as a task asks for it."""
    most: Bound = Bound()
    """What the operator could grant at most, as of now."""
    prices: Prices = Prices()
    currency: str = ""
    until: str = ""
    """When more may be there, RFC 3339; empty where that is not known."""
    attempt: int = 0
    """Which attempt at the job's program it is for: those before it are over."""

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        return {
            "now": self.now.to_list(),
            "most": self.most.to_list(),
            "prices": self.prices.to_list(),
            "currency": self.currency,
            "until": self.until,
            "attempt": self.attempt,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` gave."""
        return cls(
            Bound.from_list(data["now"]),
            Bound.from_list(data["most"]),
            Prices.from_list(data["prices"]),
            str(data["currency"]),
            str(data["until"]),
            int(data["attempt"]),
        )


@dataclass(frozen=True, slots=True)
class Meter:
    """What a pod tells of a job."""

    used: Used = Used()
    wanted: Used | None = None
    """What a task needs that waits for a grant."""
    now: Bound = Bound()
    """What is granted; nothing to a job that the operator named no more."""
    under_way: int = 0
    """Its tasks that wait or run."""

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        wanted = None if self.wanted is None else self.wanted.to_list()
        return {
            "used": self.used.to_list(),
            "wanted": wanted,
            "now": self.now.to_list(),
            "under_way": self.under_way,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` gave."""
        wanted = None if data["wanted"] is None else Used.from_list(data["wanted"])
        return cls(Used.from_list(data["used"]), wanted, Bound.from_list(data["now"]), int(data["under_way"]))


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
