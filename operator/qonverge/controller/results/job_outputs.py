"""What jobs keep in the installation's stores: where it is, who may read it, and when it is deleted."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from qonverge.api import HybridJob
from qonverge.api.job import OUTPUT_FINALIZER
from qonverge.api.job_status import StoredFiles, StoredResult
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.kube.events import Events
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.settings import Settings
from qonverge.controller.store.state import State
from qonverge.execution.transitions import seconds
from qonverge.programs.kinds import kind_of
from qonverge.queueing import Backoff
from qonverge.storage.job_output import CHECKPOINTS, FILES, RESULT, JobOutput, prefix_of
from qonverge.storage.objects import Objects, StoreFailed
from qonverge.storage.settings import NoSuchStore, StoreSettings, chosen
from qonverge.wire.errors import NotFound

logger = logging.getLogger(__name__)

GIVE_UP_SECONDS = 3600.0
"""After this a job is let go although what it keeps could not be deleted: its deletion never waits for ever."""
_BACKOFF = Backoff(1.0, 60.0)
_CONFLICT = 409
_TRIES = 5


class JobOutputs:
    """The outputs of all jobs."""

    def __init__(
        self,
        *,
        state: State,
        kube: Kube,
        statuses: StatusWriter,
        events: Events,
        settings: Settings,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives Unix seconds."""
        self._state = state
        self._kube = kube
        self._statuses = statuses
        self._events = events
        self._settings = settings
        self._clock = clock
        self._objects = {store.name: Objects(store) for store in settings.output_stores}
        # How often a store did not take a job's result, by the job's uid.
        self._failures = Counter[str]()
        self._dropping = set[asyncio.Task[None]]()

    def store_of(self, job: HybridJob) -> StoreSettings | None:
        """Return the store for a job's output; None where there is none.

        Raises:
            NoSuchStore: the job names one that it may not use.
        """
        return chosen(
            self._settings.output_stores, self._settings.output_store, job.spec.output.store, job.metadata.namespace
        )

    def of(self, job: HybridJob) -> JobOutput | None:
        """Return what a job keeps; None where it has no store to keep it in."""
        try:
            store = self.store_of(job)
        except NoSuchStore:
            return None
        return None if store is None else self._in(store.name, job.metadata)

    def _in(self, store: str, metadata: Any) -> JobOutput:
        return JobOutput(self._objects[store], prefix_of(metadata.namespace, metadata.name, metadata.uid))

    def stored_result(self, job: HybridJob, size: int, sha256: str) -> StoredResult:
        """Return what the status says of a result that is in the job's store, with a new path to it."""
        store, key, path = self._place(job, RESULT, "result")
        return StoredResult(store=store, key=key, bytes=size, sha256=sha256, path=path)

    def stored_files(self, job: HybridJob, count: int, size: int) -> StoredFiles:
        """Return what the status says of files that are in the job's store, with a new path to them."""
        store, key, path = self._place(job, FILES, "files")
        return StoredFiles(store=store, key=key, count=count, bytes=size, path=path)

    def _place(self, job: HybridJob, path: str, what: str) -> tuple[str, str, str]:
        store, metadata = self.store_of(job), job.metadata
        if store is None:
            raise NoSuchStore("the installation has no store for the job's output")
        key = prefix_of(metadata.namespace, metadata.name, metadata.uid) + path
        route = f"/v1/jobs/{metadata.namespace}/{metadata.name}/output/{what}?key={secrets.token_urlsafe(32)}"
        return store.name, key, self._settings.result_path + route

    def find(self, key: str, what: str, secret: str) -> JobOutput:
        """Return what a job keeps, for who knows the secret in its path.

        Args:
            key: namespace and name of the job.
            what: "result" or "files".
            secret: of the path.

        Raises:
            NotFound: there is none, or the secret is another's: which of the two is not said.
        """
        for uid, stored in self._stored(key, what):
            (known,) = parse_qs(urlsplit(stored.path).query).get("key", [""])
            if stored.store in self._objects and known and hmac.compare_digest(known.encode(), secret.encode()):
                namespace, name = key.split("/", 1)
                return JobOutput(self._objects[stored.store], prefix_of(namespace, name, uid))
        raise NotFound(f"the job {key} has no {what} in a store under this path: read its status again")

    def _stored(self, key: str, what: str) -> Iterator[tuple[str, StoredResult | StoredFiles]]:
        """Yield the job's uid and what its status says of something that it keeps."""
        finished, job = self._state.finished.get(key), self._state.jobs.get(key)
        if finished is not None:
            found = finished.files if what == "files" else finished.stored
            if found is not None:
                yield finished.uid, found
        elif job is not None:
            result = job.status.result
            told = job.status.files if what == "files" else None if result is None else result.stored
            if told is not None:
                yield job.metadata.uid, told

    async def hold(self, job: HybridJob) -> None:
        """Make the job's deletion wait until what it keeps is deleted, before anything is written.

        Raises:
            KubeError: the API server did not do its part.
        """
        store = self.store_of(job)
        if store is None or store.reclaim_policy == "Retain":
            return
        namespace, name = job.metadata.namespace, job.metadata.name
        found: HybridJob | None = self._state.jobs.get(f"{namespace}/{name}", job)
        for _ in range(_TRIES):
            if found is None or found.metadata.uid != job.metadata.uid or found.metadata.deletion_timestamp:
                raise KubeError(404, f"the HybridJob {namespace}/{name} is gone")
            if OUTPUT_FINALIZER in found.metadata.finalizers:
                return
            try:
                await self._statuses.set_finalizer(found, OUTPUT_FINALIZER, held=True)
                return
            except KubeError as error:
                if error.status != _CONFLICT:
                    raise
            # Its status was written meanwhile.
            obj = await self._kube.get("HybridJob", namespace, name)
            found = None if obj is None else HybridJob.model_validate(obj)
        raise KubeError(_CONFLICT, f"the HybridJob {namespace}/{name} changes all the time: try again")

    async def let_go(self, job: HybridJob) -> float | None:
        """Delete what a job keeps that is about to be deleted; return when to try again, None where that is done.

        Raises:
            KubeError: the API server did not do its part.
        """
        if OUTPUT_FINALIZER not in job.metadata.finalizers or not job.metadata.deletion_timestamp:
            return None
        for store in self._settings.output_stores:
            if store.reclaim_policy == "Retain":
                continue
            kept = self._in(store.name, job.metadata)
            try:
                await kept.delete_all()
            except StoreFailed as error:
                now = self._clock()
                if now < seconds(job.metadata.deletion_timestamp) + GIVE_UP_SECONDS:
                    logger.info("HybridJob %s/%s: %s", job.metadata.namespace, job.metadata.name, error)
                    return now + 10.0
                left = f"what it keeps below {kept.prefix} is left in the store {store.name}: {error}"
                self._events.warn(_named(job), "OutputLeft", left)
        await self._statuses.set_finalizer(job, OUTPUT_FINALIZER, held=False)
        return None

    def pause(self, job: HybridJob) -> float:
        """Return for how many seconds the job's store is left alone that did not take its result."""
        self._failures[job.metadata.uid] += 1
        return _BACKOFF.wait(self._failures[job.metadata.uid])

    def ended(self, job: HybridJob, *, completed: bool) -> None:
        """Begin to delete the checkpoints of a program that completed; what stays is deleted with the job."""
        self._failures.pop(job.metadata.uid, None)
        if completed and kind_of(job).calls_backends and (kept := self.of(job)) is not None:
            dropping = asyncio.create_task(self._drop(kept))
            self._dropping.add(dropping)
            dropping.add_done_callback(self._dropping.discard)

    async def _drop(self, kept: JobOutput) -> None:
        try:
            await kept.delete_all(CHECKPOINTS)
        except StoreFailed as error:
            logger.info("checkpoints below %s stay for now: %s", kept.prefix, error)


def _named(job: HybridJob) -> dict[str, Any]:
    metadata = {"name": job.metadata.name, "namespace": job.metadata.namespace, "uid": job.metadata.uid}
    return {"apiVersion": job.api_version, "kind": job.kind, "metadata": metadata}
