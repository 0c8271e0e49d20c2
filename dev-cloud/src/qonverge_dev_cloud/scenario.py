"""The scenario: which devices there are, how they behave, and what goes wrong."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from qonverge_dev_cloud.faults import Fault, Selection
from qonverge_dev_cloud.limits import Limit
from qonverge_dev_cloud.values import Value

_Device = TypeVar("_Device", bound="DeviceScenario")


class ScenarioError(ValueError):
    """A scenario cannot be used; the text says where and why, a line for each problem."""


class Queue(Value):
    """What a task waits for before it runs."""

    seconds: float = Field(0, ge=0)
    """From its creation to its start, on a device that nothing else of this account keeps busy."""
    ahead: int = Field(0, ge=0)
    """Tasks of others before it when it is created; they end evenly over the seconds."""

    @model_validator(mode="after")
    def _takes_time(self) -> Queue:
        if self.ahead and not self.seconds:
            raise ValueError("ahead needs seconds in which the tasks of others end")
        return self


class Run(Value):
    """How long a task runs."""

    seconds: float = Field(0, ge=0)
    per_shot: float = Field(0, ge=0)


class Price(Value):
    """What is charged, in US dollars. What is not set is as the vendor publishes it."""

    per_task: float | None = Field(None, ge=0)
    per_shot: float | None = Field(None, ge=0)
    per_minute: float | None = Field(None, ge=0)


class Drift(Value):
    """How a calibration changes."""

    seconds: float = Field(gt=0)
    """From one calibration to the next."""
    spread: float = Field(0.1, ge=0)
    """Standard deviation of the logarithm of each error rate, from one to the next."""


class Window(Value):
    """Seconds since the start between which a device takes nothing and runs nothing."""

    start: float = Field(ge=0)
    end: float

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.end <= self.start:
            raise ValueError(f"end ({self.end:g}) has to be after start ({self.start:g})")
        return self


class Failing(Selection):
    """Tasks of a device that fail when they ran, counted in the order of their creation."""

    reason: str = "The device failed while it ran the task."


class DeviceScenario(Value):
    """How a device behaves."""

    queue: Queue = Queue()
    run: Run = Run()
    price: Price = Price()
    drift: Drift | None = None
    maintenance: tuple[Window, ...] = ()
    failing: Failing | None = None
    retired: bool = False
    noise: bool = True
    """Whether a QPU errs. Simulators never do."""

    @field_validator("maintenance")
    @classmethod
    def _apart(cls, windows: tuple[Window, ...]) -> tuple[Window, ...]:
        ordered = tuple(sorted(windows, key=lambda own: own.start))
        for one, other in pairwise(ordered):
            if other.start < one.end:
                raise ValueError(f"the window from {other.start:g} begins before that from {one.start:g} ends")
        return ordered


def _known(devices: dict[str, _Device], names: Iterable[str]) -> dict[str, _Device]:
    if unknown := sorted(set(devices) - set(names)):
        raise ValueError(f"no device is called {unknown[0]!r}: use {', '.join(sorted(names))}")
    return devices


class Reservation(Window):
    """When a QPU runs nothing but the tasks that name the reservation."""

    device: str
    """The device's name."""


class FailingExecutables(Failing):
    """Executables of program sets that fail, counted over all sets of a device in the order of their creation."""

    retryable: bool = True
    """Whether Braket says that another try may succeed."""


class BraketDevice(DeviceScenario):
    """How a device of Braket behaves."""

    failing_executables: FailingExecutables | None = None


class BraketScenario(Value):
    """Amazon Braket."""

    devices: dict[str, BraketDevice] = Field(default_factory=dict)
    """By the device's name. Those that are not named behave as with nothing set."""
    reservations: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")], Reservation] = Field(
        default_factory=dict
    )
    """By the last part of the reservation's ARN."""

    @field_validator("devices")
    @classmethod
    def _named(cls, devices: dict[str, BraketDevice]) -> dict[str, BraketDevice]:
        from qonverge_dev_cloud.braket.catalogue import DEVICES

        return _known(devices, [device.name for device in DEVICES])

    @field_validator("reservations")
    @classmethod
    def _of_qpus(cls, reservations: dict[str, Reservation]) -> dict[str, Reservation]:
        from qonverge_dev_cloud.braket.catalogue import DEVICES

        qpus = [device.name for device in DEVICES if device.kind == "QPU"]
        for name, own in reservations.items():
            if own.device not in qpus:
                raise ValueError(f"{name} is of {own.device!r}: use one of {', '.join(sorted(qpus))}")
        return reservations


