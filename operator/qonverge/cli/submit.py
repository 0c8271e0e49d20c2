"""``qonverge submit``: jobs into the cluster, and their ends."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from qonverge.cli import job_lines
from qonverge.cli.cluster import Cluster, NoAnswer, connected
from qonverge.cli.following import SeenJob, followed
from qonverge.local.manifests import ManifestError, Manifests, read

_METADATA = ("name", "namespace", "labels", "annotations")


class StillRunning(Exception):
    """Time was up before every job had ended; they go on."""


def submit_files(files: Sequence[str], namespace: str | None, *, wait: bool, timeout: float | None) -> bool:
    """Create the jobs of files, with the other objects that the files have, and return whether none failed.

    Args:
        files: with at least one HybridJob.
        namespace: of objects that name none; None: that of the context.
        wait: whether to wait until the jobs have ended.
        timeout: for how many seconds; None: for ever.

    Raises:
        ManifestError: a file cannot be used; nothing was sent.
        NoAnswer: the API server does not answer, or refuses.
        StillRunning: a job had not ended in time.
    """
    manifests = read(files)
    if not manifests.jobs:
        raise ManifestError([f"{', '.join(files)}: there is no HybridJob to submit"])
    return asyncio.run(_submit(manifests, namespace, wait=wait, most_seconds=timeout))


async def _submit(manifests: Manifests, namespace: str | None, *, wait: bool, most_seconds: float | None) -> bool:
    async with connected() as cluster:
        others = [
            *map(_own, manifests.config_maps.values()),
            *map(_manifest, (*manifests.backends, *manifests.quotas)),
        ]
        jobs = [_manifest(job) for job in manifests.jobs]
        places = [_place(each, namespace, cluster) for each in (*others, *jobs)]
        for obj, where in zip(others, places, strict=False):
            await cluster.apply(obj, where)
            print(f"{obj['kind'].lower()}/{obj['metadata']['name']} applied", flush=True)
        names: dict[str, list[str]] = {}
        for job, where in zip(jobs, places[len(others) :], strict=True):
            name = job["metadata"]["name"]
            if not await cluster.create(job, where):
                raise NoAnswer(
                    f"there is a HybridJob {name} in the namespace {where} already: give another metadata.name, or "
                    f"qonverge rerun {name}"
                )
            print(f"hybridjob/{name} created", flush=True)
            names.setdefault(where, []).append(name)
        if not wait:
            return True
        ends: dict[tuple[str, str], SeenJob] = {}
        waits = [asyncio.create_task(_wait(cluster, where, each, ends)) for where, each in names.items()]
        try:
            async with asyncio.timeout(most_seconds):
                await asyncio.gather(*waits)
        except TimeoutError:
            late = [job for job in ends.values() if not job.ended]
            raise StillRunning(
                "; ".join(job_lines.line(job, time.time()) for job in late) or "the jobs were not seen yet"
            ) from None
        finally:
            for waiting in waits:
                waiting.cancel()
    failed = [job for job in ends.values() if not job.complete]
    for each in failed:
        print(f"error: {job_lines.failure(each)}", file=sys.stderr)
    return not failed


async def _wait(cluster: Cluster, namespace: str, names: Sequence[str], ends: dict[tuple[str, str], SeenJob]) -> None:
    """Tell how jobs go on until all have ended."""
    told: dict[str, tuple[object, ...]] = {}
    async for changed in followed(cluster, namespace, names):
        for job in changed:
            ends[namespace, job.name] = job
            if told.get(job.name) != (now := job_lines.key(job)):
                told[job.name] = now
                # Of one that failed the reason comes last.
                if not job.ended or job.complete:
                    print(job_lines.line(job, time.time()), file=sys.stderr, flush=True)
        if all((namespace, name) in ends and ends[namespace, name].ended for name in names):
            return


def _manifest(obj: BaseModel) -> dict[str, Any]:
    """Return an object as it was given."""
    return _own(obj.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"status"}))


def _own(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without what an API server has written on it, which is none of this one's."""
    metadata = {name: value for name, value in given["metadata"].items() if name in _METADATA}
    return {**given, "metadata": metadata}


def _place(obj: dict[str, Any], namespace: str | None, cluster: Cluster) -> str:
    """Return the namespace of an object.

    Raises:
        ManifestError: it names another than is wanted.
    """
    given = obj["metadata"].get("namespace")
    if given and namespace and given != namespace:
        raise ManifestError(
            [f"{obj['kind']} {obj['metadata']['name']} is of the namespace {given}, and -n says {namespace}"]
        )
    return str(given or namespace or cluster.namespace)
