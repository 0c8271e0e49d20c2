"""The file of a backend server outside Kubernetes."""

from __future__ import annotations

import ipaddress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from qonverge.api.backend import Capacity, QuantumBackendSpec, Simulator
from qonverge.api.base import SpecModel
from qonverge.api.placement import Duration, seconds_of
from qonverge.api.quantity import Memory, bytes_of
from qonverge.backend.executors.spool import SpoolLimits
from qonverge.backend.options import EngineOptions
from qonverge.documents.excerpt import bounded
from qonverge.documents.faults import Unreadable
from qonverge.documents.reader import read_documents
from qonverge.environment import Address, host_and_port

_MOST_BYTES = 1024**2


class ConfigError(Exception):
    """The file cannot be used; each problem is one line for a person."""

    def __init__(self, problems: list[str]) -> None:
        """Keep every problem, so that all can be mended at once."""
        self.problems = [bounded(" ".join(problem.splitlines())) for problem in problems]
        super().__init__("; ".join(self.problems))


class Tls(SpecModel):
    """What the server proves its name by."""

    certificate: str
    """File with the certificate in PEM, and with those between it and what callers trust."""
    key: str
    """File with its private key in PEM, without a password."""


class SpoolSection(SpecModel):
    """Where tasks and results are until they are delivered."""

    folder: str
    """Folder on a disk that survives a restart; it is made where it is not there."""
    tasks: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Most tasks and results in it; further tasks are refused."""
    size: Memory = "1Gi"
    """Most bytes in it, from which on tasks are refused."""
    retention: Duration = "168h"
    """How long a result is kept whose caller has not taken it."""

    def limits(self) -> SpoolLimits:
        """Return what the spool is made of."""
        return SpoolLimits(Path(self.folder), self.tasks, bytes_of(self.size), seconds_of(self.retention))


class ServerConfig(SpecModel):
    """A backend server outside Kubernetes."""

    listen: Address = "127.0.0.1:8080"
    """Address and port. Anything but loopback needs tls and tokens."""
    tls: Tls | None = None
    """Serve HTTPS."""
    tokens: str | None = None
    """File with the tokens of callers."""
    spool: SpoolSection | None = None
    """Keep tasks and results on disk."""
    memory: Memory | None = None
    """Memory for the server and its workers. Default: what the machine or its cgroup has."""
    simulator: Simulator = Simulator()
    """As in a QuantumBackend; a calibration of a device is in a file: see calibration."""
    capacity: Capacity = Capacity()
    """As in a QuantumBackend."""
    calibration: str | None = None
    """File with the calibration of the device to imitate, in the place of simulator.noise. It is read again when it
    changes."""
    result_cache: Memory | None = None
    """As in a QuantumBackend."""
    grace: Duration = "25s"
    """How long a server without a spool lets tasks run that run when it is stopped."""

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if not _is_loopback(host_and_port(self.listen)[0]):
            lacking = [name for name in ("tls", "tokens") if getattr(self, name) is None]
            if lacking:
                raise ValueError(
                    f"listen is {self.listen}, where others can call: give {' and '.join(lacking)}, or listen on "
                    "127.0.0.1"
                )
        if self.capacity.programs is not None:
            raise ValueError(
                "capacity.programs: a server starts no programs: say it of the QuantumBackend in front of it"
            )
        noise = self.simulator.noise
        if noise is not None and noise.config_map_key_ref is not None:
            raise ValueError(
                "simulator.noise.configMapKeyRef: there are no ConfigMaps here: name a file in calibration"
            )
        if noise is not None and self.calibration is not None:
            raise ValueError("calibration: it takes the place of simulator.noise: leave one of them out")
        return self

    @property
    def options(self) -> EngineOptions:
        """The engine's options."""
        spec = QuantumBackendSpec(simulator=self.simulator, capacity=self.capacity, result_cache=self.result_cache)
        options = EngineOptions.of(spec)
        if self.calibration is None:
            return options
        return options.model_copy(update={"noise": f"@{self.calibration}", "layout": self.simulator.layout})


def read_config(path: Path) -> ServerConfig:
    """Return what a file says; paths in it that are relative begin at its folder.

    Raises:
        ConfigError: with every problem and its field.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ConfigError([f"{path}: larger than {_MOST_BYTES} bytes, which no configuration is"])
    try:
        documents = read_documents(data)
    except Unreadable as error:
        raise ConfigError([f"{path}: neither YAML nor JSON: {error}"]) from None
    faults = [f"{path}: {fault}" for document in documents for fault in document.faults]
    if faults:
        raise ConfigError(faults)
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        raise ConfigError([f"{path}: give one object with listen, tls, tokens, spool, simulator and so on"])
    try:
        config = ServerConfig.model_validate(documents[0].value)
    except ValidationError as error:
        raise ConfigError([f"{path}: {_sentence(each)}" for each in error.errors(include_url=False)]) from None
    return _resolved(config, partial(_beside, path.parent))


def _resolved(config: ServerConfig, place: Any) -> ServerConfig:
    """Return the configuration with paths that do not depend on where the process runs."""
    changes: dict[str, Any] = {
        name: place(given) for name in ("tokens", "calibration") if (given := getattr(config, name)) is not None
    }
    if config.tls is not None:
        tls = {"certificate": place(config.tls.certificate), "key": place(config.tls.key)}
        changes["tls"] = config.tls.model_copy(update=tls)
    if config.spool is not None:
        changes["spool"] = config.spool.model_copy(update={"folder": place(config.spool.folder)})
    return config.model_copy(update=changes)


def _beside(folder: Path, given: str) -> str:
    return str(folder / given)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _sentence(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{place}: unknown field"
    if problem["type"] == "missing":
        return f"{place}: required"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
