"""What the embedded mode needs to know of a kind of program to run its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from qonverge.api import QuantumBackend
from qonverge.backend.tasks.engine import Engine
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.checker import Checker
from qonverge.local.outputs import LocalOutputs
from qonverge.local.placement import Placing
from qonverge.local.run import Run
from qonverge.programs.source import Program


@dataclass(frozen=True, slots=True)
class PlacedBackend:
    """A backend that a job was placed on."""

    key: str
    backend: QuantumBackend
    engine: Engine
    """Of the backend, started."""


@dataclass(frozen=True, slots=True)
class PlacedJob:
    """A job with a good program and a place."""

    run: Run
    program: Program
    checked: CheckedCircuit | None
    """The circuit that its program is, None where it is not one."""
    backends: tuple[PlacedBackend, ...]
    """Several where the ranks of its program call several, in the order of the ranks."""
    checker: Checker
    placing: Placing
    outputs: LocalOutputs
    """Where programs keep files and checkpoints."""
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    """The results of the jobs that it depends on, as JSON, by their names."""


class LocalKind(Protocol):
    """Jobs of one kind of program, without a cluster."""

    async def run(self, placed: PlacedJob) -> None:
        """Run the job until it has ended, well or not, as its status then says. Cancelled, all that runs for it ends.

        Raises:
            EngineFailed: the backend's engine is of no use any more.
        """
