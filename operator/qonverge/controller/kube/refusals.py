"""What the API server refuses of the objects that are made here, and when to try again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from qonverge.controller.kube.client import KubeError

# Without a change of the object or of what refused it, an object that is refused is refused again.
_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 60.0
# What is wrong with an object itself, and what is too large, stays so.
_LASTING = (413, 422)
# A conflict and too many requests pass, and without an answer nobody refused anything.
_PASSING = (409, 429)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An object that the API server did not take."""

    message: str
    """What was refused, with the server's words."""
    lasts: bool
    """Whether it stays refused until its owner's specification changes."""
    since: float
    """When it was first refused, Unix seconds."""
    again_at: float
    """When to try again."""

    @classmethod
    def of(cls, error: KubeError, obj: Mapping[str, Any], before: Self | None, now: float) -> Self:
        """Return what an answer of the API server means for an object.

        Raises:
            KubeError: it refused nothing: it did not answer, or asks to try again.
        """
        if not 400 <= error.status < 500 or error.status in _PASSING:
            raise error
        since = now if before is None else before.since
        # So that the waits double.
        wait = min(_LONGEST_SECONDS, max(_FIRST_SECONDS, now - since))
        return cls(f"{obj['kind']} {obj['metadata']['name']}: {error}", error.status in _LASTING, since, now + wait)
