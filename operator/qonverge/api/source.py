"""What a QuantumBackend's specification says of its source, in one form for all sections. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qonverge.api.base import ConfigMapKeyRef, OneOfModel, SecretKeyRef
from qonverge.api.noise import Noise

CA_FILE = "/run/qonverge/authorities/ca.crt"
"""Where a pod has the certificates that it is to trust."""


class CaBundle(OneOfModel):
    """Certificates in PEM: exactly one place."""

    one_of = ("configMapKeyRef", "secretKeyRef")
    what = "caBundle"

    config_map_key_ref: ConfigMapKeyRef | None = None
    """They are in a ConfigMap."""
    secret_key_ref: SecretKeyRef | None = None
    """They are in a Secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What computes: a simulator in pods, or a device elsewhere for which one pod stands."""

    provider: str
    """Name of the provider's descriptor."""
    elsewhere: bool
    """Whether it is a device elsewhere: its pod is a proxy, tasks are sent on, and may wait there for hours."""
    options: Mapping[str, Any] | None = None
    """The provider's own, as plain JSON; None: none are given."""
    options_path: str = ""
    """Where the specification has them; empty where they are the section itself, which its own model has checked."""
    credentials: str = ""
    """Name of the Secret with credentials; empty: the pod's own identity."""
    authorities: CaBundle | None = None
    """Certificates that the pod finds in ``CA_FILE``."""
    method: str = "Automatic"
    computes_on: Literal["CPU", "GPU"] = "CPU"
    """What the pod computes with."""
    noise: Noise | None = None
    """A device to imitate. A device elsewhere has its own errors, which its pod tells."""
    keeps_layouts: bool = False
    """Whether qubit i of a circuit without a layout lies on the device's qubit i."""
    seed: int | None = None
    """For jobs that give none."""

    @property
    def noisy(self) -> bool:
        """Whether it imitates a device."""
        return self.noise is not None

    @property
    def pauli(self) -> bool:
        """Whether all errors that it imitates are Pauli errors."""
        return self.noise is None or self.noise.pauli