class IonqScenario(Value):
    """IonQ."""

    backends: dict[str, DeviceScenario] = Field(default_factory=dict)
    """By the backend's name. None has a price: IonQ charges by gates."""

    @field_validator("backends")
    @classmethod
    def _named(cls, backends: dict[str, DeviceScenario]) -> dict[str, DeviceScenario]:
        from qonverge_dev_cloud.ionq.catalogue import BACKENDS

        for name, own in backends.items():
            if own.price != Price():
                raise ValueError(f"{name} has no price: IonQ charges by gates")
        return _known(backends, [backend.name for backend in BACKENDS])


class IqmScenario(Value):
    """IQM."""

    computers: dict[str, DeviceScenario] = Field(default_factory=dict)
    """By the alias of the quantum computer. Of prices, that of a minute counts; IQM publishes none."""

    @field_validator("computers")
    @classmethod
    def _named(cls, computers: dict[str, DeviceScenario]) -> dict[str, DeviceScenario]:
        from qonverge_dev_cloud.iqm.catalogue import COMPUTERS

        for name, own in computers.items():
            if own.price.per_task is not None or own.price.per_shot is not None:
                raise ValueError(f"{name} has a price for each minute only: IQM charges for the time that jobs run")
        return _known(computers, [computer.alias for computer in COMPUTERS])


class IBMScenario(Value):
    """IBM Quantum."""

    backends: dict[str, DeviceScenario] = Field(default_factory=dict)
    """By the device's name."""

    @field_validator("backends")
    @classmethod
    def _named(cls, backends: dict[str, DeviceScenario]) -> dict[str, DeviceScenario]:
        from qonverge_dev_cloud.ibm.catalogue import NAMES

        for name, own in backends.items():
            if own.price.per_task is not None or own.price.per_shot is not None:
                raise ValueError(f"{name} is charged by the time that it is busy: give price.perMinute")
        return _known(backends, NAMES)


class GoogleScenario(Value):
    """Google's Quantum Engine."""

    processors: dict[str, DeviceScenario] = Field(default_factory=dict)
    """By the processor's id. None has a price: Google publishes none."""

    @field_validator("processors")
    @classmethod
    def _named(cls, processors: dict[str, DeviceScenario]) -> dict[str, DeviceScenario]:
        from qonverge_dev_cloud.google.catalogue import PROCESSORS

        for name, own in processors.items():
            if own.price != Price():
                raise ValueError(f"{name} has no price: Google publishes none")
        return _known(processors, PROCESSORS)


class Scenario(Value):
    """All clouds."""

    seed: int = 1
    """Of everything that is drawn: outcomes, calibrations, faults."""
    virtual_clock: bool = False
    """Time moves only when the control API says so."""
    braket: BraketScenario = BraketScenario()
    ibm: IBMScenario = IBMScenario()
    ionq: IonqScenario = IonqScenario()
    iqm: IqmScenario = IqmScenario()
    google: GoogleScenario = GoogleScenario()
    limits: tuple[Limit, ...] = ()
    faults: tuple[Fault, ...] = ()


def load(path: Path) -> Scenario:
    """Read a scenario.

    Raises:
        ScenarioError: it cannot be read or used.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise ScenarioError(f"{path}: {where}not YAML: {getattr(error, 'problem', None) or error}") from None
    try:
        return Scenario.model_validate({} if data is None else data)
    except ValidationError as error:
        raise ScenarioError("\n".join(f"{path}: {_sentence(own, root)}" for own in error.errors())) from None


def _sentence(problem: Any, root: yaml.Node | None) -> str:
    place = problem["loc"]
    dotted = ".".join(str(part) for part in place)
    message = problem["msg"].removeprefix("Value error, ").replace("Extra inputs are not permitted", "unknown field")
    return f"line {_line(root, place)}: {f'{dotted}: ' if dotted else ''}{message}"


def _line(node: yaml.Node | None, place: tuple[str | int, ...]) -> int:
    """Return the line of the place, or of the nearest one around it that the text has."""
    line = 1
    for part in place:
        found: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, found = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = node.value[part]
            line = found.start_mark.line + 1
        if found is None:
            break
        node = found
    return line
