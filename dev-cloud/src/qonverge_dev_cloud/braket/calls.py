"""A call of an operation, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was understood."""

    operation: str
    region: str
    members: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What an operation gives back."""

    values: dict[str, Any]
    effect: bool = False
    task: str | None = None
    """The ARN of the task that was made, or found by its token."""
