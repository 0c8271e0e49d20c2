"""Which calls go wrong, and how. Pure: the same seed and the same order of calls give the same faults."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from qonverge_dev_cloud.values import Value


class Selection(Value):
    """Which of the calls, or tasks, that come one after the other. Nothing set: all of them."""

    calls: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Their numbers, from 1."""
    every: int | None = Field(None, ge=1)
    """Each so manieth."""
    probability: float | None = Field(None, ge=0, le=1)

    @model_validator(mode="after")
    def _one(self) -> Selection:
        if sum((bool(self.calls), self.every is not None, self.probability is not None)) > 1:
            raise ValueError("set at most one of calls, every, probability")
        return self

    def selects(self, number: int, draw: str) -> bool:
        """Say whether this one is meant.

        Args:
            number: counted from 1.
            draw: what the draw of a probability depends on, beside the number.
        """
        if self.calls:
            return number in self.calls
        if self.every is not None:
            return number % self.every == 0
        if self.probability is not None:
            return random.Random(f"{draw}/{number}").random() < self.probability  # noqa: S311 - nothing secret
        return True


class Fault(Selection):
    """What goes wrong with some calls of an operation."""

    cloud: str = "*"
    """The cloud, such as ``braket``; * for all."""
    operation: str = "*"
    """The operation by the vendor's name, such as ``CreateQuantumTask``; * for all."""
    kind: Literal["status", "slow", "lostReply"]
    """status: an error in the vendor's form. lostReply: the connection ends without a reply. slow: the reply waits."""
    when: Literal["before", "after"] = "before"
    """Whether the call has had its effect by then."""
    status: int = Field(500, ge=400, le=599)
    """HTTP status of kind status."""
    seconds: float = Field(0, ge=0)
    """Seconds of this machine's time, of kind slow."""

    @model_validator(mode="after")
    def _fields_of_kind(self) -> Fault:
        for field, kind in (("status", "status"), ("seconds", "slow")):
            if field in self.model_fields_set and self.kind != kind:
                raise ValueError(f"{field} has a meaning only with kind: {kind}, not {self.kind}")
        return self


class FaultPlan:
    """The faults of a run, and how many calls each has seen. Safe for threads."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._seed = seed
        # Calls come on the loop of the clouds, and other faults from programs and tests.
        self._lock = threading.Lock()
        self.replace(faults)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Those that are set."""
        return self._faults

    def replace(self, faults: Sequence[Fault]) -> None:
        """Set others, which count calls from here on."""
        with self._lock:
            self._faults = tuple(faults)
            self._seen = [0] * len(self._faults)

    def of(self, cloud: str, operation: str) -> tuple[Fault, ...]:
        """Count a call, and return what goes wrong with it."""
        found = []
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.cloud in ("*", cloud) and fault.operation in ("*", operation):
                    self._seen[index] += 1
                    if fault.selects(self._seen[index], f"{self._seed}/fault/{index}"):
                        found.append(fault)
        return tuple(found)
