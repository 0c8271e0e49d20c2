"""CustomResourceDefinitions, generated from the models.

``python -m qonverge.api.schema FOLDER...`` writes them into each folder; a test compares them
with what is committed.
Structural schema rules: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from qonverge.api.backend import QuantumBackend, QuantumBackendSpec, QuantumBackendStatus
from qonverge.api.base import GROUP, VERSION
from qonverge.api.job import HybridJob, HybridJobSpec, HybridJobStatus
from qonverge.api.quota import QuantumQuota, QuantumQuotaSpec, QuantumQuotaStatus

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
        return kept | {key: schema[key] for key in ("pattern", "minimum") if key in schema}
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


def _column(name: str, path: str, description: str, kind: str = "string", priority: int = 0) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return column | ({"priority": priority} if priority else {})


_AGE = _column("Age", ".metadata.creationTimestamp", "Time since creation.", "date")


# What an object says before the operator does: without conditions kstatus would take it for one that is done.
_UNSEEN = {
    "reason": "Unseen",
    "message": "the operator has not seen it yet",
    "lastTransitionTime": "1970-01-01T00:00:00Z",
}
_INITIAL = {
    "conditions": [
        {"type": "Ready", "status": "Unknown", **_UNSEEN},
        {"type": "Reconciling", "status": "True", **_UNSEEN},
    ]
}


def _crd(
    *,
    names: Schema,
    kind: type[BaseModel],
    spec: type[BaseModel],
    status: type[BaseModel],
    columns: list[Schema],
    initial: Schema = _INITIAL,
    selectable: Sequence[str] = (),
    scale: Schema | None = None,
) -> Schema:
    plural = names["plural"]
    # The rules that need more than one part of the object; metadata and the rest of its schema are the API server's.
    rules = {_RULES: found} if (found := kind.model_json_schema().get(_RULES)) else {}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": names | {"categories": ["quantum"]},
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}} | ({"scale": scale} if scale else {}),
                    "additionalPrinterColumns": columns,
                    **({"selectableFields": [{"jsonPath": path} for path in selectable]} if selectable else {}),
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": (kind.__doc__ or "").strip(),
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": structural(spec, defaults=True),
                                "status": structural(status, defaults=False) | {"default": initial},
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
    backend = _crd(
        names={
            "kind": "QuantumBackend",
            "listKind": "QuantumBackendList",
            "plural": "quantumbackends",
            "singular": "quantumbackend",
            "shortNames": ["qb"],
        },
        kind=QuantumBackend,
        spec=QuantumBackendSpec,
        status=QuantumBackendStatus,
        columns=[
            _column("Engine", ".spec.simulator.engine", "Simulation engine."),
            _column("State", '.status.conditions[?(@.type=="Ready")].reason', "Whether it serves, in a word."),
            _column("Ready", ".status.ready", "Pods that serve, of those that should be."),
            _column("Queue", ".status.queueLength", "Tasks that wait.", "integer"),
            _column("Running", ".status.running", "Tasks that run.", "integer"),
            _column("Message", '.status.conditions[?(@.type=="Ready")].message', "The same in a sentence.", priority=1),
            _column("Qubits", ".status.capabilities.maxQubits", "Most qubits of a circuit.", "integer", 1),
            _AGE,
        ],
        scale={
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    )
    job = _crd(
        names={
            "kind": "HybridJob",
            "listKind": "HybridJobList",
            "plural": "hybridjobs",
            "singular": "hybridjob",
            "shortNames": ["hj"],
        },
        kind=HybridJob,
        spec=HybridJobSpec,
        status=HybridJobStatus,
        columns=[
            _column("State", ".status.state", "Where the job is in its life."),
            _column("Backend", ".status.backend", "Backend that runs it."),
            _column("Progress", ".status.progress", "Share done."),
            _column("Reason", ".status.reason", "Why it is in this state."),
            _column("Duration", ".status.duration", "How long its last attempt took."),
            _column("Shots", ".status.usage.shots", "Runs of circuits so far.", "integer"),
            _column("Cost", ".status.usage.cost", "What it cost so far."),
            _column("Attempts", ".status.attempts", "How often it was started.", "integer", 1),
            _column("Message", ".status.message", "Why it is in this state, in a sentence.", "string", 1),
            _AGE,
        ],
        initial={"state": "Pending", **_INITIAL},
        selectable=(".status.state", ".status.backend"),
    )
    quota = _crd(
        names={
            "kind": "QuantumQuota",
            "listKind": "QuantumQuotaList",
            "plural": "quantumquotas",
            "singular": "quantumquota",
            "shortNames": ["qq"],
        },
        kind=QuantumQuota,
        spec=QuantumQuotaSpec,
        status=QuantumQuotaStatus,
        columns=[
            _column("Shots", ".status.used.shots", "Runs that were used in this period.", "integer"),
            _column("Of", ".spec.limits.shots", "Runs that may be used.", "integer"),
            _column("Seconds", ".status.used.seconds", "Run time that was used in this period.", "number"),
            _column("Cost", ".status.used.cost", "Money that was used in this period."),
            _column("Jobs", ".status.runningJobs", "Jobs that are placed or running.", "integer"),
            _column("Until", ".status.periodEnd", "When the period ends.", "string", 1),
            _column("Weight", ".spec.weight", "Share beside other namespaces.", "integer", 1),
            _AGE,
        ],
    )
    return {f"{crd['metadata']['name']}.yaml": crd for crd in (backend, job, quota)}


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
