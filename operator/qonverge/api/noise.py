"""What makes a simulator noisy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from qonverge.api.base import ConfigMapKeyRef, OneOfModel, Rule, SpecModel, StatusModel, cel
from qonverge.devices import Rates, snapshots
from qonverge.devices.noise import Noise as DeviceNoise

_T2_TOO_LONG = "t2 is at most 2 t1"
_NO_TIMES = "t1 and t2 act over time: give oneQubitSeconds, twoQubitSeconds or readoutSeconds"
_RFC_3339 = "%Y-%m-%dT%H:%M:%SZ"

Probability = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=1000)]
Lifetime = Annotated[float, Field(gt=0, le=1000)]


def _snapshot(name: str) -> str:
    if name not in snapshots.names():
        # Only the plain name is taken, so that the API server can tell it from others too.
        raise ValueError(snapshots.unknown(name))
    return name


def _with_names(schema: dict[str, Any]) -> None:
    schema["enum"] = list(snapshots.names())


class NoiseRates(SpecModel):
    """Errors that every qubit and every gate has alike. Circuits are translated to rz, sx, x and cx on any qubits."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            Rule("!has(self.t1) || !has(self.t2) || self.t2 <= 2.0 * self.t1", _T2_TOO_LONG, ".t2"),
            Rule(
                "!(has(self.t1) || has(self.t2)) || "
                "has(self.oneQubitSeconds) || has(self.twoQubitSeconds) || has(self.readoutSeconds)",
                _NO_TIMES,
            ),
        )
    )

    one_qubit: Probability = 0.0
    """Error of each sx and x: average gate infidelity. The gate rz has none."""
    two_qubit: Probability = 0.0
    """Error of each cx: average gate infidelity."""
    readout: Probability = 0.0
    """Probability to read a bit wrongly, either way."""
    t1: Lifetime | None = None
    """Relaxation time in seconds, such as 0.0002. Default: no relaxation."""
    t2: Lifetime | None = None
    """Dephasing time in seconds, at most 2 t1. Default: none beyond what t1 gives."""
    one_qubit_seconds: Seconds | None = None
    """Duration of sx and x in seconds, such as 3.5e-8. Default: none."""
    two_qubit_seconds: Seconds | None = None
    """Duration of cx in seconds. Default: none."""
    readout_seconds: Seconds | None = None
    """Duration of a measurement in seconds. Default: none."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.t1 is not None and self.t2 is not None and self.t2 > 2 * self.t1:
            raise ValueError(_T2_TOO_LONG)
        times = (self.one_qubit_seconds, self.two_qubit_seconds, self.readout_seconds)
        if (self.t1 is not None or self.t2 is not None) and not any(time is not None for time in times):
            raise ValueError(_NO_TIMES)
        return self

    def to_rates(self) -> Rates:
        """Return the rates as engines take them."""
        return Rates.from_dict(self.model_dump(by_alias=True, exclude_none=True))


class Noise(OneOfModel):
    """Where the errors come from. Circuits are translated to the device's gates and couplings, and placed on it."""

    one_of = ("device", "configMapKeyRef", "rates")
    what = "noise"

    device: Annotated[str, AfterValidator(_snapshot), Field(json_schema_extra=_with_names)] | None = None
    """A snapshot of a real device, by its name, such as torino."""
    config_map_key_ref: ConfigMapKeyRef | None = None
    """A ConfigMap's key with a calibration in JSON. When it changes, the pods take it up without a restart."""
    rates: NoiseRates | None = None
    """Errors that hold everywhere."""

    @property
    def pauli(self) -> bool:
        """Whether every error is a random Pauli operator, as far as is known without a calibration."""
        return self.rates is not None and self.rates.t1 is None and self.rates.t2 is None

    def known(self) -> DeviceNoise | None:
        """Return the figures, where they are here; None where a ConfigMap has them."""
        if self.device is not None:
            return snapshots.load(self.device)
        return None if self.rates is None else self.rates.to_rates()


class CalibrationStatus(StatusModel):
    """The figures of a device in short."""

    name: str
    """The device."""
    digest: str
    """SHA-256 of the figures; each result says with which it was computed."""
    measured_at: str | None = None
    """When it was measured (RFC 3339); absent for rates and where it is not known."""
    num_qubits: int | None = None
    """Qubits of the device; absent for rates, which hold for any number."""
    median_one_qubit_error: float | None = None
    """Median infidelity of gates on one qubit, but for changes of the frame."""
    median_two_qubit_error: float | None = None
    """Median infidelity of gates on two qubits."""
    median_readout_error: float | None = None
    """Median probability to read a bit wrongly."""

    @classmethod
    def of(cls, noise: DeviceNoise) -> Self:
        """Return the figures in short."""
        measured = noise.measured_at
        return cls(
            name=noise.name,
            digest=noise.digest,
            measured_at=None if measured is None else datetime.fromtimestamp(measured, UTC).strftime(_RFC_3339),
            num_qubits=noise.num_qubits,
            median_one_qubit_error=noise.median_error(1),
            median_two_qubit_error=noise.median_error(2),
            median_readout_error=noise.median_readout_error,
        )
