"""A sweep: one job over many values of its parameters."""

from __future__ import annotations

import itertools
import math
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from qonverge.api.base import OneOfModel, Rule, SpecModel, StatusModel, cel
from qonverge.documents import grids

MOST_SWEEP_POINTS = 10_000
"""Points of one sweep: all of them travel to a backend, and their results back, as one task."""
MOST_PROGRAM_POINTS = 1000
"""Points of the sweep of a program, each of which has a pod."""
MOST_SWEPT = 64
"""Parameters of one sweep."""

_UNEQUAL = "combination Zip takes the parameters' values pairwise: give all of them the same number of values"
_LENGTH = (
    "(has(self.parameters[{0}].values) ? size(self.parameters[{0}].values) : has(self.parameters[{0}].strings) ? "
    "size(self.parameters[{0}].strings) : self.parameters[{0}].linspace.points)"
)
# A whole number stays one: a program may count with it.
_Number = Annotated[int | float, WithJsonSchema({"type": "number"})]
_ANY_JSON: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}


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

    one_of = ("values", "linspace", "strings")
    what = "a parameter of sweep.parameters"

    values: Annotated[list[_Number], Field(min_length=1, max_length=MOST_SWEEP_POINTS)] | None = None
    """A list of numbers."""
    linspace: Linspace | None = None
    """Numbers at equal distances."""
    strings: (
        Annotated[list[Annotated[str, Field(max_length=1024)]], Field(min_length=1, max_length=MOST_PROGRAM_POINTS)]
        | None
    ) = None
    """A list of texts, for a program."""

    @property
    def count(self) -> int:
        """How many they are."""
        return self.linspace.points if self.linspace is not None else len(self.values or self.strings or ())

    @property
    def numbers(self) -> list[float]:
        """All of them, where they are numbers."""
        if (given := self.linspace) is not None:
            return grids.linspace(given.start, given.stop, given.points)
        return list(self.values or ())


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
    """Values of the parameters that vary, by name. `program.circuit.parameters`, or `program.parameters` of a program,
    has those that do not."""
    combination: Literal["Product", "Zip"] = "Product"
    """Product: every value of each parameter with every value of the others; the last parameter by name varies fastest.
    Zip: the first values of all parameters, then the second ones, and so on. At most 10000 points, of a program
    1000."""

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

    def point(self, index: int) -> dict[str, Any]:
        """Return the values of a point by name, also those that are texts."""
        places = grids.places([len(values) for values in self.lists], self.combination, index)
        return {name: each[place] for name, each, place in zip(self.names, self.lists, places, strict=True)}

    @cached_property
    def lists(self) -> list[list[Any]]:
        """All values of each parameter, in the order of ``names``."""
        given = [self.parameters[name] for name in self.names]
        return [each.numbers if each.strings is None else list(each.strings) for each in given]

    def as_given(self) -> dict[str, Any]:
        """Return the sweep as a job has it."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class SweepPoint(StatusModel):
    """What was found at one point of a sweep."""

    index: int | None = None
    """Of a program, which point it is, from 0."""
    parameters: Annotated[dict[str, Any], Field(json_schema_extra=_ANY_JSON)]
    """Values of the parameters that vary."""
    counts: dict[str, int] | None = None
    """How often each outcome was measured."""
    expectation_values: list[float] | None = None
    """Expectation values, in the observables' order."""
    standard_errors: list[float] | None = None
    """Their standard errors; 0 where the value is exact."""
    value: Annotated[Any, Field(json_schema_extra=_ANY_JSON)] = None
    """What the program passed to `qonverge.client.result` at this point."""
    stored: bool | None = None
    """True while the job runs where the value is in its store, until all are put together."""
    error: str | None = None
    """Why the program failed at this point, where it did: the reason in one word, and a sentence."""
