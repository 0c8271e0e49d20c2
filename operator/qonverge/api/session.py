"""Sessions: access to a backend for a person, in place of a program that the cluster runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from qonverge.api.base import Rule, SpecModel, StatusModel, cel
from qonverge.api.placement import Duration, seconds_of

LONGEST_SESSION = "24h"
_LENGTH = f"a session takes at least 1s and at most {LONGEST_SESSION}"


class Session(SpecModel):
    """Access to a backend from where there is no pod of the job, such as a notebook on a laptop."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            Rule(
                "!has(self.duration) || (duration(self.duration) >= duration('1s') && "
                f"duration(self.duration) <= duration('{LONGEST_SESSION}'))",
                _LENGTH,
                ".duration",
            )
        )
    )

    duration: Duration = "1h"
    """How long it takes, from when it is Running: at most 24h, and less where the administrator says so. After that the
    job is Complete."""
    max_shots: Annotated[int, Field(ge=1, le=2**53)] | None = None
    """Most shots that are run in it, all tasks together. What it may cost at most is `spec.budget`."""

    @property
    def seconds(self) -> float:
        """How long it takes, seconds."""
        return seconds_of(self.duration)

    @model_validator(mode="after")
    def _as_long_as_on_the_server(self) -> Session:
        if not 1 <= self.seconds <= seconds_of(LONGEST_SESSION):
            raise ValueError(_LENGTH)
        return self


class SessionStatus(StatusModel):
    """How a session is used."""

    secret: str
    """Secret of the job's namespace: its key `token` is the token for the backend, which is renewed before it ends."""
    service: str
    """Service of the backend, by its namespace and name."""
    ends_at: str
    """When it ends (RFC 3339)."""
