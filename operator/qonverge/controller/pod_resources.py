"""What pods may take of a node where nobody says it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import ValidationError

from qonverge.api.backend import ResourceRequirements
from qonverge.api.quantity import amount_of


@dataclass(frozen=True, slots=True)
class Defaults:
    """Requests and limits by resource, as in ``core/v1.ResourceRequirements``."""

    requests: Mapping[str, str | int]
    limits: Mapping[str, str | int]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the defaults that JSON describes.

        Raises:
            ValueError: it is none of a container's resources.
        """
        try:
            given = ResourceRequirements.model_validate(json.loads(text))
        except ValidationError as error:
            problem = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
        return cls(given.requests, given.limits)

    def fill(self, given: ResourceRequirements) -> dict[str, Any]:
        """Return a container's resources: what is given, and defaults where nothing is said of a resource.

        A limit that is given alone is the request too, as everywhere in Kubernetes. A request that is given alone is
        the limit where it is above the default one.
        """
        requests, limits = dict(given.requests), dict(given.limits)
        for resource, request in self.requests.items():
            if resource not in given.limits:
                requests.setdefault(resource, request)
        for resource, limit in self.limits.items():
            least = requests.get(resource, 0)
            limits.setdefault(resource, max(limit, least, key=amount_of))
        return {name: values for name, values in (("requests", requests), ("limits", limits)) if values}


PROGRAM = Defaults(
    {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "64Mi"}, {"memory": "2Gi", "ephemeral-storage": "1Gi"}
)
"""Of programs' pods, unless the operator's settings have others."""

BACKEND = Defaults(
    {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "64Mi"},
    # No limit of memory: a server finds out how much there is, and refuses circuits that need more.
    {"ephemeral-storage": "1Gi"},
)
"""Of backends' pods, which write their log only."""

PROXY = Defaults(
    {"cpu": "50m", "memory": "256Mi", "ephemeral-storage": "64Mi"}, {"memory": "1Gi", "ephemeral-storage": "1Gi"}
)
"""Of pods that stand for a device elsewhere: they translate circuits and wait."""
