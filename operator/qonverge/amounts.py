"""Shots, seconds and cost: what is used, its prices, and the limits on it.

Quotas, budgets, grants and placement use only these types for it. The module is below the task protocol, which carries
them, and so not in ``accounting``, which reads that protocol.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Self

# Providers bill in millionths at the finest.
_FINEST = Decimal("0.000001")
# Prices are given with 12 decimals at most.
_FINEST_PRICE = Decimal("0.000000000001")
_WIDE = Context(prec=60)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of a currency."""

    amount: Decimal
    currency: str = "USD"
    """ISO 4217 code."""

    def __str__(self) -> str:
        """Return the amount with its currency, such as ``1.50 USD``."""
        return f"{self.amount:.2f} {self.currency}"

    def amount_in(self, currency: str) -> Decimal:
        """Return what it pays of prices in this currency: nothing where it is of another one."""
        return self.amount if self.currency == currency else Decimal(0)


@dataclass(frozen=True, slots=True)
class TaskLimits:
    """What one task of a device may have."""

    shots: int | None = None
    """Of one program; None: any number."""
    programs: int = 1
    """Programs that it may have, as many shots each; a task of several costs the price of one task once."""
    total_shots: int | None = None
    """Of several programs together, at most; None: any number."""
    least_total_shots: int = 1
    """Of several programs together, at least; 0: those share a task too whose shots the device chooses."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """What is used, reserved or asked for. Differences may be negative."""

    shots: int = 0
    """Runs of circuits, of all tasks together."""
    seconds: float = 0.0
    """Time that circuits run."""
    costs: tuple[Money, ...] = ()
    """Money by currency: each currency once, in the order of their codes, none of 0. What is given in another form is
    brought into this one. No sum mixes two currencies, and none is lost."""
    tasks: int = 0
    """As providers count them: one for each parameter set and measured basis of a circuit, more where the device takes
    fewer shots at once, and fewer where a task may have several. They are part of the cost, and no limit is on them."""
    jobs: int = 0
    """Jobs that are placed or running."""
    joules: float | None = None
    """Energy of these seconds; None: not known of all of them. No limit is on it."""

    def __post_init__(self) -> None:
        """Bring the costs into their one form."""
        if len(self.costs) > 1 or (self.costs and not self.costs[0].amount):
            sums: dict[str, Decimal] = {}
            for money in self.costs:
                sums[money.currency] = sums.get(money.currency, Decimal(0)) + money.amount
            costs = tuple(Money(amount, currency) for currency, amount in sorted(sums.items()) if amount)
            object.__setattr__(self, "costs", costs)

    def __add__(self, other: Amounts) -> Amounts:
        """Return both together."""
        return self._combined(other, operator.add)

    def __sub__(self, other: Amounts) -> Amounts:
        """Return the difference."""
        return self._combined(other, operator.sub)

    def __bool__(self) -> bool:
        """Return whether there is anything."""
        return any((self.shots, self.seconds, self.costs, self.tasks, self.jobs))

    def cost_in(self, currency: str) -> Decimal:
        """Return how much money of this currency there is."""
        return next((money.amount for money in self.costs if money.currency == currency), Decimal(0))

    def beyond(self, known: Amounts) -> Amounts:
        """Return what is there beyond what is known already, each amount at least 0."""
        return self._combined(known, _rest)

    def _combined(self, other: Amounts, combine: Callable[[Any, Any], Any]) -> Amounts:
        currencies = {money.currency for money in (*self.costs, *other.costs)}
        return Amounts(
            combine(self.shots, other.shots),
            combine(self.seconds, other.seconds),
            tuple(Money(combine(self.cost_in(each), other.cost_in(each)), each) for each in currencies),
            combine(self.tasks, other.tasks),
            combine(self.jobs, other.jobs),
            self._joules_with(other, combine),
        )

    def _joules_with(self, other: Amounts, combine: Callable[[Any, Any], Any]) -> float | None:
        if all(each.joules is None for each in (self, other)):
            return None
        if any(each.joules is None and each.seconds for each in (self, other)):
            return None
        return float(combine(self.joules or 0.0, other.joules or 0.0))

    def at_power(self, watts: float | None) -> Amounts:
        """Return the same with the energy that the seconds take at a power; None: not known."""
        return replace(self, joules=None if watts is None else watts * self.seconds)


@dataclass(frozen=True, slots=True)
class Limits:
    """Most of each amount, or what is left of it; None: no limit. What is left may be negative."""

    shots: int | None = None
    seconds: float | None = None
    """Of several workers together."""
    cost: Money | None = None
    jobs: int | None = None
    """At the same time."""

    @property
    def limits_use(self) -> bool:
        """Whether there is a limit on what jobs use, and not only on how many there are at the same time."""
        return any(limit is not None for limit in (self.shots, self.seconds, self.cost))

    @property
    def spent(self) -> tuple[str, ...]:
        """Names of the limits that leave nothing to use. That of jobs is not among them: jobs end and make room."""
        cost = None if self.cost is None else self.cost.amount
        limits = {"shots": self.shots, "seconds": self.seconds, "cost": cost}
        return tuple(name for name, limit in limits.items() if limit is not None and limit <= 0)

    def __sub__(self, used: Amounts) -> Self:
        """Return what is left after use; cost in another currency is not counted."""
        cost = self.cost
        if cost is not None:
            cost = replace(cost, amount=cost.amount - used.cost_in(cost.currency))
        return replace(
            self,
            shots=None if self.shots is None else self.shots - used.shots,
            seconds=None if self.seconds is None else self.seconds - used.seconds,
            cost=cost,
            jobs=None if self.jobs is None else self.jobs - used.jobs,
        )

    def beyond(self, used: Amounts) -> Amounts:
        """Return what they let through beyond what is used, each amount at least 0, and 0 where there is no limit."""
        left = self - used
        costs = () if left.cost is None else (left.cost,)
        return Amounts(left.shots or 0, left.seconds or 0.0, costs, jobs=left.jobs or 0).beyond(Amounts())

    def exceeded_by(self, more: Amounts) -> tuple[str, ...]:
        """Return the names of the limits that leave less than this.

        An amount of 0 exceeds no limit, not even one below 0. Any amount of a currency exceeds a limit in another one.
        """
        pairs: tuple[tuple[str, Any, Any], ...] = (
            ("shots", self.shots, more.shots),
            ("seconds", self.seconds, more.seconds),
            *(("cost", self.cost and self.cost.amount_in(money.currency), money.amount) for money in more.costs),
            ("jobs", self.jobs, more.jobs),
        )
        return tuple({name: None for name, limit, some in pairs if limit is not None and 0 != some > limit})

    def tightest(self, other: Limits) -> Self:
        """Return the limits within both.

        Costs in two currencies leave nothing for what is paid: either limit refuses money of the other's currency.
        """
        return replace(
            self,
            shots=_less(self.shots, other.shots),
            seconds=_less(self.seconds, other.seconds),
            cost=_less_money(self.cost, other.cost),
            jobs=_less(self.jobs, other.jobs),
        )


@dataclass(frozen=True, slots=True)
class Quota(Limits):
    """What a namespace may still use in this period."""

    renews_at: float | None = None
    """Start of the next period, Unix seconds."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What using a backend costs."""

    task: Decimal = Decimal(0)
    shot: Decimal = Decimal(0)
    second: Decimal = Decimal(0)
    currency: str = "USD"

    def __bool__(self) -> bool:
        """Return whether anything costs something."""
        return any((self.task, self.shot, self.second))

    def of(self, amounts: Amounts, rounding: str = ROUND_HALF_EVEN) -> Decimal:
        """Return the cost of tasks, shots and seconds, to a millionth as providers bill."""
        return self._exact(amounts).quantize(_FINEST, rounding, context=_WIDE)

    def bill(self, amounts: Amounts) -> Amounts:
        """Return the shots and seconds with their cost, as providers bill it; the tasks are part of the cost."""
        return Amounts(amounts.shots, amounts.seconds, (Money(self.of(amounts), self.currency),))

    def charge(self, amounts: Amounts) -> Amounts:
        """Return the amounts with their cost, as fine as prices are: of many short tasks nothing is lost."""
        cost = self._exact(amounts).quantize(_FINEST_PRICE, context=_WIDE)
        return replace(amounts, costs=(Money(cost, self.currency),))

    def _exact(self, amounts: Amounts) -> Decimal:
        # The digits that a float is written with, not its binary expansion.
        seconds = _WIDE.multiply(Decimal(repr(amounts.seconds)), self.second)
        return amounts.tasks * self.task + amounts.shots * self.shot + seconds


def _rest(amount: Any, known: Any) -> Any:
    return max(type(amount)(), amount - known)


def _less(one: Any, other: Any) -> Any:
    known = [limit for limit in (one, other) if limit is not None]
    return min(known, default=None)


def _less_money(one: Money | None, other: Money | None) -> Money | None:
    if one is None or other is None:
        return one or other
    if one.currency != other.currency:
        return Money(Decimal(0), min(one.currency, other.currency))
    return min(one, other, key=lambda money: money.amount)


def format_bytes(size: int) -> str:
    """Return the size in the largest binary unit that keeps it at 1 or more, such as ``2 GiB``."""
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    index = max(0, min(len(units) - 1, (size.bit_length() - 1) // 10))
    scaled = size / (1 << (10 * index)) if size.bit_length() < 1000 else float("inf")
    if scaled >= 1e6:
        return f"2^{size.bit_length() - 1} B"
    return f"{scaled:.3g} {units[index]}" if scaled < 1000 else f"{scaled:.0f} {units[index]}"
