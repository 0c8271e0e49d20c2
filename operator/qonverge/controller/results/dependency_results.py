"""The results of jobs that others depend on, wherever they are: in a status, in a store or on a pod."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from qonverge.api import HybridJob
from qonverge.api.dependencies import DependencyStatus
from qonverge.controller.kube.client import Kube
from qonverge.controller.results.job_outputs import JobOutputs
from qonverge.controller.results.kept_results import PodResults
from qonverge.execution.dependencies import InvalidInput, input_of, taken_from
from qonverge.execution.results import document
from qonverge.storage.job_output import RESULT
from qonverge.storage.objects import Content

_WITH_GZIP_HEADER = 31
MOST_READ = 16 * 1024**2
"""Bytes of a result from which parameters are taken: all of it is in the operator's memory then."""


class DependencyLost(Exception):
    """A job that was complete is gone, or its result is; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class DependencyResults:
    """Reads them."""

    kube: Kube
    pods: PodResults
    outputs: JobOutputs

    async def taken(self, job: HybridJob) -> list[DependencyStatus] | None:
        """Return what a job takes from those that it depends on; None where one of them is not complete.

        Raises:
            DependencyLost: one, or its result, is there no more.
            InvalidInput: a result does not have what the job takes from it, or is too large for that.
            WireError: the pod that keeps a result does not answer.
            StoreFailed: nor does a store.
            KubeError: nor does the API server.
        """
        found: dict[str, tuple[str | None, Any]] = {}
        for each in job.spec.depends_on:
            other = await self.job(job.metadata.namespace, each.name)
            if other.status.state != "Complete":
                return None
            found[each.name] = (other.metadata.uid, await self._read(other) if each.parameters else None)
        return taken_from(job, found)

    async def job(self, namespace: str, name: str) -> HybridJob:
        """Return a job as it is now.

        Raises:
            DependencyLost: there is none, or it is being deleted.
            KubeError: the API server does not answer.
        """
        found = await self.kube.get("HybridJob", namespace, name)
        if found is None or found["metadata"].get("deletionTimestamp"):
            raise DependencyLost(f"{name} was deleted, and with it its result")
        return HybridJob.model_validate(found)

    async def content(self, job: HybridJob) -> Content:
        """Return the JSON of a complete job's result, a piece at a time; of one without a result it is ``{}``.

        Raises:
            DependencyLost: it is kept no more.
            WireError: the pod that keeps it does not answer; also while it is read.
            StoreFailed: nor does its store; also while it is read.
            NoObject: the store has it no more.
        """
        result, key = job.status.result, f"{job.metadata.namespace}/{job.metadata.name}"
        if result is None:
            return Content(2, _once(b"{}"))
        if result.stored is not None:
            kept = self.outputs.find(key, "result", _secret(result.stored.path))
            return await kept.get(RESULT)
        if result.kept is not None:
            if result.kept.lost is not None:
                raise DependencyLost(f"the result of {job.metadata.name} is kept no more: {result.kept.lost}")
            return Content(result.kept.bytes, self._unpacked(key, _secret(result.kept.path)))
        whole = document(result)
        return Content(len(whole), _once(whole))

    async def _read(self, job: HybridJob) -> Any:
        content = await self.content(job)
        if content.size > MOST_READ:
            raise InvalidInput(
                f"the result of {job.metadata.name} has {content.size} bytes, and parameters are taken from at most "
                f"{MOST_READ}: let {job.metadata.name} put what others need into a smaller result, or read it in a "
                "program by qonverge.client.inputs()"
            )
        return input_of(b"".join([piece async for piece in content.pieces]))

    async def _unpacked(self, key: str, secret: str) -> AsyncIterator[bytes]:
        unpacker = zlib.decompressobj(_WITH_GZIP_HEADER)
        async with contextlib.aclosing(self.pods.fetched(key, secret)) as pieces:
            async for piece in pieces:
                yield unpacker.decompress(piece)
        yield unpacker.flush()


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _secret(path: str) -> str:
    (secret,) = parse_qs(urlsplit(path).query)["key"]
    return secret
