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
_WIDE = Context(prec=60)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of a currency."""

    amount: Decimal
    currency: str = "USD"
    """ISO 4217 code; empty where the prices beside it name it, as in grants: pods compare numbers only."""

    def __str__(self) -> str:
        """Return the amount with its currency, such as ``1.50 USD``."""
        return f"{self.amount:.2f} {self.currency}"

    def pays(self, currency: str) -> bool:
        """Return whether it pays prices in this currency."""
        return self.currency in ("", currency)

    def amount_in(self, currency: str) -> Decimal:
        """Return what it pays of prices in this currency: nothing where it is of another one."""
        return self.amount if self.pays(currency) else Decimal(0)


@dataclass(frozen=True, slots=True)
class Amounts:
    """What is used, reserved or asked for. Differences may be negative."""

    shots: int = 0
    """Runs of circuits, of all tasks together."""
    seconds: float = 0.0
    """Time that circuits run."""
    cost: Decimal = Decimal(0)
    currency: str = "USD"
    """Of the cost."""
    tasks: int = 0
    """As providers count them: one for each parameter set and measured basis of a circuit. They are part of the cost,
    and no limit is on them."""
    jobs: int = 0
    """Jobs that are placed or running."""

    def __add__(self, other: Amounts) -> Amounts:
        """Return both together; the caller makes sure that they are paid in one currency."""
        return self._combined(other, operator.add)

    def __sub__(self, other: Amounts) -> Amounts:
        """Return the difference; the caller makes sure that both are paid in one currency."""
        return self._combined(other, operator.sub)

    def __bool__(self) -> bool:
        """Return whether there is anything."""
        return any((self.shots, self.seconds, self.cost, self.tasks, self.jobs))

    def beyond(self, known: Amounts) -> Amounts:
        """Return what is there beyond what is known already, each amount at least 0."""
        return self._combined(known, _rest)

    def paid_in(self, currency: str) -> Amounts:
        """Return what counts where money is of this currency: cost of another one does not."""
        return self if currency == self.currency else replace(self, cost=Decimal(0), currency=currency)

    def _combined(self, other: Amounts, combine: Callable[[Any, Any], Any]) -> Amounts:
        return Amounts(
            combine(self.shots, other.shots),
            combine(self.seconds, other.seconds),
            combine(self.cost, other.cost),
            other.currency if other.cost else self.currency,
            combine(self.tasks, other.tasks),
            combine(self.jobs, other.jobs),
        )


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
        if cost is not None and cost.pays(used.currency):
            cost = replace(cost, amount=cost.amount - used.cost)
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
        cost = Decimal(0) if left.cost is None else left.cost.amount_in(used.currency)
        amounts = Amounts(left.shots or 0, left.seconds or 0.0, cost, used.currency, jobs=left.jobs or 0)
        return amounts.beyond(Amounts(currency=used.currency))

    def exceeded_by(self, more: Amounts) -> tuple[str, ...]:
        """Return the names of the limits that leave less than this.

        An amount of 0 exceeds no limit, not even one below 0.
        """
        cost = None if self.cost is None else self.cost.amount_in(more.currency)
        pairs: tuple[tuple[str, Any, Any], ...] = (
            ("shots", self.shots, more.shots),
            ("seconds", self.seconds, more.seconds),
            ("cost", cost, more.cost),
            ("jobs", self.jobs, more.jobs),
        )
        return tuple([name for name, limit, some in pairs if limit is not None and 0 != some > limit])

    def tightest(self, other: Limits) -> Self:
        """Return the limits within both.

        Costs in two currencies leave nothing for what is paid: either limit refuses money of the other's currency.
        """
        return self._chosen(other, _less, _less_money)

    def widest(self, other: Limits) -> Self:
        """Return the limits that let through what either does; costs are in one currency."""
        return self._chosen(other, _more, _more_money)

    def _chosen(
        self,
        other: Limits,
        number: Callable[[Any, Any], Any],
        money: Callable[[Money | None, Money | None], Money | None],
    ) -> Self:
        return replace(
            self,
            shots=number(self.shots, other.shots),
            seconds=number(self.seconds, other.seconds),
            cost=money(self.cost, other.cost),
            jobs=number(self.jobs, other.jobs),
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

    def of(self, amounts: Amounts, rounding: str = ROUND_HALF_EVEN) -> Decimal:
        """Return the cost of tasks, shots and seconds, to a millionth as providers bill."""
        # The digits that a float is written with, not its binary expansion.
        seconds = Decimal(repr(amounts.seconds))
        cost = amounts.tasks * self.task + amounts.shots * self.shot + seconds * self.second
        return cost.quantize(_FINEST, rounding, context=_WIDE)

    def charge(self, amounts: Amounts) -> Amounts:
        """Return the shots and seconds with their cost, which the tasks are a part of."""
        return Amounts(amounts.shots, amounts.seconds, self.of(amounts), self.currency)


def _rest(amount: Any, known: Any) -> Any:
    return max(type(amount)(), amount - known)


def _less(one: Any, other: Any) -> Any:
    known = [limit for limit in (one, other) if limit is not None]
    return min(known, default=None)


def _more(one: Any, other: Any) -> Any:
    return None if one is None or other is None else max(one, other)


def _less_money(one: Money | None, other: Money | None) -> Money | None:
    if one is None or other is None:
        return one or other
    if one.currency != other.currency:
        return Money(Decimal(0), min(one.currency, other.currency))
    return min(one, other, key=lambda money: money.amount)


def _more_money(one: Money | None, other: Money | None) -> Money | None:
    if one is None or other is None:
        return None
    if one.currency != other.currency:
        raise ValueError(f"limits of {one} and {other} have no maximum: they are in two currencies")
    return max(one, other, key=lambda money: money.amount)
