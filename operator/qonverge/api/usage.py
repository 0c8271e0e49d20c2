"""What was used of backends, as statuses say it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qonverge.api.base import StatusModel


class Cost(StatusModel):
    """Money of one currency."""

    amount: str
    """How much, as a decimal number."""
    currency: str
    """ISO 4217 code."""


class Usage(StatusModel):
    """What was used of backends: of a job so far with all its attempts, of a quota in its period."""

    shots: int = 0
    """Runs of circuits."""
    seconds: float = 0.0
    """Time that circuits ran."""
    cost: str = "0"
    """Money for people to read, such as `1.5 USD` or `2 EUR + 1.5 USD`; `0` where nothing was paid. Programs read
    `costs`."""
    costs: Annotated[list[Cost], Field(max_length=256)] | None = None
    """Money, one entry for each currency: by the backends' prices, or as the vendor billed it where it tells."""
    energy_joules: float | None = None
    """Energy, joules: the time that tasks ran, times the power of their backends' tasks as it was known then. Absent
    where that is not known of all of them, and of a program that had several attempts."""
    currency: str | None = None
    """Written by former versions only, whose `cost` is a number: its currency."""
