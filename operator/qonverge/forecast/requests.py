"""What forecasts are asked about, and what models learn from: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qonverge.amounts import TaskLimits
from qonverge.api.pricing import Pricing
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.devices.noise import Noise
from qonverge.forecast.features import Work
from qonverge.forecast.intervals import Interval
from qonverge.providers.figures import Figures
from qonverge.providers.installed import usual_figures


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """A circuit, and how often and for what it is run."""

    circuit: CheckedCircuit
    parameters: Mapping[str, float]
    """Values of its free parameters."""
    work: Work


@dataclass(frozen=True, slots=True)
class BackendOffer:
    """A backend, as forecasts need it."""

    key: str
    """Namespace and name."""
    method: str = "Automatic"
    """Simulation method, as in the API."""
    memory_bytes: int | None = None
    """Memory for one circuit."""
    noise: Noise | None = None
    """Of the device that is driven or simulated; None: results are exact, or ``noise_unknown``."""
    pricing: Pricing | None = None
    """None: it costs nothing, or ``cost_unknown``."""
    keeps_layouts: bool = False
    """Whether qubit i of a circuit without a layout lies on the device's qubit i, rather than where it lies best."""
    recalibrated: bool = False
    """Whether its noise may change."""
    noise_unknown: bool = False
    """Whether it has noise that nobody has read yet."""
    cost_unknown: bool = False
    """Whether its tasks are paid for and nobody knows the price."""
    task_limits: TaskLimits = field(default_factory=TaskLimits)
    """What one task of its device may have: more becomes several."""
    figures: Figures = field(default_factory=usual_figures)
    """Of its engine."""


@dataclass(frozen=True, slots=True)
class WaitForecast:
    """What was said of a task's wait when it was sent."""

    expected: Interval
    """As the queue looked."""
    corrected: Interval
    """As experience corrected it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task went, for the models."""

    key: str
    """The backend's."""
    asked: ForecastRequest
    method: str
    """The one that the engine used."""
    run_seconds: float
    queue_seconds: float
    promised_run: Interval | None
    """What was said of its run time."""
    promise: WaitForecast | None
    """What was said of its wait; None where nothing is to be learned from it."""
    sent: float
    """When, Unix seconds."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Of all classical bits, as in the result."""
    noise: Noise | None = None
    """The one under which it ran; None where it had none, or that is not known any more."""
    promised_fidelity: Interval | None = None
    """What was said of its fidelity."""
    peak_bytes: int | None = None
    """Memory that it took in its worker; None where that was not measured."""
    keeps_layouts: bool = False
    """See ``BackendOffer``."""
    shared_queue: bool = False
    """Whether others send tasks to the device that are not seen."""
    figures: Figures = field(default_factory=usual_figures)
    """Of its engine."""
