"""Manifests in files: read, checked, with errors that name the file, the document and the field."""

from __future__ import annotations

import base64
import difflib
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from qonverge.api import API_VERSION, HybridJob, QuantumBackend
from qonverge.api.base import ConfigMapKeyRef
from qonverge.devices import InvalidCalibration
from qonverge.devices.noise import Noise, noise_from_data

# What the API server asks of names (RFC 1123 subdomain) and namespaces (RFC 1123 label).
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


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
    config_maps: dict[tuple[str, str], dict[str, str | bytes]] = field(default_factory=dict)
    """Data of ConfigMaps by (namespace, name), the binary ones as bytes."""
    places: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """Which file, and which document of it, each object is in: by (kind, namespace, name)."""

    def where(self, job: HybridJob) -> str:
        """Return the field that is the job's program, with its file and document."""
        place = self.places["HybridJob", job.metadata.namespace, job.metadata.name]
        return f"{place}: spec.program.{'circuit' if job.spec.program.circuit else 'python'}"

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
        value = self._value(job.metadata.namespace, chosen.config_map_key_ref)
        if isinstance(value, bytes):
            reference = chosen.config_map_key_ref
            raise LookupError(f"the key {reference.key} of the ConfigMap {reference.name} holds no text")
        return value

    def noise(self, backend: QuantumBackend) -> Noise | None:
        """Return what the backend imitates, from itself or the ConfigMap that it names; None for nothing.

        Raises:
            LookupError: there is no such ConfigMap or key among the files, or it holds no calibration.
        """
        noise = backend.spec.simulator.noise if backend.spec.simulator else None
        if noise is None or noise.config_map_key_ref is None:
            return None if noise is None else noise.known()
        reference = noise.config_map_key_ref
        try:
            return noise_from_data(self._value(backend.metadata.namespace, reference))
        except InvalidCalibration as error:
            raise LookupError(f"the key {reference.key} of the ConfigMap {reference.name}: {error}") from None

    def _value(self, namespace: str, reference: ConfigMapKeyRef) -> str | bytes:
        data = self.config_maps.get((namespace, reference.name))
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
            text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
            documents = list(yaml.load_all(text, Loader=_Loader))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{path}: {getattr(error, 'strerror', None) or error}")
            continue
        except yaml.YAMLError as error:
            problems.append(f"{path}: not YAML: {' '.join(str(error).split())}")
            continue
        except RecursionError:
            problems.append(f"{path}: nested too deeply")
            continue
        for index, document in enumerate(documents):
            where = path if len(documents) == 1 else f"{path}, document {index + 1}"
            for suffix, item in _items(document):
                problems += [f"{where}{suffix}: {problem}" for problem in _take(manifests, item, where + suffix)]
    # Whose ConfigMap may come after it, or from another file.
    for backend in manifests.backends:
        try:
            manifests.noise(backend)
        except LookupError as error:
            place = manifests.places["QuantumBackend", backend.metadata.namespace, backend.metadata.name]
            problems.append(f"{place}: spec.simulator.noise: {error.args[0]}")
    if problems:
        raise ManifestError(problems)
    return manifests


class _Loader(yaml.SafeLoader):
    """Leaves times as they are written, as the API server does."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class's own attribute
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _items(document: Any) -> list[tuple[str, Any]]:
    """Return the objects of a document, each with what to add to its place: a List has several."""
    if isinstance(document, dict) and document.get("kind") == "List" and isinstance(document.get("items"), list):
        return [(f", item {index + 1}", item) for index, item in enumerate(document["items"])]
    return [] if document is None else [("", document)]


def _take(manifests: Manifests, document: Any, place: str) -> list[str]:
    """Add the document to the manifests, or return what is wrong with it."""
    if not isinstance(document, dict) or "kind" not in document:
        return ["not a Kubernetes object: apiVersion, kind, metadata and spec are needed"]
    kind, version = document["kind"], document.get("apiVersion")
    models: dict[str, type[BaseModel]] = {"HybridJob": HybridJob, "QuantumBackend": QuantumBackend}
    if kind not in ("ConfigMap", *models):
        return [f"kind {kind!r} is not known here: use HybridJob, QuantumBackend or ConfigMap"]
    wanted = API_VERSION if kind in models else "v1"
    if version != wanted:
        return [f"apiVersion is {version!r}: use {wanted}"]
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        return ["metadata.name: required"]
    name, namespace = metadata["name"], metadata.get("namespace", "default")
    if not _NAME.fullmatch(name):
        return [f"metadata.name: use lower case letters, digits, '-' and '.', not {name!r}"]
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
        return [f"metadata.namespace: use lower case letters, digits and '-', not {namespace!r}"]
    if first := manifests.places.get((kind, namespace, name)):
        return [f"{kind} {namespace}/{name} is given twice, first in {first}"]
    manifests.places[kind, namespace, name] = place
    if kind == "ConfigMap":
        try:
            manifests.config_maps[namespace, name] = _values(document)
        except (AttributeError, TypeError, ValueError):
            return ["data: texts by name are needed, and base64 in binaryData"]
        return []
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


def _values(config_map: dict[str, Any]) -> dict[str, str | bytes]:
    binary = {key: base64.b64decode(coded) for key, coded in (config_map.get("binaryData") or {}).items()}
    data = dict((config_map.get("data") or {}).items())
    if not all(isinstance(value, str) for value in data.values()):
        raise TypeError
    return {**data, **binary}


def _sentence(problem: Any, model: type[BaseModel]) -> str:
    loc = problem["loc"]
    # Of an item that may be one of several types pydantic also names the type that it tried, which is no field.
    location = [
        str(part)
        for before, part in zip([None, *loc], loc, strict=False)
        if not (isinstance(before, int) and (part == "str" or str(part).startswith("dict[")))
    ]
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
