"""Arrivals of jobs, and how some are made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from bench.placement.fields import AS_FILES, FromZero, Positive, Probability
from bench.placement.nature import Nature
from qonverge.api.placement import Weights as Proportions
from qonverge.scheduling.model import Preset, Weights

Floats = NDArray[np.float64]
_DAYS, _BURSTS, _BURST_RATE, _BURST_SHARE = 2, 10, 4.0, 0.15
_NAMESPACES = ("chem", "finance", "ml", "teaching")
_SHOTS = (2_000, 100_000)


def _distinct(layout: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(layout)) < len(layout):
        raise ValueError("the layout has a physical qubit twice")
    return layout


Layout = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(_distinct)]


@dataclass(frozen=True, slots=True, config=AS_FILES)
class MaxErrors:
    """Largest median errors of a device that a job takes, by its last calibration."""

    two_qubit: Probability | None = None
    readout: Probability | None = None


@dataclass(frozen=True, slots=True, config=AS_FILES)
class Arrival:
    """A job that comes."""

    seconds: FromZero
    """Since the start of the trace."""
    circuit: str
    shots: Annotated[int, Field(ge=1)]
    namespace: str = "default"
    priority: int = 0
    deadline: Positive | None = None
    """Seconds from the arrival within which it should have ended."""
    objective: Preset = "Balanced"
    proportions: Proportions | None = Field(default=None, alias="weights")
    """Instead of the objective."""
    min_fidelity: Probability | None = None
    """Least forecast fidelity."""
    max_errors: MaxErrors | None = None
    layout: Layout | None = None
    """Physical qubit of each of the circuit's; else it is mapped to the best that are found."""
    service_seconds: Positive | Annotated[Mapping[str, Positive], Field(min_length=1)] | None = None
    """What it takes, on every device or by device, and then it runs on no other one; it is known beforehand. None: what
    its shots take."""

    @property
    def weights(self) -> Weights:
        """How much fidelity, time and cost count."""
        if self.proportions is None:
            return Weights.preset(self.objective)
        return Weights(self.proportions.fidelity, self.proportions.time, self.proportions.cost)

    @property
    def program(self) -> str:
        """Name of the circuit, and of its layout where it has one."""
        return self.circuit if self.layout is None else f"{self.circuit} on {','.join(map(str, self.layout))}"

    def service_on(self, device: str) -> float | None:
        """Return the seconds that it takes there where they are given; NaN where it may not run."""
        if not isinstance(self.service_seconds, Mapping):
            return self.service_seconds
        return self.service_seconds.get(device, math.nan)


@dataclass(frozen=True, slots=True, config=AS_FILES)
class Recalibration:
    """A device's figures from some moment on."""

    seconds: Positive
    snapshot: str
    """Name of a calibration."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals in order of time."""

    name: str
    arrivals: tuple[Arrival, ...]
    shares: Mapping[str, float] = field(default_factory=dict)
    """Weights of namespaces; 1 for the others."""
    fidelities: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What circuits truly give by the calibration, by circuit and device, instead of what is simulated."""
    calibrations: Mapping[str, tuple[Recalibration, ...]] = field(default_factory=dict)
    """By device."""
    world: Nature = field(default_factory=Nature)


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
