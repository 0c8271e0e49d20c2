"""All writes of statuses and finalizers: what is no more is cleared, what is gone is left alone.

What the API server answers is known at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from qonverge.api import ObjectMeta
from qonverge.api.base import StatusModel
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.execution.stored_size import MOST_STORED, stored_size

# Keys and some characters take more where they are stored; shorter statuses fit by far.
_CERTAINLY_STORED = MOST_STORED // 16
_GONE = 404
_TOO_LARGE = 413


class WithStatus(Protocol):
    """An object of a kind that Qonverge defines."""

    @property
    def kind(self) -> str:
        """Its kind."""

    @property
    def metadata(self) -> ObjectMeta:
        """Its metadata, with the resource version that the write goes on from."""

    @property
    def status(self) -> StatusModel:
        """Its status until now."""


class StatusWriter:
    """Writes statuses of all kinds."""

    def __init__(self, kube: Kube, written: Callable[[str, dict[str, Any]], None]) -> None:
        """``written`` takes the kind and the object that the API server answers."""
        self._kube = kube
        self._written = written

    async def write(self, obj: WithStatus, status: StatusModel) -> dict[str, Any] | None:
        """Write an object's whole status, and return the object as it is now; None where it is gone.

        Raises:
            KubeError: refused or not answered: 409 where it changed since it was read, 413 where it is too large.
        """
        metadata = obj.metadata
        # In a merge absent fields would keep their old value.
        body = _merge(obj.status.to_dict(), status.to_dict())
        return await self.patch(obj.kind, metadata.namespace, metadata.name, body, metadata.resource_version)

    async def patch(
        self, kind: str, namespace: str, name: str, fields: dict[str, Any], version: str
    ) -> dict[str, Any] | None:
        """Write some fields of a status, and return the object as it is now; None where it is gone.

        Raises:
            KubeError: as of ``write``.
        """
        if len(json.dumps(fields)) > _CERTAINLY_STORED and (size := stored_size(fields)) > MOST_STORED:
            what = f"the status of {kind} {namespace}/{name}"
            raise KubeError(_TOO_LARGE, f"{what} takes {size} bytes where it is stored, and {MOST_STORED} are possible")
        try:
            obj = await self._kube.patch_status(kind, namespace, name, fields, version)
        except KubeError as error:
            if error.status == _GONE:
                return None
            raise
        self._written(kind, obj)
        return obj

    async def set_finalizer(self, obj: WithStatus, finalizer: str, *, held: bool) -> None:
        """Put a finalizer on an object, or take it off; one that is gone is left alone.

        Raises:
            KubeError: as of ``write``.
        """
        metadata = obj.metadata
        others = [each for each in metadata.finalizers if each != finalizer]
        wanted = [*others, finalizer] if held else others
        if wanted == metadata.finalizers:
            return
        try:
            found = await self._kube.set_finalizers(
                obj.kind, metadata.namespace, metadata.name, wanted, metadata.resource_version
            )
        except KubeError as error:
            if error.status == _GONE:
                return
            raise
        # Without its last finalizer an object that was deleted is gone, which the watch shows.
        if wanted or not metadata.deletion_timestamp:
            self._written(obj.kind, found)


def _merge(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch (RFC 7386) after which all of ``after`` is there and what only ``before`` has is not."""
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        known = before.get(name)
        patch[name] = _merge(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return patch
