"""What a backend that stands for a device elsewhere says of the device, and of its tasks there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from decimal import Decimal
from typing import Any, Self

from qonverge.amounts import Amounts, Money, Prices, TaskLimits
from qonverge.documents.excerpt import excerpt
from qonverge.wire.fields import Fields

ENDED_STATES = frozenset(("Completed", "Failed", "Cancelled"))
"""Of tasks, here and elsewhere."""
# Of TaskLimits, in its order: the least that each may be, and whether there may be none.
_LIMITS = {"shots": (1, True), "programs": (1, False), "total shots": (1, True), "least total shots": (0, False)}


@dataclass(frozen=True, slots=True)
class VendorTask:
    """A task of a cloud, or of another site, that belongs to a task here."""

    id: str
    """The vendor's own."""
    state: str
    """Queued, Running, Completed, Failed or Cancelled."""
    link: str = ""
    """Where a person sees it in the vendor's console; empty where there is no such page."""
    message: str = ""
    """The vendor's words."""
    queue_position: int | None = None
    expected_start: float | None = None
    """Unix seconds."""
    billed: Money | None = None
    """What it cost; None where the vendor does not tell, or not yet."""
    run_seconds: float | None = None
    """How long the device was busy with it."""
    key: str = ""
    """Under which it was sent, see ``Task.known``; empty where it has none."""
    expected_seconds: float | None = None
    """How long it will be busy with it, by the vendor's own estimate."""
    seal: str = ""
    """The server's word for ``key`` and ``id``, see ``Task.seals``; empty where the caller needs none."""

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        billed = None if self.billed is None else [str(self.billed.amount), self.billed.currency]
        return {**{name: getattr(self, name) for name in self.__slots__}, "billed": billed}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` gave; fields of a newer server are passed over."""
        known = {name: data[name] for name in cls.__slots__ if name in data}
        billed = known.get("billed")
        return cls(**{**known, "billed": None if billed is None else Money(Decimal(billed[0]), billed[1])})


def charged_tasks(planned: int, tasks: Sequence[VendorTask]) -> int:
    """Return how many of a vendor's tasks are paid for: more than planned where one gave a part of its results only."""
    return max(planned, sum(task.state == "Completed" for task in tasks))


def corrected(used: Amounts, tasks: Sequence[VendorTask], prices: Prices) -> Amounts:
    """Return what was used, with what the vendor billed in place of what the prices say.

    While some tasks' bills are not known, the cost is no less than by the prices. What is billed in another currency
    than that of the prices changes nothing: such prices are the site's own, and limits are kept by them.

    Args:
        used: with its cost by the backend's prices.
        tasks: what the task was elsewhere.
        prices: of the backend.
    """
    bills = tuple(task.billed for task in tasks if task.billed is not None)
    if not bills or (prices and any(bill.currency != prices.currency for bill in bills)):
        return used
    billed = replace(used, costs=bills)
    return billed if len(bills) == len(tasks) else used + billed.beyond(used)


@dataclass(frozen=True, slots=True)
class DeviceState:
    """How a device elsewhere is."""

    online: bool
    reason: str = ""
    """Why it runs nothing now; empty where it does."""
    available_at: float | None = None
    """When it does again, Unix seconds."""
    queue_length: int | None = None
    """Tasks that wait there, of everybody; None where that is not known."""
    wait_seconds: float | None = None
    """How long a new task waits there, as the vendor tells; None where it does not."""
    prices: Prices | None = None
    """As the vendor publishes them; None where it does not."""
    round_trip_seconds: float | None = None
    """Time of a request there and its answer, as last measured; None where it is not known."""
    ideal: bool = False
    """Whether it is known to make no errors, as a simulator that imitates no device; then it has no calibration."""
    exact: bool = False
    """Whether it gives expectation values without statistical error."""
    states: bool = False
    """Whether it gives final states."""
    limits: TaskLimits | None = None
    """What one task there may have: what asks for more becomes several. None: that is not known."""

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        prices = self.prices
        told = None if prices is None else [str(prices.task), str(prices.shot), str(prices.second), prices.currency]
        limits = None if self.limits is None else list(astuple(self.limits))
        return {**{name: getattr(self, name) for name in self.__slots__}, "prices": told, "limits": limits}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Return what ``to_dict`` gave; fields of a newer server are passed over.

        Raises:
            ValueError: it is something else: the message names the field.
        """
        fields = Fields.of("device", data)
        limits, prices = fields.data.get("limits"), fields.data.get("prices")
        return cls(
            online=fields.flag("online"),
            reason=fields.text("reason", ""),
            available_at=fields.amount_or_none("available_at"),
            queue_length=fields.count_or_none("queue_length"),
            wait_seconds=fields.amount_or_none("wait_seconds"),
            prices=None if prices is None else _prices(prices),
            round_trip_seconds=fields.amount_or_none("round_trip_seconds"),
            ideal=fields.flag("ideal", default=False),
            exact=fields.flag("exact", default=False),
            states=fields.flag("states", default=False),
            limits=None if limits is None else limits_from(limits),
        )


def _prices(told: Any) -> Prices:
    try:
        task, shot, second, currency = told
        prices = Prices(Decimal(task), Decimal(shot), Decimal(second), str(currency))
    except (TypeError, ValueError, ArithmeticError):
        raise ValueError(f"prices is {excerpt(told)}") from None
    if not all(price.is_finite() and price >= 0 for price in (prices.task, prices.shot, prices.second)):
        raise ValueError(f"prices is {excerpt(told)}")
    return prices


def limits_from(told: Any) -> TaskLimits:
    """Return what one task of a device may have, as it travels: a list of the fields.

    Raises:
        ValueError: it is something else: the message says what is taken.
    """
    if not isinstance(told, list) or len(told) != len(_LIMITS):
        raise ValueError(f"limits is {excerpt(told)}; give {', '.join(_LIMITS)}, or leave it out")
    for value, (name, (least, optional)) in zip(told, _LIMITS.items(), strict=True):
        if not (optional if value is None else type(value) is int and value >= least):
            raise ValueError(f"limits has {excerpt(value)} for {name}; give whole numbers from {least} on")
    return TaskLimits(*told)


def limits_of(device: DeviceState | None) -> TaskLimits:
    """Return what one task of a device may have: anything where there is no device, or that is not known."""
    return TaskLimits() if device is None or device.limits is None else device.limits


@dataclass(frozen=True, slots=True)
class SpoolState:
    """What a server has on disk, and how much that may be."""

    tasks: int
    """Tasks that have not ended."""
    ends: int
    """Results, and reasons for having none, that wait for their callers."""
    nbytes: int
    most_tasks: int
    """Of tasks and ends together: with more, further tasks are refused."""
    most_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Return what ``to_dict`` gave; fields of a newer server are passed over.

        Raises:
            ValueError: it is something else: the message names the field.
        """
        fields = Fields.of("spool", data)
        return cls(**{name: fields.count(name) for name in cls.__slots__})
