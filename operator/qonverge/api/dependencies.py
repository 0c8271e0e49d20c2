"""Jobs that a job depends on, and what is known of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from qonverge.api.base import SpecModel, StatusModel

MOST_DEPENDENCIES = 16
"""Of one job."""
_MOST_PARAMETERS = 64
_ANY_JSON: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}


class Dependency(SpecModel):
    """Another HybridJob of the same namespace, whose result this one needs."""

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
    """Name of the HybridJob. It may be created later."""
    parameters: Annotated[
        dict[str, Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=_MOST_PARAMETERS)
    ] = {}
    """Parameters of this job that have their values from the other's result: by their names, the path of the value,
    such as `angle`, `points[0].energy` or, of a circuit, `expectationValues[0]`. Of a program they are added to
    `program.parameters`, of a circuit to `program.circuit.parameters`."""
    failure_policy: Literal["Fail", "Wait"] = "Fail"
    """What happens when the other fails, or is deleted before this job starts. Fail: this one fails with
    DependencyFailed. Wait: it waits for another of this name, as one that is deleted and created again."""


class DependencyStatus(StatusModel):
    """What was last seen of a job that this one depends on."""

    name: str
    """Its name."""
    uid: str | None = None
    """Its uid; absent while there was none."""
    state: str | None = None
    """Its state."""
    parameters: dict[str, str] | None = None
    """The paths by which values were taken from its result, once all dependencies were complete."""
    values: Annotated[dict[str, Any] | None, Field(json_schema_extra=_ANY_JSON)] = None
    """The values, by the names of this job's parameters."""


def each_once(value: list[Dependency]) -> list[Dependency]:
    """Return the list where no job is named twice, as the API server has it.

    Raises:
        ValueError: one is.
    """
    names = [each.name for each in value]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice} is named twice")
    return value


Dependencies = Annotated[
    list[Dependency],
    AfterValidator(each_once),
    Field(
        max_length=MOST_DEPENDENCIES,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
]
