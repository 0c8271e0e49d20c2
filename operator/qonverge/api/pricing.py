"""What a backend's tasks cost."""

from __future__ import annotations

from typing import Self

from pydantic import ConfigDict, model_validator

from qonverge.api.base import Rule, SpecModel, cel
from qonverge.api.money import Amount, Currency

_MESSAGE = "pricing: set at least one of perTask, perShot, perSecond"


class Pricing(SpecModel):
    """What a task costs: the sum of what is set."""

    model_config = ConfigDict(
        json_schema_extra=cel(Rule("has(self.perTask) || has(self.perShot) || has(self.perSecond)", _MESSAGE))
    )

    currency: Currency = "USD"
    """Currency of the amounts, by its ISO 4217 code."""
    per_task: Amount | None = None
    """For each task that the provider is sent: one for each parameter set and measured basis of a circuit, and more
    where the device takes fewer shots at once."""
    per_shot: Amount | None = None
    """For each shot."""
    per_second: Amount | None = None
    """For each second that a task runs."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.per_task is None and self.per_shot is None and self.per_second is None:
            raise ValueError(_MESSAGE)
        return self
