"""The base of providers' own options. Apart from descriptors, which programs import too: pydantic takes a moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel


class Options(BaseModel):
    """``spec.simulator.options`` of one provider, in camelCase there; what is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    @classmethod
    def lacks(cls, given: Mapping[str, Any]) -> frozenset[str]:
        """Return what a device that is set up so lacks besides what its provider does, of ``descriptor.FEATURES``.

        Args:
            given: the options, which nobody may have checked yet.
        """
        del given
        return frozenset()

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> Self:
        """Return the options that a server is set up with.

        Raises:
            LookupError: they are none; the message names the field.
        """
        try:
            return cls.model_validate(given or {})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in ("options", *first["loc"]))
            raise LookupError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None
