"""Traces in files of JSON lines; docs/placement-benchmark.md describes the format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bench.placement.fields import AS_FILES, Positive, Probability
from bench.placement.nature import Nature
from bench.placement.pairs import InvalidInput
from bench.placement.trace import Arrival, Recalibration, Trace

FORMAT: Literal["qonverge.io/placement-trace/v1"] = "qonverge.io/placement-trace/v1"


@dataclass(frozen=True, slots=True, config=AS_FILES)
class _Header:
    """The first line: what holds for the whole trace."""

    format: Literal["qonverge.io/placement-trace/v1"]
    name: str = ""
    shares: Mapping[str, Positive] = field(default_factory=dict)
    fidelities: Mapping[str, Mapping[str, Probability]] = field(default_factory=dict)
    calibrations: Mapping[str, tuple[Recalibration, ...]] = field(default_factory=dict)
    world: Nature = field(default_factory=Nature)


T = TypeVar("T")
_HEADER, _ARRIVAL = TypeAdapter(_Header), TypeAdapter(Arrival)


def read(path: Path) -> Trace:
    """Return the trace in a file.

    Raises:
        InvalidInput: naming the line and what is wrong with it.
    """
    try:
        lines = [(number, line) for number, line in enumerate(path.read_text().splitlines(), 1) if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: {error}") from error
    if len(lines) < 2:
        raise InvalidInput(f'{path}: a trace is a line with "format": "{FORMAT}" and then a line for each job')
    header = _checked(_HEADER, path, *lines[0])
    arrivals = [_checked(_ARRIVAL, path, number, line) for number, line in lines[1:]]
    return Trace(
        header.name or path.stem,
        tuple(sorted(arrivals, key=lambda arrival: arrival.seconds)),
        header.shares,
        header.fidelities,
        header.calibrations,
        header.world,
    )


def write(path: Path, trace: Trace) -> None:
    """Write the trace, defaults left out."""
    header = _Header(FORMAT, trace.name, trace.shares, trace.fidelities, trace.calibrations, trace.world)
    rows = [
        _HEADER.dump_json(header, by_alias=True, exclude_defaults=True),
        *(_ARRIVAL.dump_json(arrival, by_alias=True, exclude_defaults=True) for arrival in trace.arrivals),
    ]
    path.write_bytes(b"".join(row + b"\n" for row in rows))


def _checked(adapter: TypeAdapter[T], path: Path, number: int, line: str) -> T:
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in error.errors())
        raise InvalidInput(f"{path}, line {number}: {'; '.join(problems)}") from error
