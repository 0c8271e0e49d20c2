"""The options of a backend on IonQ's cloud."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from qonverge.providers.options import Options

SERVICE = "https://api.ionq.co/v0.4"
QIS_GATES: Mapping[str, str] = {
    **{name: name for name in ("x", "y", "z", "h", "s", "t", "rx", "ry", "rz", "swap")},
    "sdg": "si",
    "tdg": "ti",
    "sx": "v",
    "sxdg": "vi",
    "cx": "cnot",
    "rxx": "xx",
    "ryy": "yy",
    "rzz": "zz",
}
"""IonQ's names of the abstract gates by Qiskit's."""
LEAST_DEBIASED_SHOTS = 500
"""With fewer, IonQ does not debias."""


class IonqOptions(Options):
    """Which device runs the tasks, and how. ``spec.ionq`` has the same fields."""

    backend: Annotated[str, Field(pattern=r"^(simulator|qpu\.[a-z0-9.-]{1,63})$")]
    """IonQ's name of the device."""
    gateset: Literal["QIS", "Native"] = "QIS"
    """Gates of programs: IonQ's abstract ones, which its compiler optimizes, or those of the hardware."""
    noise_model: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")] | None = None
    """Whose errors the simulator has; None: none."""
    debiasing: bool | None = None
    """Whether a QPU mitigates errors; None: as IonQ decides."""
    session: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] | None = None
    """Id of a session that tasks run in."""
    cost_limit: Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$")] | None = None
    """Most that IonQ may estimate for one task, in US dollars."""
    endpoint: Annotated[str, Field(pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$")] = SERVICE
    """URL of the API."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.noise_model is not None and not self.simulated:
            raise ValueError("noiseModel is for the simulator: a QPU has its own errors")
        if self.debiasing is not None and self.simulated:
            raise ValueError("debiasing is for QPUs: leave it out with the backend simulator")
        if self.cost_limit is not None and self.simulated:
            raise ValueError("costLimit is for QPUs: the simulator costs nothing")
        return self

    @property
    def simulated(self) -> bool:
        """Whether it is IonQ's simulator, which costs nothing."""
        return self.backend == "simulator"

    @property
    def most_shots(self) -> int:
        """Shots that one job may have: as IonQ's own client has it, and its schema of jobs for the simulator."""
        return 1_000_000 if self.simulated else 10_000

    @property
    def splits(self) -> bool:
        """Whether more shots than that become several jobs. Budgets count on one that is within the limit on cost."""
        return self.cost_limit is None

    @property
    def exact(self) -> bool:
        """Whether results are exact probabilities and not those of shots."""
        return self.simulated and self.noise_model in (None, "ideal")

    @property
    def written_gates(self) -> frozenset[str]:
        """IonQ's names of the gates that programs have."""
        return frozenset(QIS_GATES.values()) if self.gateset == "QIS" else frozenset(("gpi", "gpi2", self.pair_gate))

    @property
    def limit(self) -> Decimal | None:
        """The most that a task may cost, in US dollars."""
        return None if self.cost_limit is None else Decimal(self.cost_limit)

    @property
    def pair_gate(self) -> Literal["ms", "zz"]:
        """The native gate on two qubits: ``ms`` of Aria, ``zz`` of later devices; the simulator takes both."""
        return "ms" if "aria" in f"{self.backend} {self.noise_model}" or self.exact else "zz"
