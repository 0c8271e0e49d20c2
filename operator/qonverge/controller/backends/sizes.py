"""Which larger sizes of a backend are made, and when one goes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qonverge.api import QuantumBackend
from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.objects.sizes import keys_of_sizes, sizes_of
from qonverge.controller.store.resources import Change, Unread
from qonverge.controller.store.state import State


def sizes_to_apply(state: State, backend: QuantumBackend) -> list[dict[str, Any]]:
    """Return the manifests of a backend's larger sizes, without those whose names others have already."""
    return [size for key, size in sizes_of(backend).items() if not _is_taken(state, key, backend)]


def names_taken(state: State, backend: QuantumBackend) -> str:
    """Return which names of a backend's larger sizes others have already, as a sentence; empty for none."""
    taken = [key.split("/", 1)[1] for key in keys_of_sizes(backend) if _is_taken(state, key, backend)]
    there = f"QuantumBackend {', '.join(taken)} is there already and is no size of this one: delete it, or rename one"
    return there if taken else ""


def has_gone(state: State, size: QuantumBackend) -> bool:
    """Return whether a backend is a larger size that the one it belongs to has no more, without any pods."""
    owner = size.size_of
    backend = None if owner is None else state.backends.get(f"{size.metadata.namespace}/{owner.name}")
    # Without its owner the cluster deletes it.
    if owner is None or backend is None or backend.metadata.uid != owner.uid:
        return False
    if f"{size.metadata.namespace}/{size.metadata.name}" in keys_of_sizes(backend):
        return False
    deployment = state.deployments.get(backend_selector(size), {})
    return not deployment.get("replicas") and not any(True for _ in state.pods.of(backend_selector(size)))


def owner_of_size(change: Change) -> Iterable[str]:
    """Of a larger size whose specification changed, the backend that it belongs to."""
    before, after = (None if each is None else each.metadata.generation for each in _read(change))
    if before == after:
        return ()
    owners = change.obj["metadata"].get("ownerReferences") or []
    namespace = change.key.split("/", 1)[0]
    return [f"{namespace}/{owner['name']}" for owner in owners if owner["kind"] == change.kind]


def _is_taken(state: State, key: str, backend: QuantumBackend) -> bool:
    return _owner_uid(state.known(backend.kind, key)) not in (None, backend.metadata.uid)


def _read(change: Change) -> Iterable[QuantumBackend | None]:
    return (each if isinstance(each, QuantumBackend) else None for each in (change.before, change.after))


def _owner_uid(known: Any) -> str | None:
    """Return the uid of the backend that one belongs to, empty where a person made it; None where there is none."""
    match known:
        case QuantumBackend(size_of=owner):
            return "" if owner is None else owner.uid
        case Unread(metadata=metadata):
            return next((str(owner["uid"]) for owner in metadata.get("ownerReferences") or []), "")
    return None
