"""How many pods a simulator has, where that follows what there is to do."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from qonverge.api.base import Rule, SpecModel, cel
from qonverge.api.money import Amount, Currency
from qonverge.api.placement import Duration, seconds_of
from qonverge.api.quantity import Memory

_FREE = "budget.perReplicaHour is more than 0: what costs nothing needs no budget"
_NEEDS_MOST = "maxReplicas goes with mode: Auto, and Auto needs it"
_NOTHING_ELSE = "mode: External takes nothing else: what scales the backend has settings of its own"
_ORDER = "minReplicas is at most maxReplicas"
_ONLY_ZERO = "scaleToZeroAfter goes with minReplicas: 0"
_TARGET = "targetQueueTime is longer than 0s"
_NO_BUDGET = "budget counts pods of one size: with vertical, maxReplicas bounds those of each"
_WINDOW = "stableWindow is between 10s and 1h"
_OF_AUTO = (
    "minReplicas",
    "targetQueueTime",
    "stableWindow",
    "scaleDownAfter",
    "scaleToZeroAfter",
    "maxScaleUpRate",
    "maxScaleDownRate",
    "budget",
    "vertical",
)

Rate = Annotated[float, Field(ge=1.1, le=1000)]


class ScalingBudget(SpecModel):
    """What pods may cost."""

    model_config = ConfigDict(
        json_schema_extra=cel(Rule("!self.perReplicaHour.matches('^0+([.]0+)?$')", _FREE, ".perReplicaHour"))
    )

    currency: Currency = "USD"
    """Currency of both amounts, by its ISO 4217 code."""
    per_replica_hour: Amount
    """What a pod costs in an hour."""
    max_per_hour: Amount
    """What all pods may cost in an hour: there are as many as this pays for."""

    @model_validator(mode="after")
    def _same_rule_as_the_server(self) -> Self:
        if not Fraction(self.per_replica_hour):
            raise ValueError(_FREE)
        return self


class Vertical(SpecModel):
    """Pods with more memory, for circuits that do not fit the others."""

    max_memory: Memory
    """Most memory of a pod. There are sizes of twice the limit in template.resources, four times as much and so on, and
    this one. A circuit that does not fit the usual pods has one of the smallest size started that it fits."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Most pods of each such size."""
    scale_to_zero_after: Duration = "60s"
    """The last pod of a size goes once nothing ran there or waited for it for so long."""


class Scaling(SpecModel):
    """How many pods there are, where that follows what there is to do."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            Rule("(self.mode == 'Auto') == has(self.maxReplicas)", _NEEDS_MOST, ".maxReplicas"),
            Rule(f"self.mode == 'Auto' || !({' || '.join(f'has(self.{name})' for name in _OF_AUTO)})", _NOTHING_ELSE),
            Rule(
                "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
                _ORDER,
                ".minReplicas",
            ),
            Rule(
                "!has(self.scaleToZeroAfter) || (has(self.minReplicas) && self.minReplicas == 0)",
                _ONLY_ZERO,
                ".scaleToZeroAfter",
            ),
            Rule(
                "!has(self.targetQueueTime) || duration(self.targetQueueTime) > duration('0s')",
                _TARGET,
                ".targetQueueTime",
            ),
            Rule(
                "!has(self.stableWindow) || (duration(self.stableWindow) >= duration('10s') && "
                "duration(self.stableWindow) <= duration('1h'))",
                _WINDOW,
                ".stableWindow",
            ),
            Rule("!has(self.vertical) || !has(self.budget)", _NO_BUDGET, ".budget"),
        )
    )

    mode: Literal["Auto", "External"] = "Auto"
    """Auto: the operator decides each second, and says why in the condition ScalingActive. External: an HPA or KEDA
    changes replicas by the scale subresource, from the operator's metrics; jobs may wait for a backend that has no
    pods."""
    min_replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Fewest pods. With 0, a job that waits starts the first. Default: 1."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Most pods; needed with Auto."""
    target_queue_time: Duration | None = None
    """No task should wait longer than this for a worker. Default: 30s."""
    stable_window: Duration | None = None
    """Load is averaged over this time, between 10s and 1h; over a tenth of it where it grows fast. Default: 60s."""
    scale_down_after: Duration | None = None
    """Pods go once they were not needed for so long. Default: 30s."""
    scale_to_zero_after: Duration | None = None
    """The last pod goes once nothing ran or waited for so long; with minReplicas 0. Default: 300s."""
    max_scale_up_rate: Rate | None = None
    """A decision asks for at most this many times the pods that serve; it may always add one. Default: 10."""
    max_scale_down_rate: Rate | None = None
    """A decision leaves at least the pods that serve divided by this; it may always take one. Default: 2."""
    budget: ScalingBudget | None = None
    """What pods may cost. Default: no limit."""
    vertical: Vertical | None = None
    """Pods with more memory, for circuits that do not fit the others. Default: there are none."""

    @model_validator(mode="after")
    def _same_rules_as_the_server(self) -> Self:
        given = self.model_fields_set - {"mode", "max_replicas"}
        given = {name for name in given if getattr(self, name) is not None}
        if (self.mode == "Auto") != (self.max_replicas is not None):
            raise ValueError(_NEEDS_MOST)
        if self.mode == "External" and given:
            raise ValueError(_NOTHING_ELSE)
        if self.min_replicas is not None and self.max_replicas is not None and self.min_replicas > self.max_replicas:
            raise ValueError(_ORDER)
        if self.scale_to_zero_after is not None and self.min_replicas != 0:
            raise ValueError(_ONLY_ZERO)
        if self.target_queue_time is not None and not seconds_of(self.target_queue_time):
            raise ValueError(_TARGET)
        if self.stable_window is not None and not 10 <= seconds_of(self.stable_window) <= 3600:
            raise ValueError(_WINDOW)
        if self.vertical is not None and self.budget is not None:
            raise ValueError(_NO_BUDGET)
        return self

    @property
    def affordable_replicas(self) -> int | None:
        """The pods that the budget pays for; None where there is none."""
        if self.budget is None:
            return None
        return math.floor(Fraction(self.budget.max_per_hour) / Fraction(self.budget.per_replica_hour))
