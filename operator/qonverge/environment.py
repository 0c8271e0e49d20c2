"""Settings that come from environment variables: read, written and refused in one way."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from qonverge.documents.excerpt import bounded, excerpt

_PREFIX = "QONVERGE_"


def host_and_port(address: str) -> tuple[str, int]:
    """Return the parts of an address such as ``127.0.0.1:8080`` or ``[::1]:8080``.

    Raises:
        ValueError: it is none.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("give an address and port such as 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def _address(text: str) -> str:
    host_and_port(text)
    return text


Address = Annotated[str, AfterValidator(_address)]
"""An address and port, see ``host_and_port``."""


class EnvironmentSettings(BaseSettings):
    """Settings of one process. The field ``max_shots`` is the variable ``QONVERGE_MAX_SHOTS``; an empty one is not set.

    The constructor reads no environment, so that what one process says to another does not depend on its own.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_ignore_empty=True,
        # Fields read their texts themselves.
        enable_decoding=False,
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what the constructor is given, and nothing else."""
        return (init_settings,)

    @classmethod
    def variable(cls, name: str) -> str:
        """Return the environment variable of a field."""
        alias = cls.model_fields[name].validation_alias
        return alias if isinstance(alias, str) else _PREFIX + name.upper()

    @classmethod
    def flag(cls, name: str) -> str:
        """Return the command line's option for a field."""
        return "--" + name.replace("_", "-")

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None
    ) -> Self:
        """Return the settings that the environment describes; what it lacks keeps its default.

        Args:
            environment: variables; None: those of this process.
            flags: the command line's options, by the fields' names; they go before variables.

        Raises:
            ValueError: a setting cannot be read; the message names the variable or option, its value, and what it may
                be.
        """
        source = EnvSettingsSource(cls)
        variables = os.environ if environment is None else environment
        source.env_vars = {name.lower(): text for name, text in variables.items() if text}
        names = {cls.variable(name): name for name in cls.model_fields}
        flags = {} if flags is None else flags
        given = {names.get(key, key): text for key, text in source().items()} | dict(flags)
        try:
            return cls(**given)
        except ValidationError as error:
            problems = [(names.get(str(each["loc"][0]), str(each["loc"][0])), each) for each in error.errors()]
            # A default that is made of other fields fails with them.
            sentences = [cls._sentence(name, given[name], each, flags) for name, each in problems if name in given]
            raise ValueError(bounded("; ".join(sentences))) from None

    @classmethod
    def _sentence(cls, name: str, text: str, problem: Any, flags: Mapping[str, str]) -> str:
        said = cls.flag(name) if name in flags else cls.variable(name)
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "literal_error":
            message = f"give {problem['ctx']['expected']}".replace("'", "")
        return f"{said} is {excerpt(text)}: {message}"
