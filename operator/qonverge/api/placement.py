"""Where a job may run and what counts: the terms of its placement."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from qonverge.api.base import SpecModel, StatusModel

Tier = Literal["Cloud", "OnPrem", "Edge"]
Objective = Literal["Fidelity", "Time", "Cost", "Energy", "Balanced"]
Preemption = Literal["Never", "Waiting", "Running"]

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

Duration = Annotated[str, Field(pattern=r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$", max_length=64)]
"""A duration as Kubernetes writes it, such as ``1h30m``."""


def seconds_of(duration: str) -> float:
    """Return the seconds of a ``Duration``."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9.]+)(ms|s|m|h)", duration))


NodeRule = Literal["Required", "Preferred", "Any"]


class Location(SpecModel):
    """Where a backend is."""

    tier: Tier = "OnPrem"
    """Cloud, OnPrem or Edge."""
    site: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """The place, such as a laboratory or a factory. Jobs that name it as their data's site are drawn to it."""
    region: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """The region of law or of a cloud, such as eu-central-1. Jobs may be held to regions."""
    nodes: NodeRule | None = None
    """What that means for the backend's pods. Required: they run on nodes with the labels `qonverge.io/tier`,
    `qonverge.io/site` and `topology.kubernetes.io/region` of these values; a node without the first is OnPrem.
    Preferred: there where there is room. Any: anywhere. Default: Required, and Any for a device elsewhere."""


class Weights(SpecModel):
    """How much each aim counts beside the others; only their proportions matter."""

    fidelity: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """A better result."""
    time: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """An earlier result."""
    cost: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """A cheaper result."""
    energy: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """A result for less energy. Counts where the energy of a backend is known."""


class Split(SpecModel):
    """Shots that may be divided over backends that forecast about the same fidelity, and merged."""

    min_shots: Annotated[int, Field(ge=1, le=100_000_000)] = 10_000
    """Shots that each part has at least."""


class MaxErrors(SpecModel):
    """Errors that a backend's device may have: medians over what works, as in the backend's `status.calibration`.

    A simulator without noise has none; an error that is not known is too much.
    """

    two_qubit: Annotated[float, Field(ge=0, le=1)] | None = None
    """Largest median infidelity of gates on two qubits, such as 0.02."""
    readout: Annotated[float, Field(ge=0, le=1)] | None = None
    """Largest median probability to read a bit wrongly, such as 0.05."""


class Placement(SpecModel):
    """Where the job may run, and what counts among the backends that remain."""

    tiers: Annotated[list[Tier], Field(max_length=3)] = []
    """Tiers that are allowed; all when empty."""
    preferred_tiers: Annotated[list[Tier], Field(max_length=3)] = []
    """Tiers that are preferred, where little else is lost."""
    regions: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=64)] = []
    """Regions that are allowed, for data that must not leave them; all when empty. A backend without a region is in
    none."""
    data_site: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Site of the job's data: backends there are preferred where little else is lost."""
    objective: Objective = "Balanced"
    """What counts most: the result's fidelity, the time until it is there, its cost, or the three in balance. Energy:
    the energy that it takes, as far as that of backends is known."""
    weights: Weights | None = None
    """Proportions of one's own, instead of objective."""
    min_fidelity: Annotated[float, Field(ge=0, le=1)] | None = None
    """Fidelity that must be forecast at least."""
    max_errors: MaxErrors | None = None
    """Errors that a backend's device may have at most."""
    max_wait: Duration | None = None
    """Longest forecast wait in a backend's queue, such as 10m."""
    max_latency: Duration | None = None
    """Longest round trip to the backend, such as 20ms. A backend whose round trip is not known is not taken."""
    split: Split | None = None
    """Divide many shots over several backends. Default: the job runs on one."""
    hedge: bool = False
    """Send the job to a second backend too when its deadline is in danger; the first result counts, and both cost."""
    preemption: Preemption = "Waiting"
    """What a job of higher priority may take from this one. Never: nothing. Waiting: its place in a backend's queue.
    Running: also its running attempt, which begins again later; a program goes on from its last checkpoint."""


class ForecastInterval(StatusModel):
    """A value that is expected, within bounds that hold in four of five cases."""

    low: float
    """Lower bound."""
    mid: float
    """What is most likely."""
    high: float
    """Upper bound."""


class Candidate(StatusModel):
    """What is forecast of the job on one backend."""

    backend: str
    """The backend, with its namespace in front where that is not the job's own."""
    fidelity: ForecastInterval | None = None
    """Fidelity of the result: the Hellinger fidelity of its distribution with the ideal one."""
    wait_seconds: ForecastInterval | None = None
    """Time until it begins to run."""
    run_seconds: ForecastInterval | None = None
    """Time that it runs."""
    memory_bytes: ForecastInterval | None = None
    """Memory that it takes on a simulator, bytes; of suspended jobs only."""
    network_seconds: float | None = None
    """Time that a Python program is expected to wait for the ways there and back, all its tasks together: how often it
    waited when it ran before, times the round trip from where it runs as it is measured."""
    cost: ForecastInterval | None = None
    """What it costs, in currency."""
    currency: str | None = None
    """Currency of cost."""
    energy_joules: ForecastInterval | None = None
    """Energy that it takes, joules: the time that it runs, times the power of the backend's tasks."""
    rejected: str | None = None
    """Why the backend is not taken; absent for one that may be."""
