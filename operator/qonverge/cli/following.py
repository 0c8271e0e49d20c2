"""Jobs of the cluster as they change, for commands that wait or show."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

from qonverge.api import HybridJobStatus
from qonverge.api.base import API_VERSION
from qonverge.cli.cluster import Cluster, NoAnswer

_WATCH_SECONDS = 240
# A connection on which nothing comes for longer than a watch takes is dead.
_IDLE_SECONDS = 300.0
_PAUSE_SECONDS = 1.0
# An API server that restarts is there again by then.
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class SeenJob:
    """A job as it was last seen. Of its specification nothing is read: it may be that of a newer version."""

    namespace: str
    name: str
    uid: str
    created: str
    status: HybridJobStatus
    deleted: bool = False

    @classmethod
    def of(cls, obj: dict[str, Any], *, deleted: bool = False) -> Self:
        """Return the job of an object."""
        metadata = obj["metadata"]
        status = HybridJobStatus.model_validate(obj.get("status") or {})
        created = str(metadata.get("creationTimestamp") or "")
        return cls(metadata["namespace"], metadata["name"], metadata["uid"], created, status, deleted)

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.deleted or self.status.state in ("Complete", "Failed")

    @property
    def complete(self) -> bool:
        """Whether it ended well."""
        return self.status.state == "Complete" and not self.deleted


async def followed(
    cluster: Cluster, namespace: str | None, names: Collection[str] = ()
) -> AsyncIterator[list[SeenJob]]:
    """Yield the jobs as they are, then those that changed, for ever.

    Args:
        cluster: which is asked.
        namespace: whose jobs; None for all.
        names: of the jobs; none for all of the namespace.

    Raises:
        NoAnswer: the API server does not answer at first, or for a minute, or refuses; or there is no job of a name.
    """
    fields = f"metadata.name={next(iter(names))}" if len(names) == 1 else ""
    known: dict[str, SeenJob] = {}
    answered = time.monotonic()
    begun = False
    while True:
        try:
            listed, version = await cluster.listed("hybridjobs", namespace, fields)
            jobs = {job.uid: job for job in map(SeenJob.of, listed) if not names or job.name in names}
            if not begun and (missing := sorted(set(names) - {job.name for job in jobs.values()})):
                raise NoAnswer(f"there is no HybridJob {', '.join(missing)} in the namespace {namespace}")
            gone = [_deleted(job) for uid, job in known.items() if uid not in jobs and not job.deleted]
            changed = [job for uid, job in jobs.items() if known.get(uid) != job]
            known |= {job.uid: job for job in (*jobs.values(), *gone)}
            answered = time.monotonic()
            if changed or gone or not begun:
                begun = True
                yield [*changed, *gone]
            async for job in _watched(cluster, namespace, fields, version):
                answered = time.monotonic()
                if (not names or job.name in names) and known.get(job.uid) != job:
                    known[job.uid] = job
                    yield [job]
        except NoAnswer:
            # A version that is too old is refused too: the next list is new.
            if not begun or time.monotonic() > answered + _PATIENCE_SECONDS:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)


def _deleted(job: SeenJob) -> SeenJob:
    return SeenJob(job.namespace, job.name, job.uid, job.created, job.status, deleted=True)


async def _watched(cluster: Cluster, namespace: str | None, fields: str, version: str) -> AsyncIterator[SeenJob]:
    """Yield what changes after a version of the list, until the API server ends the watch.

    Raises:
        NoAnswer: it does not answer, or has that version no more.
    """
    given = {"watch": "true", "resourceVersion": version, "timeoutSeconds": _WATCH_SECONDS, "fieldSelector": fields}
    where = "" if namespace is None else f"/namespaces/{namespace}"
    rest = b""
    async for chunk in cluster.stream(f"/apis/{API_VERSION}{where}/hybridjobs?{urlencode(given)}", _IDLE_SECONDS):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise NoAnswer(str(event["object"].get("message")))
            yield SeenJob.of(event["object"], deleted=event["type"] == "DELETED")
