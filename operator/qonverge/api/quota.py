"""QuantumQuota: how much quantum computing a namespace may use, and its share where many want it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from qonverge.api.base import CONDITIONS_SCHEMA, Condition, ObjectMeta, SpecModel, StatusModel
from qonverge.api.money import CostLimit
from qonverge.api.placement import Duration
from qonverge.api.usage import Usage


class QuotaLimits(SpecModel):
    """Most that the namespace's jobs may use in one period; what is not named is not limited."""

    shots: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """Runs of circuits. A job counts from when it is sent to a backend, with the shots that it asks for."""
    seconds: Annotated[float, Field(ge=0)] | None = None
    """Time that circuits run on backends. A job counts with the upper bound of its forecast while it runs, and with
    what it took when it has ended."""
    cost: CostLimit | None = None
    """Money, by the backends' prices. A job counts like its seconds."""
    concurrent_jobs: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Jobs that are placed or running at the same time."""


class QuantumQuotaSpec(SpecModel):
    """What the namespace may use, and its weight beside other namespaces."""

    limits: QuotaLimits = QuotaLimits()
    """Most that the namespace's jobs may use in one period. Of several quotas in a namespace all hold."""
    period: Duration = "24h"
    """Length of a period. Periods follow each other without gaps from 1970-01-01T00:00:00Z on."""
    weight: Annotated[int, Field(ge=1, le=1000)] = 1
    """Share of the namespace where jobs of several namespaces wait: with weight 2 twice that of one with weight 1. The
    greatest weight counts where a namespace has several quotas."""


class QuantumQuotaStatus(StatusModel):
    """What the operator counted."""

    observed_generation: int | None = None
    """The `metadata.generation` that this status is about."""
    conditions: Annotated[list[Condition], Field(json_schema_extra=CONDITIONS_SCHEMA)] = []
    """Ready: the quota is in force. Exhausted: a limit leaves nothing for the rest of the period."""
    period_start: str | None = None
    """When the current period began (RFC 3339)."""
    period_end: str | None = None
    """When it ends and counting begins again."""
    used: Usage | None = None
    """What jobs used that have ended in this period, in all currencies; the limit of cost is on its own one."""
    reserved: Usage | None = None
    """What jobs may use that are under way."""
    running_jobs: int | None = None
    """Jobs that are placed or running."""
    counted: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=10_000)] | None = None
    """Uids of jobs that ended lately and are in used: after a restart the operator counts no job twice."""
    counted_until: str | None = None
    """Jobs that ended before this are in used."""


class QuantumQuota(SpecModel):
    """How much quantum computing a namespace may use in a period, and its weight beside other namespaces."""

    api_version: Literal["qonverge.io/v1alpha1"] = "qonverge.io/v1alpha1"
    kind: Literal["QuantumQuota"] = "QuantumQuota"
    metadata: ObjectMeta
    spec: QuantumQuotaSpec
    status: QuantumQuotaStatus = QuantumQuotaStatus()

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest's form: what was given, and the status."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True) | {"status": self.status.to_dict()}
