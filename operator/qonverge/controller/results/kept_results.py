"""Results that are larger than a job's status: kept on a pod of the backend, found again, and told of when lost.

The status says where such a result is, under a path that nobody can guess. So whoever may read the job can fetch the
result, as if it stood in the status, and nobody else; a replica that begins anew finds all that it needs in the jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import hmac
import logging
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.job_status import KeptResult
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.kube.events import Events
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.objects.object_names import audience_of
from qonverge.controller.pods.errors import PodLost
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.settings import Settings
from qonverge.controller.store.pods import Endpoint
from qonverge.controller.store.resources import Finished
from qonverge.controller.store.state import State
from qonverge.execution import results
from qonverge.execution.result_size import Room
from qonverge.execution.transitions import seconds, timestamp
from qonverge.wire.errors import NotFound, QueueFull, ResultTooLarge, WireError

logger = logging.getLogger(__name__)

_MOST_FETCHES = 8
# Each is in memory as a whole.
_MOST_MOVES = 1
# What gzip makes of counts, of which each outcome came once: at least this many times smaller, for 20 to 120 bits.
_LEAST_COMPRESSION = 4


@dataclass(frozen=True, slots=True)
class _Document:
    size: int
    sha256: str
    packed: bytes


class PodResults:
    """Keeps results on pods, and gives them to those who fetch them; a ``ResultStore``."""

    def __init__(
        self,
        *,
        state: State,
        data: DataPlane,
        kube: Kube,
        statuses: StatusWriter,
        events: Events,
        settings: Settings,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives Unix seconds."""
        self._state = state
        self._data = data
        self._kube = kube
        self._statuses = statuses
        self._events = events
        self._settings = settings
        self._clock = clock
        self._fetches = Counter[str]()
        # Results that are under way from one pod to another: no job names their new place yet.
        self._moving: set[str] = set()
        self._moves = asyncio.Semaphore(_MOST_MOVES)

    def room(self, job: HybridJob, backend: str) -> Room:
        """Return what the pod with the most memory keeps for a namespace, before compression."""
        shares = [pod.info.keeps_bytes for pod in self._state.reachable_of(backend) if pod.info is not None]
        if not shares or None in shares:
            # It has none that answers yet, or an older one.
            return Room(None, f"what a pod of {backend} keeps is not known")
        share = max(each for each in shares if each is not None)
        return Room(share * _LEAST_COMPRESSION, f"a pod of {backend} keeps {share} compressed for a namespace")

    async def put(self, job: HybridJob, status: HybridJobStatus, document: bytes, why: str) -> HybridJobStatus:
        """Put a result on a pod of the job's backend, and return the status that names it.

        Raises:
            PodLost: none of the pods serves.
            ResultTooLarge: none has room for it.
        """
        backend = audience_of(job.model_copy(update={"status": status}))
        packed = await asyncio.to_thread(_packed, document)
        endpoint = await self._keep(job, backend, packed)
        now, metadata = self._clock(), job.metadata
        path = f"/v1/jobs/{metadata.namespace}/{metadata.name}/result?key={secrets.token_urlsafe(32)}"
        reference = KeptResult(
            backend=backend,
            pod=endpoint.key.split("/", 1)[1],
            bytes=packed.size,
            sha256=packed.sha256,
            expires_at=timestamp(now + self._settings.result_seconds),
            path=self._settings.result_path + path,
        )
        return results.kept(job, status, reference, why=why, now=now)

    async def _keep(self, job: HybridJob, backend: str, packed: _Document) -> Endpoint:
        error: WireError = PodLost("none of its pods serves that stays")
        for endpoint in self._staying(backend):
            metadata, period = job.metadata, self._settings.result_seconds
            try:
                await self._data.keep(
                    endpoint, backend, metadata.uid, packed.packed, namespace=metadata.namespace, seconds=period
                )
                return endpoint
            except WireError as refusal:
                error = refusal
        kind = PodLost if error.retryable else ResultTooLarge
        raise kind(f"{backend} cannot keep it: {error.message}")

    def _staying(self, backend: str) -> list[Endpoint]:
        """Return the backend's serving pods without those that end, and with all they keep: first that keep the fewest.

        One that drains moves what it keeps before it goes.
        """
        pods = [pod for pod in self._state.reachable_of(backend) if not pod.terminating]
        pods.sort(key=lambda pod: (pod.draining, 0 if pod.info is None else pod.info.kept_results))
        return [pod.endpoint for pod in pods]

    def find(self, key: str, secret: str) -> tuple[str, KeptResult]:
        """Return uid and place of a job's kept result for who knows the secret in its path.

        Raises:
            NotFound: there is none, or the secret is another's: which of the two is not said.
        """
        finished = self._state.finished.get(key)
        if finished is not None and finished.kept is not None:
            (known,) = parse_qs(urlsplit(finished.kept.path).query).get("key", [""])
            if known and hmac.compare_digest(known.encode(), secret.encode()):
                return finished.uid, finished.kept
        raise NotFound(f"there is no kept result of the job {key} under this path: read status.result.kept again")

    async def fetched(self, key: str, secret: str) -> AsyncGenerator[bytes]:
        """Yield a kept result compressed by gzip, a piece at a time.

        Raises:
            WireError: there is none, its pod does not answer, or too many are being fetched.
        """
        uid, kept = self.find(key, secret)
        pods = self._state.reachable_of(kept.backend)
        endpoint = next((pod.endpoint for pod in pods if pod.key == _pod_of(kept)), None)
        if endpoint is None:
            raise PodLost(f"the pod {_pod_of(kept)} that keeps the result does not serve now: try again")
        namespace = key.split("/", 1)[0]
        if self._fetches[namespace] >= _MOST_FETCHES:
            raise QueueFull(f"{_MOST_FETCHES} results of the namespace {namespace} are being fetched: try again")
        self._fetches[namespace] += 1
        try:
            async with contextlib.aclosing(self._data.fetched(endpoint, kept.backend, uid)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self._fetches -= Counter([namespace])

    async def meet(self, endpoint: Endpoint, backend: str, keeps: int) -> None:
        """Compare what a pod keeps with what jobs say of it.

        Results of jobs that are no more are dropped; jobs whose result is lost say so.

        Args:
            endpoint: the pod.
            backend: namespace and name of its backend.
            keeps: how many results it says that it keeps.

        Raises:
            WireError: the pod does not answer, or refuses.
        """
        # Before the pod is asked: what is kept from now on may not be in its answer.
        wanted = {each.uid: key for key, each in self._kept() if _pod_of(each.kept) == endpoint.key}
        if not keeps and not wanted:
            return
        there, dropped = await self._data.kept(endpoint, backend)
        for uid in wanted.keys() - there:
            restarted = f"the server of pod {endpoint.key} began anew, and results are in its memory"
            await self._lose(wanted[uid], uid, dropped.get(uid, restarted))
        jobs = {job.metadata.uid for job in self._state.jobs.values()}
        jobs |= {each.uid for _, each in self._kept() if _pod_of(each.kept) == endpoint.key}
        for uid in there - jobs - self._moving:
            await self._data.forget(endpoint, backend, uid)

    def kept_on(self, pod: str) -> int:
        """Return how many jobs have their result on a pod, by the pod's namespace and name."""
        return sum(_pod_of(each.kept) == pod for _, each in self._kept())

    async def move_away(self, endpoint: Endpoint, backend: str) -> None:
        """Move what a pod keeps to pods of the backend that stay, and drop what no job names any more.

        Raises:
            KubeError: a job's new place could not be written; its result stays where it was too.
            WireError: a pod does not answer or has no room, or none stays.
        """
        await self.meet(endpoint, backend, keeps=1)
        for key, finished in self._kept():
            kept = finished.kept
            if kept is not None and _pod_of(kept) == endpoint.key:
                self._moving.add(finished.uid)
                try:
                    await self._move(key, finished.uid, kept, endpoint)
                finally:
                    self._moving.discard(finished.uid)

    async def _move(self, key: str, uid: str, kept: KeptResult, endpoint: Endpoint) -> None:
        backend, (namespace, name) = kept.backend, key.split("/", 1)
        left = seconds(kept.expires_at) - self._clock()
        there = [pod.endpoint for pod in self._state.pods_of(backend) if pod.uid != endpoint.pod]
        if left <= 0:
            # The next sweep says so.
            return
        if not there:
            raise PodLost(f"{backend} has no other pod that stays")
        async with self._moves:
            data = b"".join([piece async for piece in self._data.fetched(endpoint, backend, uid)])
            error: WireError | None = None
            for place in there:
                try:
                    await self._data.keep(place, backend, uid, data, namespace=namespace, seconds=left, displaces=False)
                    break
                except WireError as refusal:
                    error = refusal
            else:
                assert error is not None
                raise error
        obj = await self._kube.get("HybridJob", namespace, name)
        if obj is None or obj["metadata"]["uid"] != uid:
            return
        job = HybridJob.model_validate(obj)
        if job.status.result is not None and job.status.result.kept == kept:
            await self._statuses.write(job, results.moved(job, place.key.split("/", 1)[1]))

    async def sweep(self) -> None:
        """Say of results that their time is over, or their pod gone."""
        pods, now = self._state.versions.get("Pod", {}), self._clock()
        for key, finished in self._kept():
            assert finished.kept is not None
            if (pod := _pod_of(finished.kept)) not in pods or seconds(finished.kept.expires_at) <= now:
                await self._lose(key, finished.uid, f"the pod {pod} that kept it is gone")

    def _kept(self) -> list[tuple[str, Finished]]:
        return list(self._state.keeping.items())

    async def _lose(self, key: str, uid: str, why: str) -> None:
        namespace, name = key.split("/", 1)
        try:
            obj = await self._kube.get("HybridJob", namespace, name)
            if obj is None or obj["metadata"]["uid"] != uid:
                return
            job = HybridJob.model_validate(obj)
            result, now = job.status.result, self._clock()
            if result is None or result.kept is None or result.kept.lost is not None:
                return
            if seconds(result.kept.expires_at) <= now:
                why = f"it was kept until {result.kept.expires_at}"
            status = results.lost(job, why, now)
            obj = await self._statuses.write(job, status)
        except KubeError as error:
            # The next poll finds it again.
            logger.info("HybridJob %s: that its result is lost could not be written: %s", key, error)
            return
        if obj is not None:
            self._events.warn(obj, status.reason or "", status.message or "")


def _pod_of(kept: KeptResult | None) -> str:
    """Return namespace and name of the pod that keeps a result."""
    return "" if kept is None else f"{kept.backend.split('/', 1)[0]}/{kept.pod}"


def _packed(plain: bytes) -> _Document:
    return _Document(len(plain), hashlib.sha256(plain).hexdigest(), gzip.compress(plain, 1))
