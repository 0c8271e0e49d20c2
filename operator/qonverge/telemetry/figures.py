"""Figures that decisions are made from: a value, when it was measured, and who told it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

STALE_SECONDS = 60.0
"""Figures that are older are not used, unless a setting says otherwise."""

SourceName = Literal["Pod", "Prometheus"]


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured."""

    value: float
    at: float
    """When, Unix seconds."""
    source: SourceName


def fresh(figures: Iterable[Figure | None], now: float, stale_seconds: float) -> Figure | None:
    """Return the first figure that is there and new enough; None where there is none: nothing is put in its place."""
    return next((each for each in figures if each is not None and now - each.at <= stale_seconds), None)
