"""What every resource shares: model settings, metadata, conditions, CEL rules."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, get_origin

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

GROUP = "qonverge.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class Rule(NamedTuple):
    """A CEL validation rule: the expression, and the sentence a person sees when it is broken."""

    rule: str
    message: str
    field_path: str | None = None
    message_expression: str | None = None
    """CEL for a sentence that says more than ``message``, which documentation shows."""

    def to_schema(self) -> dict[str, str]:
        """Return the entry for ``x-kubernetes-validations``."""
        entry = {"rule": self.rule, "message": self.message}
        if self.field_path:
            entry["fieldPath"] = self.field_path
        if self.message_expression:
            entry["messageExpression"] = self.message_expression
        return entry


def cel(*rules: Rule, **extra: Any) -> dict[str, Any]:
    """Return a ``json_schema_extra`` with these rules."""
    return {"x-kubernetes-validations": [rule.to_schema() for rule in rules], **extra}


def same(field: str, of: str = "self", before: str = "oldSelf") -> str:
    """Return the CEL expression that a field neither changed, appeared nor vanished.

    Of optional values, as ``.?`` gives them, the API server takes the cost of a comparison for unbounded.
    """
    old, new = f"{before}.{field}", f"{of}.{field}"
    return f"has({new}) == has({old}) && (!has({new}) || {new} == {old})"


class SpecModel(BaseModel):
    """Base of what a person writes: as on the API server, unknown fields are refused and no value is converted."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absence(cls, given: Any) -> Any:
        """Leave out fields and entries of maps that are null, as the API server does: it refuses unknown ones only."""
        if not isinstance(given, dict):
            return given
        kept = dict(given)
        for name, field in cls.model_fields.items():
            key = field.alias or name
            if key not in kept:
                continue
            if kept[key] is None:
                del kept[key]
            elif get_origin(field.annotation) is dict and isinstance(kept[key], dict):
                kept[key] = {entry: value for entry, value in kept[key].items() if value is not None}
        return kept


class OneOfModel(SpecModel):
    """Base of a choice: exactly one of the fields in ``one_of`` is set, here as on the API server."""

    one_of: ClassVar[tuple[str, ...]]
    """The alternatives, by their Kubernetes names."""
    what: ClassVar[str]
    """What is chosen, for the message."""

    @classmethod
    def _message(cls) -> str:
        if len(cls.one_of) == 1:
            return f"{cls.what}: set {cls.one_of[0]}"
        return f"{cls.what}: set exactly one of {', '.join(cls.one_of)}"

    @classmethod
    @cache
    def _alternatives(cls) -> tuple[str, ...]:
        """Return the Python names of ``one_of``: found once, since operators ask for what is chosen all the time."""
        return tuple(name for name, field in cls.model_fields.items() if (field.alias or name) in cls.one_of)

    def _given(self) -> list[str]:
        return [name for name in self._alternatives() if getattr(self, name) is not None]

    @property
    def chosen(self) -> str:
        """The Python name of the field that is set."""
        (name,) = self._given()
        return name

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self._given()) != 1:
            raise ValueError(self._message())
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the choice as a CEL rule."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        total = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in cls.one_of)
        # A new list: the one in the schema belongs to the model, and every later schema would have the rule again.
        rule = Rule(f"{total} == 1", cls._message()).to_schema()
        schema["x-kubernetes-validations"] = [rule, *schema.get("x-kubernetes-validations", [])]
        return schema


class StatusModel(BaseModel):
    """Base of what the operator writes: fields of a newer version are passed over."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form with Kubernetes' field names, without unset fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Condition(StatusModel):
    """One aspect of the current state, as in ``metav1.Condition``."""

    type: Annotated[str, Field(max_length=316)]
    """Kind of the condition, in CamelCase."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """Why, in one CamelCase word, for programs."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """Why, in a sentence, for people."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When ``status`` last changed (RFC 3339)."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The ``metadata.generation`` that this condition was set for."""


CONDITIONS_SCHEMA: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


class LabelSelectorRequirement(SpecModel):
    """One requirement on a label, as in ``metav1.LabelSelectorRequirement``."""

    key: str
    """The label's key."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the key relates to the values."""
    values: Annotated[list[str], Field(max_length=64)] = []
    """The values; empty for Exists and DoesNotExist."""

    def matches(self, labels: dict[str, str]) -> bool:
        """Return whether the labels meet this requirement."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels


class LabelSelector(SpecModel):
    """A selector over labels, as in ``metav1.LabelSelector``; all requirements must hold."""

    match_labels: dict[str, str] = {}
    """Labels that must have these very values."""
    match_expressions: Annotated[list[LabelSelectorRequirement], Field(max_length=64)] = []
    """Further requirements."""

    def matches(self, labels: dict[str, str]) -> bool:
        """Return whether the labels meet every requirement."""
        return all(labels.get(k) == v for k, v in self.match_labels.items()) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )

    def __str__(self) -> str:
        """Return the form that ``kubectl get -l`` takes, near enough for a message."""
        terms = [f"{key}={value}" for key, value in self.match_labels.items()]
        terms += [f"{r.key} {r.operator} ({', '.join(r.values)})" for r in self.match_expressions]
        return ", ".join(terms) or "everything"


class ConfigMapKeyRef(SpecModel):
    """A key of a ConfigMap in the object's own namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key whose value is taken."""


class SecretKeyRef(SpecModel):
    """A key of a Secret in the object's own namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key whose value is taken."""


class OwnerReference(BaseModel):
    """The part of ``metav1.OwnerReference`` that Qonverge reads."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)

    kind: str
    name: str
    uid: str
    controller: bool = False


class ObjectMeta(BaseModel):
    """The part of ``metav1.ObjectMeta`` that Qonverge reads."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)

    name: Annotated[str, Field(max_length=253)]
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []
    owner_references: list[OwnerReference] = []
