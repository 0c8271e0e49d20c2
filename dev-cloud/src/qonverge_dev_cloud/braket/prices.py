"""What a task costs."""

from __future__ import annotations

from dataclasses import dataclass

from qonverge_dev_cloud.braket.catalogue import Device
from qonverge_dev_cloud.scenario import Price

# A simulator charges at least so many seconds of each task.
_LEAST_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Tariff:
    """US dollars."""

    per_task: float
    per_shot: float
    per_minute: float

    @classmethod
    def of(cls, device: Device, price: Price) -> Tariff:
        """Return what the scenario sets, and what the vendor publishes for the rest."""
        return cls(
            device.per_task if price.per_task is None else price.per_task,
            device.per_shot if price.per_shot is None else price.per_shot,
            device.per_minute if price.per_minute is None else price.per_minute,
        )

    def cost(self, shots: int, seconds: float) -> float:
        """Return what a task with so many shots and so many seconds of run time costs."""
        timed = max(seconds, _LEAST_SECONDS) / 60 * self.per_minute if self.per_minute else 0.0
        return round(self.per_task + shots * self.per_shot + timed, 6)
