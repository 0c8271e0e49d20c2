"""Manifests in files: read, checked, with errors that name the file, the document and the field."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from qonverge.api import API_VERSION, HybridJob, QuantumBackend, QuantumQuota
from qonverge.api.base import ConfigMapKeyRef
from qonverge.api.kubernetes import ConfigMap, Metadata
from qonverge.circuits import InvalidProgram
from qonverge.devices import InvalidCalibration
from qonverge.devices.noise import Noise, noise_from_data
from qonverge.documents.excerpt import bounded, json_excerpt
from qonverge.documents.faults import Unreadable
from qonverge.documents.reader import read_documents
from qonverge.programs import source
from qonverge.programs.kinds import kind_of
from qonverge.programs.source import Program

_MODELS: dict[str, type[BaseModel]] = {
    "HybridJob": HybridJob,
    "QuantumBackend": QuantumBackend,
    "QuantumQuota": QuantumQuota,
    "ConfigMap": ConfigMap,
}
_MOST_BYTES = 64 * 1024 * 1024


class ManifestError(Exception):
    """A manifest that cannot be used; each problem is one line for a person."""

    def __init__(self, problems: list[str]) -> None:
        """Keep every problem, so that all can be mended at once."""
        self.problems = [bounded(" ".join(problem.splitlines())) for problem in problems]
        super().__init__("\n".join(self.problems))


@dataclass(slots=True)
class Manifests:
    """What was read."""

    jobs: list[HybridJob] = field(default_factory=list)
    backends: list[QuantumBackend] = field(default_factory=list)
    quotas: list[QuantumQuota] = field(default_factory=list)
    config_maps: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """ConfigMaps as they were given, by (namespace, name)."""
    places: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """Which file, and which document of it, each object is in: by (kind, namespace, name)."""

    def where(self, job: HybridJob) -> str:
        """Return the field that is the job's program, with its file and document."""
        place = self.places["HybridJob", job.metadata.namespace, job.metadata.name]
        return f"{place}: spec.program.{kind_of(job).name}"

    def program(self, job: HybridJob) -> Program:
        """Return the job's program, from itself or the ConfigMap that it names.

        Raises:
            LookupError: when there is no such ConfigMap or key among the files.
            InvalidProgram: when it is not in base64 where it should be.
        """
        kind = kind_of(job)
        given, reference = kind.inline(job), kind.reference(job)
        if reference is not None:
            return self._value(job.metadata.namespace, reference)
        assert given is not None
        return given

    def noise(self, backend: QuantumBackend) -> Noise | None:
        """Return what the backend imitates, from itself or the ConfigMap that it names; None for nothing.

        Raises:
            LookupError: there is no such ConfigMap or key among the files, or it holds no calibration.
        """
        noise = backend.spec.source.noise
        if noise is None or noise.config_map_key_ref is None:
            return None if noise is None else noise.known()
        reference = noise.config_map_key_ref
        try:
            return noise_from_data(self._value(backend.metadata.namespace, reference))
        except InvalidCalibration as error:
            raise LookupError(f"the key {reference.key} of the ConfigMap {reference.name}: {error}") from None
        except InvalidProgram as error:
            raise LookupError(str(error)) from None

    def _value(self, namespace: str, reference: ConfigMapKeyRef) -> Program:
        name = reference.name
        config_map = self.config_maps.get((namespace, name))
        if config_map is None:
            others = sorted(other for other, each in self.config_maps if each == name)
            there = f"; there is one in {', '.join(others)}, and only the own namespace is looked in" if others else ""
            raise LookupError(f"there is no ConfigMap {name} in namespace {namespace} among the files given{there}")
        value = source.value(config_map, reference.key)
        if value is None:
            raise LookupError(f"the ConfigMap {name} has no key {reference.key}; it has {source.keys(config_map)}")
        return value


def read(paths: Iterable[str]) -> Manifests:
    """Return what the files hold; ``-`` is standard input.

    Raises:
        ManifestError: listing every problem in every file.
    """
    manifests, problems = Manifests(), []
    for path in paths:
        try:
            documents = read_documents(_bytes(path))
        except IsADirectoryError:
            problems.append(f"{path}: is a folder: name the files in it, such as {path.rstrip('/')}/*.yaml")
            continue
        except OSError as error:
            problems.append(f"{path}: {error.strerror or error}")
            continue
        except Unreadable as error:
            problems.append(f"{path}: neither YAML nor JSON: {error}")
            continue
        for index, document in enumerate(documents):
            if document.faults:
                problems += [f"{path}: {fault}" for fault in document.faults]
                continue
            where = path if len(documents) == 1 else f"{path}, document {index + 1}"
            for suffix, item in _items(document.value):
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


