"""What the operator says of a QuantumBackend."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qonverge.api.base import CONDITIONS_SCHEMA, Condition, StatusModel
from qonverge.api.noise import CalibrationStatus


class Capabilities(StatusModel):
    """What the running backend can do, as its pods report it."""

    max_qubits: int | None = None
    """Most qubits that a circuit may have."""
    max_shots: int | None = None
    """Most shots that one circuit may ask for."""
    memory_bytes: int | None = None
    """Memory for one circuit."""
    methods: list[str] = []
    """Simulation methods."""
    basis_gates: list[str] = []
    """Gates that run without being translated."""
    engine_version: str | None = None
    """Version of the engine."""


class PricingStatus(StatusModel):
    """Prices in force."""

    source: Literal["Spec", "Vendor"]
    """Spec: as spec.pricing says. Vendor: as the device's vendor publishes them."""
    currency: str
    """Currency of the amounts, by its ISO 4217 code."""
    per_task: str
    """For each task that the provider is sent."""
    per_shot: str
    """For each shot."""
    per_second: str
    """For each second that a task runs."""


class EnergyStatus(StatusModel):
    """Energy that tasks take."""

    source: Literal["Spec", "Prometheus"]
    """Spec: as spec.energy says. Prometheus: learned from what the backend was measured to draw, which goes before."""
    task_watts: float
    """Power that a task draws while it runs, watts; in two digits where it is measured."""


class DeviceStatus(StatusModel):
    """How the device elsewhere is, as its vendor says."""

    queue_length: int | None = None
    """Tasks that wait for the device, of everybody; absent where the vendor does not tell."""
    wait_seconds: int | None = None
    """How long a new task waits for the device, as the vendor tells; absent where it does not."""
    available_at: str | None = None
    """When it runs tasks again (RFC 3339); absent while it does, and where the vendor does not tell."""


class QuantumBackendStatus(StatusModel):
    """What the operator observed."""

    observed_generation: int | None = None
    """The `metadata.generation` that this status is about."""
    conditions: Annotated[list[Condition], Field(json_schema_extra=CONDITIONS_SCHEMA)] = []
    """Ready: at least one pod serves. Reconciling, Stalled: as kstatus reads them. Offered, where access admits
    other namespaces: whether its own may offer backends. Calibrated, where there is noise: the calibration is good and
    every pod has it. Available, of a device elsewhere: whether it runs tasks now. ScalingActive, with
    scaling.mode Auto: how many pods there should be, and why. ScalingLimited: whether more or fewer were wanted."""
    engine: str | None = None
    """Simulation engine, or provider of the device elsewhere."""
    replicas: int = 0
    """Pods that exist."""
    ready_replicas: int = 0
    """Pods that serve."""
    ready: str = "0/0"
    """Pods that serve, of those that should be."""
    selector: str = ""
    """Label selector of the pods, for the scale subresource."""
    queue_length: int | None = None
    """Tasks that wait, in all pods; absent when no pod tells."""
    running: int | None = None
    """Tasks that run, in all pods; absent when no pod tells."""
    capabilities: Capabilities | None = None
    """What the running backend can do."""
    calibration: CalibrationStatus | None = None
    """The device that is imitated or driven, as it was last measured."""
    device: DeviceStatus | None = None
    """How the device elsewhere is; absent of a simulator."""
    pricing: PricingStatus | None = None
    """Prices in force; absent where none are known."""
    energy: EnergyStatus | None = None
    """Energy that tasks take; absent where it is not known."""
