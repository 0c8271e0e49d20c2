"""The options of a backend on Google's Quantum Engine."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from qonverge.providers.options import Options

_ID = r"^[A-Za-z0-9_.:-]+$"
ENDPOINT = "https://quantum.googleapis.com"


class GoogleOptions(Options):
    """Which processor runs the jobs, and for which project. ``spec.google`` has the same fields."""

    project: Annotated[str, Field(pattern=_ID, max_length=64)]
    """Id of the Google Cloud project."""
    processor: Annotated[str, Field(pattern=_ID, max_length=64)]
    """Id of the processor."""
    device_config_name: Annotated[str, Field(pattern=_ID, max_length=128)] | None = None
    """The device configuration, of a run or a snapshot; None: the processor's own default."""
    run_name: Annotated[str, Field(pattern=_ID, max_length=128)] | None = None
    """The automation run that the configuration is of."""
    snapshot_id: Annotated[str, Field(pattern=_ID, max_length=128)] | None = None
    """The snapshot that it is of."""
    endpoint: str = ENDPOINT
    """URL of the API."""

    @model_validator(mode="after")
    def _one_configuration(self) -> Self:
        if (self.device_config_name is not None) != ((self.run_name is None) != (self.snapshot_id is None)):
            raise ValueError("set deviceConfigName together with one of runName and snapshotId, or none of them")
        return self

    @property
    def processor_name(self) -> str:
        """The processor as the API names it."""
        return f"projects/{self.project}/processors/{self.processor}"

    @property
    def configuration(self) -> str:
        """The device configuration as the API names it; empty where none is set."""
        if self.device_config_name is None:
            return ""
        revision = (
            f"configSnapshots/{self.snapshot_id}" if self.snapshot_id else f"configAutomationRuns/{self.run_name}"
        )
        return f"{self.processor_name}/{revision}/configs/{self.device_config_name}"
