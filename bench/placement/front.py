"""Policies at equal fidelity: what one trades against completion time, with more and less patience."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.placement.metrics import Figures


@dataclass(frozen=True, slots=True)
class Point:
    """What a policy reaches on a trace."""

    completion: float
    """Mean, seconds."""
    fidelity: float
    """Mean."""

    @classmethod
    def of(cls, figures: Figures) -> Point:
        """Return the point of a run."""
        return cls(figures.completion_mean, figures.fidelity_mean)


def completion_at(fidelity: float, points: Sequence[Point]) -> float:
    """Return the least mean completion time with which the points reach a mean fidelity, seconds.

    Between two points it is that of a mixture of both, so that a policy is not worse for the gaps between the settings
    that were tried. Infinite where none has as much fidelity.
    """
    enough = [point for point in points if point.fidelity >= fidelity]
    best = min((point.completion for point in enough), default=math.inf)
    for high in enough:
        for low in points:
            if low.fidelity < fidelity:
                part = (fidelity - low.fidelity) / (high.fidelity - low.fidelity)
                best = min(best, low.completion + part * (high.completion - low.completion))
    return best
