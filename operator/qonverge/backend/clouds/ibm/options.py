"""The options of a backend on IBM Quantum."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from qonverge.providers.options import Options

IAM = "https://iam.cloud.ibm.com"
CRN = r"^crn:v1:[A-Za-z0-9-]*:[a-z]*:quantum-computing:[a-z0-9-]+:[^:\s]*:[^:\s]*:[^:\s]*:[^:\s]*$"


class IBMOptions(Options):
    """Which device runs the jobs, and how. ``spec.ibm`` has the same fields."""

    backend: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
    """Name of the device, such as ibm_fez."""
    instance: Annotated[str, Field(pattern=CRN)] | None = None
    """CRN of the service instance; None: ``QISKIT_IBM_INSTANCE`` of the credentials or of the environment."""
    mode: Literal["Job", "Batch", "Session"] = "Job"
    """Whether jobs run each by itself, in batches, or in sessions, which have the device to themselves."""
    max_ttl: Annotated[int, Field(ge=1)] | None = None
    """Longest time that a batch or session lasts, seconds; None: the longest that IBM gives."""
    max_execution_time: Annotated[int, Field(ge=1)] | None = None
    """Seconds of the device after which IBM ends a job; None: as IBM says."""
    sampler: dict[str, Any] | None = None
    """Options of SamplerV2, by their own names; None: IBM's defaults."""
    estimator: dict[str, Any] | None = None
    """Options of EstimatorV2, by their own names; None: IBM's defaults."""
    endpoint: str | None = None
    """URL of IBM's API; None: that of the instance's region."""
    iam_endpoint: str | None = None
    """URL of the service that gives tokens; None: IBM Cloud's."""


def api_of(crn: str) -> str:
    """Return the URL of the API for an instance: each region has its own."""
    region = crn.split(":")[5]
    return f"https://{'' if region == 'us-east' else f'{region}.'}quantum.cloud.ibm.com/api/v1"
