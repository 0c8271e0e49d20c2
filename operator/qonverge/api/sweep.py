"""A sweep: one job over many values of its parameters."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from qonverge.api.base import OneOfModel, Rule, SpecModel, StatusModel, cel

MOST_SWEEP_POINTS = 10_000
"""Points of one sweep: all of them travel to a backend, and their results back, as one task."""
MOST_SWEPT = 64
"""Parameters of one sweep."""

_UNEQUAL = "combination Zip takes the parameters' values pairwise: give all of them the same number of values"
_LENGTH = (
    "(has(self.parameters[{0}].values) ? size(self.parameters[{0}].values) : self.parameters[{0}].linspace.points)"
)


class Linspace(SpecModel):
    """Numbers at equal distances, as of `numpy.linspace`."""

    start: float
    """The first."""
    stop: float
    """The last, which is one of them."""
    points: Annotated[int, Field(ge=2, le=MOST_SWEEP_POINTS)]
    """How many they are."""


class SweepValues(OneOfModel):
    """The values of one parameter."""

    one_of = ("values", "linspace")
    what = "a parameter of sweep.parameters"

    values: Annotated[list[float], Field(min_length=1, max_length=MOST_SWEEP_POINTS)] | None = None
    """A list of numbers."""
    linspace: Linspace | None = None
    """Numbers at equal distances."""

    @property
    def count(self) -> int:
        """How many they are."""
        return len(self.values or ()) if self.linspace is None else self.linspace.points

    @property
    def numbers(self) -> list[float]:
        """All of them."""
        if self.linspace is None:
            return list(self.values or ())
        start, stop, last = self.linspace.start, self.linspace.stop, self.linspace.points - 1
        return [start + (stop - start) * (step / last) for step in range(last)] + [stop]


class Sweep(SpecModel):
    """Which values a job's parameters take: each combination of them is a point."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            Rule(
                "!has(self.combination) || self.combination != 'Zip' || self.parameters.all(a, "
                f"self.parameters.all(b, {_LENGTH.format('a')} == {_LENGTH.format('b')}))",
                _UNEQUAL,
            )
        )
    )

    parameters: Annotated[
        dict[Annotated[str, Field(min_length=1)], SweepValues], Field(min_length=1, max_length=MOST_SWEPT)
    ]
    """Values of the parameters that vary, by name. `program.circuit.parameters` has those that do not."""
    combination: Literal["Product", "Zip"] = "Product"
    """Product: every value of each parameter with every value of the others; the last parameter by name varies fastest.
    Zip: the first values of all parameters, then the second ones, and so on. At most 10000 points."""

    @model_validator(mode="after")
    def _equal_lengths(self) -> Sweep:
        if self.combination == "Zip" and len({each.count for each in self.parameters.values()}) > 1:
            raise ValueError(_UNEQUAL)
        return self

    @property
    def names(self) -> list[str]:
        """The parameters, by name: a map has no order, and the API server sorts it."""
        return sorted(self.parameters)

    @property
    def num_points(self) -> int:
        """How many points there are."""
        counts = [self.parameters[name].count for name in self.names]
        return counts[0] if self.combination == "Zip" else math.prod(counts)

    @property
    def points(self) -> list[tuple[float, ...]]:
        """The values of each point, in the order of ``names``."""
        values = [self.parameters[name].numbers for name in self.names]
        return list(zip(*values, strict=True) if self.combination == "Zip" else itertools.product(*values))


class SweepPoint(StatusModel):
    """What was found at one point of a sweep."""

    parameters: dict[str, float]
    """Values of the parameters that vary."""
    counts: dict[str, int] | None = None
    """How often each outcome was measured."""
    expectation_values: list[float] | None = None
    """Expectation values, in the observables' order."""
    standard_errors: list[float] | None = None
    """Their standard errors; 0 where the value is exact."""
