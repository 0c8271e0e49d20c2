"""Manifests in files: read, checked, with errors that name the file, the document and the field."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from qonverge.api import API_VERSION, HybridJob, QuantumBackend


class ManifestError(Exception):
    """A manifest that cannot be used; each problem is one line for a person."""

    def __init__(self, problems: list[str]) -> None:
        """Keep every problem, so that all can be mended at once."""
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(slots=True)
class Manifests:
    """What was read."""

    jobs: list[HybridJob] = field(default_factory=list)
    backends: list[QuantumBackend] = field(default_factory=list)
    config_maps: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """Data of ConfigMaps by (namespace, name)."""

    def text(self, job: HybridJob) -> str:
        """Return the program's text, from the job or the ConfigMap that it names.

        Raises:
            LookupError: when there is no such ConfigMap or key among the files.
        """
        program = job.spec.program
        inline = program.circuit.openqasm if program.circuit else program.python.source if program.python else None
        if inline is not None:
            return inline
        chosen = program.circuit or program.python
        assert chosen is not None
        assert chosen.config_map_key_ref is not None
        reference = chosen.config_map_key_ref
        data = self.config_maps.get((job.metadata.namespace, reference.name))
        if data is None:
            raise LookupError(f"there is no ConfigMap {reference.name} among the files given")
        if reference.key not in data:
            raise LookupError(f"the ConfigMap {reference.name} has no key {reference.key}; it has {', '.join(data)}")
        return data[reference.key]


def read(paths: Iterable[str]) -> Manifests:
    """Return what the files hold; ``-`` is standard input.

    Raises:
        ManifestError: listing every problem in every file.
    """
    manifests, problems = Manifests(), []
    for path in paths:
        try:
            text = sys.stdin.read() if path == "-" else Path(path).read_text()
            documents = list(yaml.safe_load_all(text))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{path}: {getattr(error, 'strerror', None) or error}")
            continue
        except yaml.YAMLError as error:
            problems.append(f"{path}: not YAML: {' '.join(str(error).split())}")
            continue
        for index, document in enumerate(_flatten(documents)):
            where = path if len(documents) == 1 else f"{path}, document {index + 1}"
            problems += [f"{where}: {problem}" for problem in _take(manifests, document)]
    if problems:
        raise ManifestError(problems)
    return manifests


def _flatten(documents: Iterable[Any]) -> list[Any]:
    flat: list[Any] = []
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == "List":
            flat += document.get("items") or []
        elif document is not None:
            flat.append(document)
    return flat


def _take(manifests: Manifests, document: Any) -> list[str]:
    """Add the document to the manifests, or return what is wrong with it."""
    if not isinstance(document, dict) or "kind" not in document:
        return ["not a Kubernetes object: apiVersion, kind, metadata and spec are needed"]
    kind, version = document["kind"], document.get("apiVersion")
    if kind == "ConfigMap" and version == "v1":
        metadata = document.get("metadata") or {}
        key = (metadata.get("namespace", "default"), str(metadata.get("name")))
        manifests.config_maps[key] = {str(name): str(value) for name, value in (document.get("data") or {}).items()}
        return []
    models: dict[str, type[BaseModel]] = {"HybridJob": HybridJob, "QuantumBackend": QuantumBackend}
    if kind not in models:
        return [f"kind {kind!r} is not known here: use HybridJob, QuantumBackend or ConfigMap"]
    if version != API_VERSION:
        return [f"apiVersion is {version!r}: use {API_VERSION}"]
    # What an earlier run wrote there is not input.
    given = {name: value for name, value in document.items() if name != "status"}
    try:
        value = models[kind].model_validate(given)
    except ValidationError as error:
        return [_sentence(problem, models[kind]) for problem in error.errors()]
    if isinstance(value, HybridJob):
        manifests.jobs.append(value)
    elif isinstance(value, QuantumBackend):
        manifests.backends.append(value)
    return []


def _sentence(problem: Any, model: type[BaseModel]) -> str:
    location = [str(part) for part in problem["loc"]]
    path = ".".join(location) or "the object"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _fields(model, location[:-1]), 1)
        return f"{path}: unknown field" + (f"; did you mean {near[0]}?" if near else "")
    if problem["type"] == "missing":
        return f"{path}: required"
    given = problem.get("input")
    return f"{path}: {message}" + (f", not {given!r}" if isinstance(given, str | int | float) else "")


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the names of the fields at a path inside a model."""
    schema = model.model_json_schema(by_alias=True)
    node: Any = schema
    for part in [*path, None]:
        while "$ref" in node or "anyOf" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node["anyOf"][0]
        if part is not None:
            node = node.get("properties", {}).get(part, {})
    return list(node.get("properties", {}))
