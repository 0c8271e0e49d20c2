"""The options of a backend on Amazon Braket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from qonverge.providers.options import Options

# The on-demand simulators, which take 0 shots ("Submitting quantum tasks to simulators" of the developer guide).
_EXACT = tuple(f":device/quantum-simulator/amazon/{name}" for name in ("sv1", "dm1"))


class BraketOptions(Options):
    """Which device runs the tasks, and where results go. ``spec.braket`` has the same fields."""

    device: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:braket:[a-z0-9-]*:[0-9]*:device(/[A-Za-z0-9._-]+){3}$")]
    """ARN of the device."""
    bucket: Annotated[str, Field(min_length=3, max_length=63)]
    """S3 bucket to which Braket writes results; in the region of the device."""
    prefix: Annotated[str, Field(min_length=1, max_length=512)] = "qonverge"
    """Beginning of the keys of results in the bucket."""
    region: str | None = None
    """AWS region; None: that of the device's ARN, else ``AWS_REGION`` of the credentials or of the environment."""
    reservation: str | None = None
    """ARN of a reservation of the device."""
    endpoint: str | None = None
    """URL of Braket's API; None: the region's own."""
    s3_endpoint: str | None = None
    """URL of S3's API; None: the region's own."""

    @classmethod
    def lacks(cls, given: Mapping[str, Any]) -> frozenset[str]:
        """Return what the device lacks: QPUs have no exact values."""
        return frozenset() if str(given.get("device", "")).endswith(_EXACT) else frozenset(("Exact",))

    @property
    def exact(self) -> bool:
        """Whether the device gives exact values."""
        return self.device.endswith(_EXACT)

    @property
    def gives_states(self) -> bool:
        """Whether the device gives state vectors: of the on-demand simulators SV1 does, and DM1 has none."""
        return self.device.endswith(_EXACT[0])

    @model_validator(mode="after")
    def _one_region(self) -> Self:
        if self.region is not None and self.device_region not in ("", self.region):
            raise ValueError(f"region is {self.region}, and the device is in {self.device_region}: leave region out")
        return self

    @property
    def device_region(self) -> str:
        """The region in the device's ARN; empty for simulators, which are in several."""
        return self.device.split(":")[3]

    @property
    def family(self) -> str:
        """Who made the device, as ARNs name them, such as ``ionq``; ``amazon`` for the on-demand simulators."""
        return self.device.split("/")[2].lower()

    @property
    def device_name(self) -> str:
        """The device's own name, the last part of its ARN."""
        return self.device.rsplit("/", 1)[1]
