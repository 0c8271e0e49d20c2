"""Arrivals of jobs: read, written and made. The format is described in docs/placement-benchmark.md."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bench.placement.pairs import InvalidInput
from qonverge.scheduling.model import Preset, Weights

Floats = NDArray[np.float64]
FORMAT = "qonverge.io/placement-trace/v1"
_DAYS, _BURSTS, _BURST_RATE, _BURST_SHARE = 2, 10, 4.0, 0.15
_NAMESPACES = ("chem", "finance", "ml", "teaching")
_SHOTS = (2_000, 100_000)


@dataclass(frozen=True, slots=True)
class MaxErrors:
    """Largest median errors of a device that a job takes."""

    two_qubit: float = math.inf
    readout: float = math.inf


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job that comes."""

    seconds: float
    """Since the start of the trace."""
    circuit: str
    shots: int
    namespace: str = "default"
    priority: int = 0
    deadline: float | None = None
    """Seconds from the arrival within which it should have ended."""
    objective: Preset | Weights = "Balanced"
    min_fidelity: float | None = None
    """Least forecast fidelity."""
    max_errors: MaxErrors | None = None

    @property
    def weights(self) -> Weights:
        """How much fidelity, time and cost count."""
        return self.objective if isinstance(self.objective, Weights) else Weights.preset(self.objective)


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals in order of time."""

    name: str
    arrivals: tuple[Arrival, ...]
    shares: Mapping[str, float] = field(default_factory=dict)
    """Weights of namespaces; 1 for the others."""


def read(path: Path) -> Trace:
    """Return the trace in a file of JSON lines.

    Raises:
        InvalidInput: naming the line and what is wrong with it.
    """
    try:
        lines = [line for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: {error}") from error
    parsed = [_object(path, number, line) for number, line in enumerate(lines, 1)]
    if not parsed or parsed[0].get("format") != FORMAT:
        raise InvalidInput(f'{path}: the first line must be an object with "format": "{FORMAT}"')
    shares = parsed[0].get("shares", {})
    if not isinstance(shares, dict) or not all(isinstance(w, int | float) and w > 0 for w in shares.values()):
        raise InvalidInput(f"{path}: shares must give each namespace a positive weight")
    arrivals = [_arrival(path, number, given) for number, given in enumerate(parsed[1:], 2)]
    if not arrivals:
        raise InvalidInput(f"{path}: there is no arrival after the first line")
    return Trace(str(parsed[0].get("name", path.stem)), tuple(sorted(arrivals, key=lambda a: a.seconds)), shares)


def write(path: Path, trace: Trace) -> None:
    """Write the trace as JSON lines, defaults left out."""
    defaults = {f.name: f.default for f in fields(Arrival)}
    rows: list[dict[str, Any]] = [{"format": FORMAT, "name": trace.name, "shares": dict(trace.shares)}]
    rows += [{k: v for k, v in asdict(a).items() if v != defaults[k]} for a in trace.arrivals]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise InvalidInput(f"{path}, line {number} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{path}, line {number} is no JSON object")
    return found


def _arrival(path: Path, number: int, given: dict[str, Any]) -> Arrival:
    where = f"{path}, line {number}"
    known = {f.name for f in fields(Arrival)}
    if unknown := sorted(set(given) - known):
        raise InvalidInput(f"{where}: unknown field {unknown[0]}; known: {', '.join(sorted(known))}")
    try:
        found = Arrival(**given)
    except TypeError as error:
        raise InvalidInput(f"{where}: seconds, circuit and shots are needed") from error
    numbers = [found.seconds, found.shots, found.priority, *([] if found.deadline is None else [found.deadline])]
    if (
        not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers)
        or found.seconds < 0
        or found.shots < 1
    ):
        raise InvalidInput(f"{where}: seconds from 0 on, shots from 1 on, and deadline must be finite numbers")
    if found.objective not in get_args(Preset):
        raise InvalidInput(f"{where}: objective {found.objective!r} is none of {', '.join(get_args(Preset))}")
    return found


def poisson(count: int, rate: float, random: np.random.Generator) -> Floats:
    """Return times of arrivals at a constant rate per second."""
    return np.cumsum(random.exponential(1 / rate, count))


def bursty(count: int, rate: float, random: np.random.Generator) -> Floats:
    """Return times with the mean rate, four times as dense in about ten bursts that take 15 % of the time."""
    quiet = (1 - _BURST_SHARE * _BURST_RATE) / (1 - _BURST_SHARE)
    cycle = count / rate / _BURSTS
    times: list[float] = []
    now, burst = 0.0, False
    while len(times) < count:
        length = random.exponential(cycle * (_BURST_SHARE if burst else 1 - _BURST_SHARE))
        here = rate * (_BURST_RATE if burst else quiet)
        times += sorted((now + random.uniform(0, length, random.poisson(here * length))).tolist())
        now, burst = now + length, not burst
    return _with_mean(np.array(times[:count]), rate)


def diurnal(count: int, rate: float, random: np.random.Generator) -> Floats:
    """Return times whose rate goes up and down by 70 %, over two days, whatever the trace's length."""
    # Arrivals at a constant rate, seen through the inverse of the integrated one.
    even = poisson(count, 1.0, random)
    grid = np.linspace(0, 2 * count / rate, 20_000)
    angle = 2 * math.pi * _DAYS * rate / count
    integral = rate * (grid + 0.7 / angle * (1 - np.cos(angle * grid)))
    return _with_mean(np.interp(even, integral, grid), rate)


def _with_mean(times: Floats, rate: float) -> Floats:
    """Return the times stretched to the mean rate: few bursts or days have one that is far from it by chance."""
    stretched: Floats = times * (len(times) / rate / times[-1])
    return stretched


KINDS: dict[str, Callable[[int, float, np.random.Generator], Floats]] = {
    "poisson": poisson,
    "bursty": bursty,
    "diurnal": diurnal,
}


def make(kind: str, circuits: Sequence[str], count: int, rate: float, seed: int, deadlines: float = 0.25) -> Trace:
    """Return a trace of a kind; shots are log-uniform, a share of the jobs has a deadline of 1 to 10 minutes."""
    random = np.random.default_rng([seed, *kind.encode()])
    low, high = np.log(_SHOTS)
    arrivals = [
        Arrival(
            round(float(at), 3),
            str(random.choice(circuits)),
            round(math.exp(random.uniform(low, high))),
            str(random.choice(_NAMESPACES)),
            deadline=round(math.exp(random.uniform(*np.log((60, 600))))) if random.random() < deadlines else None,
        )
        for at in KINDS[kind](count, rate, random)
    ]
    return Trace(kind, tuple(arrivals))


def mean_shots() -> float:
    """Return the mean shots of a job of the traces made here."""
    low, high = _SHOTS
    return (high - low) / math.log(high / low)


def saturated(circuits: Sequence[str], count: int, seed: int) -> Trace:
    """Return jobs of four namespaces with unequal weights that are all there at once."""
    random = np.random.default_rng([seed, 4])
    weights = dict(zip(_NAMESPACES, (1.0, 1.0, 2.0, 4.0), strict=True))
    low, high = np.log(_SHOTS)
    arrivals = [
        Arrival(0.0, str(random.choice(circuits)), round(math.exp(random.uniform(low, high))), namespace)
        for namespace in weights
        for _ in range(count)
    ]
    return Trace("saturated", tuple(arrivals), weights)
