"""Values that files give, checked as they are read."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

AS_FILES = ConfigDict(
    extra="forbid", strict=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
)
"""In files, names are those of the API."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
FromZero = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]