def refuse_quotas(manifests: Manifests) -> None:
    """Refuse what has no meaning without a cluster.

    Raises:
        ManifestError: there are quotas.
    """
    if manifests.quotas:
        names = (("QuantumQuota", quota.metadata.namespace, quota.metadata.name) for quota in manifests.quotas)
        raise ManifestError(
            [f"{manifests.places[name]}: a QuantumQuota holds on a cluster only: leave it out here" for name in names]
        )


def _bytes(path: str) -> bytes:
    """Return what a file holds.

    Raises:
        OSError: it cannot be read.
        Unreadable: it is too large for a manifest.
    """
    if path == "-":
        data = sys.stdin.buffer.read(_MOST_BYTES + 1)
    else:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise OSError(0, f"larger than {_MOST_BYTES} bytes, which no manifest is")
    return data


def _items(document: Any) -> list[tuple[str, Any]]:
    """Return the objects of a document, each with what to add to its place: a list has several."""
    if isinstance(document, dict) and isinstance(document.get("items"), list):
        kind = document.get("kind")
        if isinstance(kind, str) and kind.endswith("List"):
            return [(f", item {index + 1}", item) for index, item in enumerate(document["items"])]
    return [] if document is None else [("", document)]


def _take(manifests: Manifests, document: Any, place: str) -> list[str]:
    """Add the document to the manifests, or return what is wrong with it."""
    if not isinstance(document, dict) or document.get("kind") is None:
        return ["not a Kubernetes object: apiVersion, kind, metadata and spec are needed"]
    kind, version = document["kind"], document.get("apiVersion")
    if not isinstance(kind, str) or kind not in _MODELS:
        return [f"kind {json_excerpt(kind)} is not known here: use {', '.join(_MODELS)}"]
    wanted = "v1" if kind == "ConfigMap" else API_VERSION
    if version != wanted:
        return [f"apiVersion is {json_excerpt(version)}: use {wanted}"]
    try:
        metadata = Metadata.model_validate(document.get("metadata") or {})
    except ValidationError as error:
        return [_sentence(problem, Metadata, ["metadata"]) for problem in error.errors(include_url=False)]
    name, namespace = metadata.name, metadata.namespace
    if first := manifests.places.get((kind, namespace, name)):
        return [f"{kind} {namespace}/{name} is given twice, first in {first}"]
    manifests.places[kind, namespace, name] = place
    # What an earlier run wrote there is not input.
    given = {key: value for key, value in document.items() if key != "status"}
    given["metadata"] = metadata.model_dump(by_alias=True, exclude_unset=True)
    try:
        value = _MODELS[kind].model_validate(given)
    except ValidationError as error:
        return [_sentence(problem, _MODELS[kind], []) for problem in error.errors(include_url=False)]
    match value:
        case HybridJob():
            manifests.jobs.append(value)
        case QuantumBackend():
            manifests.backends.append(value)
        case QuantumQuota():
            manifests.quotas.append(value)
        case ConfigMap():
            manifests.config_maps[namespace, name] = value.model_dump(by_alias=True, exclude_unset=True)
    return []


def _sentence(problem: Any, model: type[BaseModel], prefix: list[str]) -> str:
    location = [*prefix, *(str(part) for part in problem["loc"] if part != "[key]")]
    path = bounded(".".join(location)) or "the object"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _fields(model, location[len(prefix) : -1]), 1)
        return f"{path}: unknown field" + (f"; did you mean {near[0]}?" if near else "")
    if problem["type"] == "missing":
        return f"{path}: required"
    given = problem["input"]
    if problem["type"] == "string_too_long":
        limit = problem["ctx"]["max_length"]
        return f"{path}: {len(given)} characters are given, and at most {limit} are taken{_instead(location)}"
    return f"{path}: {message}" + (f", not {json_excerpt(given)}" if isinstance(given, str | int | float) else "")


def _instead(location: list[str]) -> str:
    """Return what to do with a program that is too long."""
    if location[-1] in ("openqasm", "qpy"):
        return ": compress it with gzip and put it into a ConfigMap, which configMapKeyRef names"
    return ": put it into a ConfigMap, which configMapKeyRef names" if location[-1] == "source" else ""


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
