"""The settings of a backend server's process, as environment variables and as options of the command line."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from qonverge.backend.options import EngineOptions
from qonverge.environment import Address, EnvironmentSettings


class ServerSettings(EngineOptions, EnvironmentSettings):
    """The engine's options and those of the server in front of it."""

    model_config = SettingsConfigDict(extra="forbid")

    memory_limit: Annotated[int, Field(ge=1)] | None = None
    """Bytes for all processes together; default: the cgroup's limit."""
    listen: Address = "127.0.0.1:8080"
    """Address and port."""
    audience: str = ""
    """Audience that tokens must name."""
    instance: str = ""
    """Name of this server, which the operator's own tokens must bear; in a pod its uid."""
    key: str = ""
    """Key by which this server proves to the operator that it is one of its own."""
    public_key: str | None = None
    """Operator's public key (PEM text); without it no token is asked for."""
    grace: Annotated[float, Field(ge=0)] = 25.0
    """Seconds to drain before leaving."""

    def to_environment(self) -> dict[str, str]:
        """Return the variables that say what was set here; ``from_environment`` gives the same again."""
        given = self.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        return {
            self.variable(name): value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for name, value in given.items()
        }
