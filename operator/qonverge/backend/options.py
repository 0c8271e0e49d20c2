"""What a backend's specification says of its engine, on its way to the engine: in one place for every way there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from qonverge.backend.config import EngineConfig
from qonverge.devices.noise import Noise
from qonverge.documents import strict_json
from qonverge.documents.faults import Unreadable
from qonverge.providers.installed import find

if TYPE_CHECKING:
    # A server has no use for the resources' models, which take a moment to load: here and in ``of``.
    from qonverge.api.backend import QuantumBackendSpec

_DEFAULT = EngineConfig()
# Enough that a device's queue always has some of them, and few enough for most accounts' limits.
_CLOUD_CONCURRENCY = 100


def _json_object(given: Any) -> Any:
    """Return the object that a text describes."""
    if not isinstance(given, str):
        return given
    try:
        found = strict_json.loads(given)
    except Unreadable as error:
        raise ValueError(f"give a JSON object: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("give a JSON object")
    return found


def _is_cloud(engine: str) -> bool:
    try:
        return bool(find(engine).cloud)
    except LookupError:
        # What starts the engine says so.
        return False


class EngineOptions(BaseModel):
    """An engine's options, before it is known what the machine has.

    The operator writes them into the environment of a backend's pods, whose servers read them there; the embedded mode
    takes them from the specification at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    engine: str = _DEFAULT.provider
    """Simulation engine."""
    method: str = _DEFAULT.method
    """Simulation method."""
    options: Annotated[dict[str, Any] | None, BeforeValidator(_json_object)] = None
    """The engine's own options, as a JSON object."""
    concurrency: Annotated[int, Field(ge=1)] | None = None
    """Worker processes, by default one per CPU; of a cloud its tasks that may be under way at once, by default 100."""
    queue_limit: Annotated[int, Field(ge=1)] = _DEFAULT.queue_limit
    """Tasks that may wait."""
    max_shots: Annotated[int, Field(ge=1)] = _DEFAULT.max_shots
    """Most shots of a circuit."""
    max_qubits: Annotated[int, Field(ge=1)] | None = None
    """Most qubits of a circuit; default: what fits in memory."""
    device: Literal["CPU", "GPU"] = "CPU"
    """Where the engine computes: CPU or GPU."""
    noise: str | None = None
    """What to imitate: a snapshot's name, @FILE with a calibration, or its JSON."""
    layout: Literal["Optimized", "AsGiven"] = "Optimized"
    """Where circuits without a layout lie on the device: Optimized or AsGiven."""
    credentials: str = ""
    """Folder with the credentials of a cloud, a file for each; empty: what the process is given otherwise."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    """Seed for tasks that bring none."""
    result_cache: Annotated[int, Field(ge=0)] = _DEFAULT.result_cache_bytes
    """Bytes of results that are given again for the same task; 0: none."""

    @classmethod
    def of(
        cls, spec: QuantumBackendSpec, calibration_file: str = "", credentials_folder: str = "", **more: Any
    ) -> Self:
        """Return the options that a specification has; what it leaves open is left open.

        Args:
            spec: of a backend.
            calibration_file: where the server finds the calibration that a ConfigMap has.
            credentials_folder: where the server finds the credentials that a Secret has.
            more: further fields, of a class with more.
        """
        from qonverge.api.quantity import bytes_of

        source, capacity = spec.source, spec.capacity
        noise = None
        if source.noise is not None:
            rates = source.noise.rates
            noise = source.noise.device or f"@{calibration_file}"
            if rates is not None:
                noise = json.dumps(rates.to_rates().to_dict(), separators=(",", ":"))
        given = {
            "engine": source.provider,
            "method": source.method,
            "options": source.options,
            "concurrency": capacity.concurrency,
            "queue_limit": capacity.queue_limit,
            "max_shots": capacity.max_shots,
            "max_qubits": capacity.max_qubits,
            "device": source.computes_on,
            "noise": noise,
            "layout": None if noise is None else "AsGiven" if source.keeps_layouts else "Optimized",
            "credentials": (credentials_folder or None) if source.credentials else None,
            "seed": source.seed,
            "result_cache": None if spec.result_cache is None else bytes_of(spec.result_cache),
        }
        return cls(**{name: value for name, value in given.items() if value is not None}, **more)

    def config(
        self, *, cpus: int, memory_bytes: int, noise: Noise | None, spare: bool = False, quiet: bool = False
    ) -> EngineConfig:
        """Return how the engine is set up on a machine.

        Args:
            cpus: of the machine.
            memory_bytes: for the engine and all its workers.
            noise: what ``noise`` stands for.
            spare: see ``EngineConfig``.
            quiet: see ``EngineConfig``.
        """
        return EngineConfig(
            provider=self.engine,
            method=self.method,
            options=self.options,
            concurrency=self.concurrency or (_CLOUD_CONCURRENCY if _is_cloud(self.engine) else cpus),
            cpus=cpus,
            memory_bytes=memory_bytes,
            queue_limit=self.queue_limit,
            max_shots=self.max_shots,
            max_qubits=self.max_qubits,
            seed=self.seed,
            result_cache_bytes=self.result_cache,
            spare=spare,
            device=self.device,
            keep_layouts=self.layout == "AsGiven",
            quiet=quiet,
            credentials=self.credentials,
            noise=noise,
        )
