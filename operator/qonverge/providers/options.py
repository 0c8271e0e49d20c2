"""The base of providers' own options. Apart from descriptors, which programs import too: pydantic takes a moment."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Options(BaseModel):
    """``spec.simulator.options`` of one provider, in camelCase there; what is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)
