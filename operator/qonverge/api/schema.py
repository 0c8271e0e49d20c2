"""CustomResourceDefinitions, generated from the models.

``python -m qonverge.api.schema FOLDER...`` writes them into each folder; a test compares them
with what is committed.
Structural schema rules: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from qonverge.api.registry import RESOURCES, Column, Resource

Schema = dict[str, Any]

_INT_OR_STRING = "x-kubernetes-int-or-string"
_RULES = "x-kubernetes-validations"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_COPIED = (
    *("type", "enum", "pattern", "format", "minLength", "maxLength", "minItems", "maxItems"),
    *("minimum", "maximum", "minProperties", "maxProperties", "required"),
)


def structural(model: type[BaseModel], *, defaults: bool) -> Schema:
    """Return the model's structural schema, with all references inlined.

    Only scalar defaults are kept (an object's default would be written into every stored manifest), and none
    without ``defaults``: a status has none, since what is absent was not observed.
    """
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})
    return _convert(schema, definitions, defaults)


def _convert(schema: Schema, definitions: dict[str, Schema], defaults: bool) -> Schema:
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    kept = {key: value for key, value in schema.items() if key.startswith("x-kubernetes-") or key == "description"}
    if "description" in kept:
        kept["description"] = " ".join(kept["description"].split())
    if schema.get(_INT_OR_STRING) or schema.get(_PRESERVE):
        # The pattern holds for texts, the minimum for numbers.
        given = kept | {key: schema[key] for key in ("pattern", "minimum") if key in schema}
        return given | ({"type": "object"} if schema.get("type") == "object" else {})
    if "anyOf" in schema:
        # The only unions that a structural schema has are optional ones; nullness is absence.
        (inner,) = [option for option in schema["anyOf"] if option.get("type") != "null"]
        converted = _convert(inner, definitions, defaults)
        return {**converted, **kept, **_default(schema, defaults)}
    out: Schema = {key: schema[key] for key in _COPIED if key in schema}
    if "exclusiveMinimum" in schema:
        out |= {"minimum": schema["exclusiveMinimum"], "exclusiveMinimum": True}
    if "const" in schema:
        out["enum"] = [schema["const"]]
    if "items" in schema:
        out["items"] = _convert(schema["items"], definitions, defaults)
    if isinstance(schema.get("additionalProperties"), dict):
        out["additionalProperties"] = _convert(schema["additionalProperties"], definitions, defaults)
    if "properties" in schema:
        out["properties"] = {
            name: _convert(value, definitions, defaults) for name, value in schema["properties"].items()
        }
    if out.get("type") == "integer":
        out["format"] = "int64"
    return out | kept | _default(schema, defaults)


def _default(schema: Schema, defaults: bool) -> Schema:
    value = schema.get("default")
    return {"default": value} if defaults and isinstance(value, str | int | float | bool) else {}


_AGE = Column("Age", ".metadata.creationTimestamp", "Time since creation.", "date")


def _column(column: Column) -> Schema:
    shown: Schema = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
    }
    return shown | ({"priority": column.priority} if column.priority else {})


def _definition(resource: Resource) -> Schema:
    # The rules that need more than one part of the object; metadata and the rest of its schema are the API server's.
    rules = {_RULES: found} if (found := resource.model.model_json_schema().get(_RULES)) else {}
    status = structural(resource.part("status"), defaults=False)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.singular,
                "shortNames": list(resource.short_names),
                "categories": ["quantum"],
            },
            "versions": [
                {
                    "name": resource.version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}} | ({"scale": dict(resource.scale)} if resource.scale else {}),
                    "additionalPrinterColumns": [_column(column) for column in (*resource.columns, _AGE)],
                    **(
                        {"selectableFields": [{"jsonPath": path} for path in resource.selectable]}
                        if resource.selectable
                        else {}
                    ),
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": (resource.model.__doc__ or "").strip(),
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": structural(resource.part("spec"), defaults=True),
                                "status": status | {"default": dict(resource.initial)},
                            },
                        }
                        | rules
                    },
                }
            ],
        },
    }


def custom_resource_definitions() -> dict[str, Schema]:
    """Return the CustomResourceDefinitions by file name."""
    return {f"{each.plural}.{each.group}.yaml": _definition(each) for each in RESOURCES.values()}


class _Dumper(yaml.SafeDumper):
    """YAML without anchors: kubectl reads them, people do not."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def render() -> dict[str, str]:
    """Return the YAML text of each CustomResourceDefinition by file name."""
    header = "# Generated from operator/qonverge/api by `make generate`; edit the models instead.\n"
    return {
        name: header + yaml.dump(crd, Dumper=_Dumper, sort_keys=False, width=120)
        for name, crd in custom_resource_definitions().items()
    }


def main(folders: list[str]) -> None:
    """Write the CustomResourceDefinitions into each folder."""
    for folder in folders:
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        for name, text in render().items():
            (target / name).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
