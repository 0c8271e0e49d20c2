"""Objects of the kinds that Qonverge defines as the store keeps them, and what changes of any object. Pure."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from qonverge.api import Condition, HybridJob
from qonverge.api.cloud_tasks import ABANDON_ANNOTATION, FINALIZER
from qonverge.api.conditions import still_holding
from qonverge.api.job import OUTPUT_FINALIZER, TRACEPARENT_ANNOTATION
from qonverge.api.job_status import KeptResult, StoredFiles, StoredResult
from qonverge.api.registry import Resource
from qonverge.execution.dependencies import with_inputs
from qonverge.execution.transitions import seconds

logger = logging.getLogger(__name__)

_READ_ANNOTATIONS = (ABANDON_ANNOTATION, TRACEPARENT_ANNOTATION)


class ObjectKey(NamedTuple):
    """An object, by its kind and ``namespace/name``."""

    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class Finished:
    """What is known of a job that has ended: what deleting it in time needs, and where its result is."""

    uid: str
    delete_at: float | None
    kept: KeptResult | None = None
    """Where its result is, if it is kept and not lost."""
    observed: dict[str, Any] | None = None
    """What its status has to say of a change of its specification since, which has no other effect."""
    version: str = ""
    """Its resource version."""
    attempts: int = 0
    """How often it was started."""
    pauses: int = 0
    """How often its last attempt gave its pod back."""
    holding: HybridJob | None = None
    """The job, while its deletion waits for its tasks on devices elsewhere."""
    leaving: HybridJob | None = None
    """The job, while its deletion waits for that of what it keeps in a store."""
    stored: StoredResult | None = None
    """Where its result is in a store."""
    files: StoredFiles | None = None
    """Where its files are in a store."""
    state: str = "Complete"
    """Complete or Failed."""
    reason: str = ""
    """Why."""


@dataclass(frozen=True, slots=True)
class Unread:
    """An object that the API server took and this version cannot read."""

    kind: str
    metadata: dict[str, Any]
    status: dict[str, Any]
    problem: str
    """What is wrong with it, as a sentence."""


Known = BaseModel | Finished | Unread
"""An object as its model, in short once it has ended, or apart where this version cannot read it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What the store knows since it was shown an object, and what it knew before.

    Whoever reacts has both, so that nothing depends on who reacts first.
    """

    kind: str
    key: str
    obj: dict[str, Any]
    """The object as it was shown; of one that is gone, its metadata at least."""
    before: Any = None
    """Of a kind that Qonverge defines what was known; of a pod the backend that it keeps waiting, and why."""
    after: Any = None
    """The same now; None where it is gone."""
    owner: ObjectKey | None = None
    """The object that it belongs to."""
    serving: bool = False
    """Whether other backend pods serve than before."""


def read(resource: Resource, obj: dict[str, Any]) -> Known:
    """Return an object as this version reads it."""
    status = obj.get("status") or {}
    if status.get("state") in resource.ended:
        return _finished(obj, status)
    try:
        found = resource.model.model_validate(_slim(obj))
        return with_inputs(found) if isinstance(found, HybridJob) else found
    except ValidationError as error:
        return Unread(resource.kind, obj["metadata"], status, _sentence(error))


def key_of(obj: dict[str, Any]) -> str:
    """Return ``namespace/name``."""
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _finished(obj: dict[str, Any], status: dict[str, Any]) -> Finished:
    ttl, ended = obj["spec"].get("ttlSecondsAfterFinished"), status.get("completedAt")
    delete_at = None if ttl is None or ended is None else seconds(ended) + ttl
    metadata = obj["metadata"]
    version = metadata["resourceVersion"]
    stored, files = (status.get("result") or {}).get("stored"), status.get("files")
    return Finished(
        metadata["uid"],
        delete_at,
        _kept(status),
        _observed(obj),
        version,
        attempts=int(status.get("attempts") or 0),
        pauses=int(status.get("pauses") or 0),
        holding=_held(obj, FINALIZER),
        leaving=_held(obj, OUTPUT_FINALIZER) if metadata.get("deletionTimestamp") else None,
        stored=StoredResult.model_validate(stored) if stored else None,
        files=StoredFiles.model_validate(files) if files else None,
        state=status["state"],
        reason=status.get("reason") or "",
    )


def _held(obj: dict[str, Any], finalizer: str) -> HybridJob | None:
    if finalizer not in (obj["metadata"].get("finalizers") or ()):
        return None
    try:
        return HybridJob.model_validate(_slim(obj))
    except ValidationError as error:
        # An operator of its own version lets go of it.
        logger.warning("the HybridJob %s cannot be let go: %s", key_of(obj), _sentence(error))
        return None


def _slim(obj: dict[str, Any]) -> dict[str, Any]:
    """Return the object without the bulk that nobody reads."""
    metadata = {name: value for name, value in obj["metadata"].items() if name not in ("managedFields", "annotations")}
    annotations = obj["metadata"].get("annotations") or {}
    if read := {name: annotations[name] for name in _READ_ANNOTATIONS if name in annotations}:
        metadata["annotations"] = read
    return {**obj, "metadata": metadata}


def _kept(status: dict[str, Any]) -> KeptResult | None:
    kept = (status.get("result") or {}).get("kept")
    return None if not kept or "lost" in kept else KeptResult.model_validate(kept)


def _observed(obj: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the status of a job that has ended lacks of the present generation; None where it lacks nothing."""
    generation, status = obj["metadata"].get("generation"), obj["status"]
    if generation in (None, status.get("observedGeneration")):
        return None
    conditions = [Condition.model_validate(each) for each in status.get("conditions") or []]
    return {
        "observedGeneration": generation,
        "conditions": [each.to_dict() for each in still_holding(conditions, generation)],
    }


def _sentence(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}; this operator may be older than the CustomResourceDefinitions"
