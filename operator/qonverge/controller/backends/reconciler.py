"""QuantumBackends: their objects, and what their pods say."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

from qonverge.api import QuantumBackend
from qonverge.controller.backends import calibration
from qonverge.controller.backends.polls import Polls
from qonverge.controller.backends.sizes import has_gone, names_taken, owner_of_size, sizes_to_apply
from qonverge.controller.backends.status import Seen, status_of
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.kube.events import Events
from qonverge.controller.kube.refusals import Refusal
from qonverge.controller.kube.signing_key import SigningKey
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.objects import backend_objects, object_names
from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.objects.pod_troubles import Trouble
from qonverge.controller.pods.site_links import LinkMeasurements
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.quotas.metering import Metering
from qonverge.controller.results.kept_results import PodResults
from qonverge.controller.settings import Settings
from qonverge.controller.store.cluster import Cluster
from qonverge.controller.store.devices import pricing_of, task_watts
from qonverge.controller.store.pods import BackendPod
from qonverge.controller.store.resources import Change, key_of
from qonverge.controller.store.state import Calibrated, State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.controller.watching.declarations import Handler, Reconciler, Watch, always, itself, owner_of_kind
from qonverge.execution.placement import provider_problem
from qonverge.wire.errors import WireError

logger = logging.getLogger(__name__)

# Secrets are not watched, since who can watch some can read all. They are applied again now and then, in all at most
# this many a second, and at once where a pod lacks one.
_SECRET_SECONDS = 10.0
_SECRETS_PER_SECOND = 10.0


class Backends:
    """The reconciler of QuantumBackends."""

    def __init__(
        self,
        *,
        state: State,
        cluster: Cluster,
        kube: Kube,
        statuses: StatusWriter,
        queue: WorkQueue,
        data: DataPlane,
        metering: Metering,
        results: PodResults,
        events: Events,
        settings: Settings,
        key: SigningKey,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives Unix seconds."""
        self._state = state
        self._cluster = cluster
        self._kube = kube
        self._statuses = statuses
        self._queue = queue
        self._data = data
        links = LinkMeasurements(state, cluster, data, clock)
        self._polls = Polls(state=state, data=data, links=links, metering=metering, results=results, clock=clock)
        self._metering = metering
        self._results = results
        self._events = events
        self._settings = settings
        self._key = key
        self._clock = clock
        self._applied: dict[str, tuple[str, Any, Any]] = {}
        self._secrets_due: dict[str, float] = {}
        self._refusals: dict[str, tuple[str, Refusal]] = {}
        # What there were events of, by the backend's key.
        self._warned: dict[str, Trouble | None] = {}

    def declared(self) -> Reconciler:
        """Return what this looks after, and what it watches for it."""
        owner = owner_of_kind("QuantumBackend")
        return Reconciler(
            "QuantumBackend",
            self.reconcile,
            (
                Watch("QuantumBackend", itself, urgent=always),
                Watch("QuantumBackend", owner_of_size),
                Watch("Deployment", owner, urgent=always),
                Watch("Service", owner),
                Watch("Pod", self._troubled),
            ),
            (Handler("QuantumBackend", self._need_labels),),
        )

    def _troubled(self, change: Change) -> Iterable[str]:
        """Return the backends that wait for a pod for another reason than before."""
        if change.before == change.after:
            return ()
        labels = {label for label, _ in filter(None, (change.before, change.after))}
        return [key for key, backend in self._state.backends.items() if backend_selector(backend) in labels]

    def _need_labels(self, change: Change) -> None:
        """Have the labels of namespaces read where a backend is offered and they are not known yet."""
        seen = change.after
        if isinstance(seen, QuantumBackend) and seen.is_offered and seen.metadata.namespace not in self._cluster.labels:
            self._cluster.wanted.set()

    async def reconcile(self, key: str) -> None:
        """Apply the backend's objects and write its status, each only where something changed."""
        backend = self._state.backends.get(key)
        if backend is None or backend.metadata.deletion_timestamp:
            # What it owns is collected by the cluster.
            for known in (self._applied, self._secrets_due, self._refusals, self._warned, self._state.calibrations):
                known.pop(key, None)
            return
        if has_gone(self._state, backend):
            metadata = backend.metadata
            await self._kube.delete(backend.kind, metadata.namespace, metadata.name, metadata.uid)
            return
        await self._look(key, backend)
        problem = provider_problem(backend)
        if problem is None:
            await self._apply(key, backend)
        await self._write_status(key, backend, problem)

    async def _apply(self, key: str, backend: QuantumBackend) -> None:
        """Apply the backend's objects that are not as they should be; what is refused is tried again later."""
        state, now, signer = self._state, self._clock(), self._key.signer
        secret = backend_objects.backend_secret(backend, signer.backend_key(key), self._settings)
        deployment = backend_objects.deployment(backend, self._settings, signer.public_key, state.replicas_of(backend))
        service = backend_objects.service(backend)
        sizes = sizes_to_apply(state, backend)
        objects = [secret, deployment, service, *sizes]
        digest = hashlib.sha256(json.dumps(objects, sort_keys=True).encode()).hexdigest()
        of, refusal = self._refusals.get(key, (digest, None))
        if of != digest:
            # Of a former specification.
            del self._refusals[key]
            refusal = None
        if refusal is not None and now < refusal.again_at:
            self._queue.add_at(f"QuantumBackend {key}", refusal.again_at)
            return

        def applied() -> tuple[str, Any, Any]:
            # Of a Deployment that somebody changed or deleted the generation is another one; a Service has none.
            there, name = state.deployments.get(backend_selector(backend), {}), key_of(service)
            known = [state.backends.get(key_of(size)) for size in sizes]
            generations = there.get("generation"), *(each and each.metadata.generation for each in known)
            return digest, generations, state.versions.get("Service", {}).get(name)

        due = self._secrets_due.get(key, 0.0)
        wanted = [] if now < due and not self._lacks_secret(backend) else [secret]
        if self._applied.get(key) != applied():
            wanted = objects
        for obj in wanted:
            try:
                answer = await self._kube.apply(obj)
            except KubeError as error:
                refused = Refusal.of(error, obj, refusal, now)
                self._refusals[key] = digest, refused
                self._queue.add_at(f"QuantumBackend {key}", refused.again_at)
                return
            # Known at once: the watch may show it only after the next look at the backend.
            if obj is not secret:
                state.observe(obj["kind"], answer, deleted=False)
        if wanted:
            self._refusals.pop(key, None)
            self._applied[key] = applied()
            due = now + max(_SECRET_SECONDS, len(state.backends) / _SECRETS_PER_SECOND)
            self._secrets_due[key] = due
        self._queue.add_at(f"QuantumBackend {key}", due)

    def _lacks_secret(self, backend: QuantumBackend) -> bool:
        trouble = self._trouble(backend)
        return trouble is not None and f'secret "{object_names.backend_name(backend)}" not found' in trouble.message

    async def _look(self, key: str, backend: QuantumBackend) -> None:
        known, now = self._state.calibrations.get(key), self._clock()
        if calibration.is_stale(backend, known, now, self._named(backend)):
            if backend.spec.source.elsewhere:
                found = await self._fetched(backend, known, now)
            else:
                found = await calibration.look(backend, known, self._kube, now)
            if found is None:
                self._state.calibrations.pop(key, None)
            else:
                self._state.calibrations[key] = found

    def _named(self, backend: QuantumBackend) -> str | None:
        """Return the digest of the calibration that the pod of a device elsewhere names; None of others."""
        pod = self._proxy(backend)
        return None if pod is None or pod.info is None else pod.info.calibration_digest

    def _proxy(self, backend: QuantumBackend) -> BackendPod | None:
        """Return the pod that stands for a device elsewhere and tells of it; None of others."""
        if not backend.spec.source.elsewhere:
            return None
        pods = self._state.pods.reachable(backend_selector(backend))
        return next((pod for pod in pods if pod.info is not None), None)

    async def _fetched(self, backend: QuantumBackend, known: Calibrated | None, now: float) -> Calibrated | None:
        """Return the calibration of a device elsewhere from its pod; None where it has none."""
        pod = self._proxy(backend)
        if pod is None or pod.info is None or not pod.info.calibration_digest:
            return None
        try:
            info = await self._data.described(pod.endpoint, object_names.audience(backend))
        except WireError as error:
            # It is stale still, so that the next poll brings the backend here again.
            logger.info("pod %s does not tell its calibration: %s", pod.key, error)
            return known
        return await calibration.told(info.calibration_digest, info.calibration, known, now)

    async def _write_status(self, key: str, backend: QuantumBackend, problem: str | None) -> None:
        pods, trouble = self._state.pods.reachable(backend_selector(backend)), self._trouble(backend)
        watts, measured = task_watts(self._state.powers, backend, self._clock())
        seen = Seen(
            deployment=self._state.deployments.get(backend_selector(backend)),
            infos=[pod.info for pod in pods if pod.info is not None],
            calibrated=self._state.calibrations.get(key),
            trouble=trouble,
            refusal=self._refusals[key][1] if key in self._refusals else None,
            provider_problem=problem,
            taken=names_taken(self._state, backend),
            may_offer=self._cluster.may_offer(backend.metadata.namespace),
            pricing=pricing_of(self._state.pods, backend),
            task_watts=watts,
            measured=measured is not None,
            replicas=self._state.replicas_of(backend),
            scaled=self._state.scaled.get(key),
            silent=[pod.key for pod in self._state.pods.silent(backend_selector(backend))],
        )
        status = status_of(backend, seen, self._clock())
        if status == backend.status:
            return
        obj = await self._statuses.write(backend, status)
        if obj is None:
            return
        old, new = backend.status.conditions, status.conditions
        if trouble is not None and trouble != self._warned.get(key):
            self._events.warn(obj, trouble.reason or "PodNotReady", trouble.message)
        self._warned[key] = trouble
        if (new[0].status, new[0].reason) != ((old[0].status, old[0].reason) if old else None):
            note = self._events.note if new[0].status == "True" or not old else self._events.warn
            note(obj, new[0].reason, new[0].message)

    async def poll(self, *, leading: bool, whole: bool = True) -> list[str]:
        """Ask every serving pod how it does and return the keys of the backends with news.

        The replica that leads also looks after tasks that it did not send itself, and after what programs use. A pod
        that is slow with that keeps a poll waiting only where it is to be ``whole``: else it goes on beside.
        """
        changed = await self._polls.once(leading=leading, whole=whole)
        self._metering.gone()
        if leading:
            await self._results.sweep()
        now = self._clock()
        for key, backend in self._state.backends.items() if leading else ():
            known = self._state.calibrations.get(key)
            if calibration.is_stale(backend, known, now, self._named(backend)):
                changed.add(key)
        return sorted(changed)

    def _trouble(self, backend: QuantumBackend) -> Trouble | None:
        """Return why a pod of the backend does not serve, as far as one tells."""
        return self._state.pods.trouble_of(backend_selector(backend))
