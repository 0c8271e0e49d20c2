"""The energy that a backend's tasks take."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qonverge.api.base import SpecModel


class Energy(SpecModel):
    """What a task draws, where no metric tells it."""

    task_watts: Annotated[float, Field(ge=0.001, le=1e9)]
    """Power that a task draws while it runs, watts: joules for each second of its run time. Of a device that runs one
    task at a time it is the device's own, with what cools and controls it."""
