"""Money: a decimal number, never a float, and its currency."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from qonverge.api.base import SpecModel

Amount = Annotated[str, Field(pattern=r"^[0-9]{1,18}(\.[0-9]{1,12})?$", max_length=32)]
"""A decimal number of at least 0, as a text."""
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
"""ISO 4217 code, such as USD."""


class CostLimit(SpecModel):
    """An amount of money."""

    amount: Amount
    """How much, as a decimal number in quotes."""
    currency: Currency = "USD"
    """ISO 4217 code."""

    @property
    def value(self) -> Decimal:
        """The amount as a number."""
        return Decimal(self.amount)
