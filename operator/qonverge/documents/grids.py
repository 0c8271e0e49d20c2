"""Grids of parameter values, and lists of indexes such as "0-3,7": as programs, operator and commands read them alike.

Pure, and without a library: programs load it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any


def linspace(start: float, stop: float, points: int) -> list[float]:
    """Return numbers at equal distances, as of ``numpy.linspace``; ``points`` is at least 2."""
    last = points - 1
    return [start + (stop - start) * (step / last) for step in range(last)] + [stop]


def places(counts: Sequence[int], combination: str, index: int) -> list[int]:
    """Return which value each parameter has at a point.

    Args:
        counts: how many values the parameters have, in the parameters' order.
        combination: "Product", in which the last parameter varies fastest, or "Zip".
        index: of the point, from 0.
    """
    if combination == "Zip":
        return [index] * len(counts)
    found = []
    for count in reversed(counts):
        index, place = divmod(index, count)
        found.append(place)
    return found[::-1]


def point(sweep: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return the values of the parameters at a point of a sweep, which is given as a job has it."""
    given = sweep["parameters"]
    values = [_values(given[name]) for name in sorted(given)]
    where = places([len(each) for each in values], sweep.get("combination", "Product"), index)
    return {name: each[place] for name, each, place in zip(sorted(given), values, where, strict=True)}


def in_ranges(indexes: Iterable[int]) -> str:
    """Return indexes as batch/v1 writes them, such as "0-3,7"; empty for none."""
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and parts[-1][-1] == index - 1:
            parts[-1][1:] = [index]
        else:
            parts.append([index])
    return ",".join("-".join(map(str, part)) for part in parts)


def of_ranges(text: str) -> list[int]:
    """Return the indexes that such a text names, in order.

    Raises:
        ValueError: it is none.
    """
    return list(_indexes(text))


def _indexes(text: str) -> Iterator[int]:
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _values(given: Mapping[str, Any]) -> Sequence[Any]:
    if "linspace" in given:
        return linspace(**given["linspace"])
    values: Sequence[Any] = given.get("values") or given["strings"]
    return values
