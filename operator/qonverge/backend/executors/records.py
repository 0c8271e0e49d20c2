"""What the worker pool knows of its tasks and workers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.protocol import Description, Execution
from qonverge.backend.task_parts import Merge, Piece
from qonverge.wire.child import Child


@dataclass(slots=True)
class Run:
    """A task in the pool."""

    execution: Execution
    config: EngineConfig
    """What all its parts run with: a calibration may change meanwhile."""
    merge: Merge | None = None
    left: int = 0
    """Parts that have not ended."""
    calibration: str = ""
    """Digest of the calibration that was imitated."""
    peak_bytes: int | None = None
    """Most memory that a part took in its worker, where that was measured."""
    still: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the task has ended and no worker is on it any more."""


@dataclass(frozen=True, slots=True)
class Part:
    """Work for one worker: pieces of a task, or a task that is still to be cut."""

    run: Run
    pieces: Sequence[Piece] = ()


@dataclass(slots=True)
class Slot:
    """A place for a worker process."""

    child: Child | None = None
    ended: asyncio.Task[None] | None = None
    known: set[str] = field(default_factory=set)
    config: EngineConfig | None = None
    """What the child was told to be."""
    run: Run | None = None
    """Of which task a part runs here."""
    failures: int = 0
    """How often in a row it has lost its worker, or got none."""


@dataclass(frozen=True, slots=True)
class Started:
    """A worker process that is ready, what it was told to be and what it says of itself."""

    child: Child
    config: EngineConfig
    description: Description
