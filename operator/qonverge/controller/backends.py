"""QuantumBackends: their objects, and what their pods say."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from qonverge.api import Condition, QuantumBackend, QuantumBackendStatus
from qonverge.api.backend import OFFERS_LABEL, Capabilities
from qonverge.controller import builders, calibration
from qonverge.controller.cluster import Cluster
from qonverge.controller.dataplane import DataPlane
from qonverge.controller.events import Events
from qonverge.controller.kube import Kube, KubeError
from qonverge.controller.metering import Metering
from qonverge.controller.orphans import sort_out
from qonverge.controller.results import Results
from qonverge.controller.settings import Settings
from qonverge.controller.signing import SigningKey
from qonverge.controller.snapshot import label_key
from qonverge.controller.state import Calibrated, State
from qonverge.lifecycle.transitions import timestamp
from qonverge.providers.descriptor import STATE_POWER
from qonverge.wire.errors import WireError
from qonverge.wire.messages import BackendInfo

logger = logging.getLogger(__name__)

_SLOWER = 0.3


def status_of(
    backend: QuantumBackend,
    deployment: dict[str, Any] | None,
    infos: Sequence[BackendInfo],
    now: float,
    *,
    calibrated: Calibrated | None = None,
    trouble: str | None = None,
    may_offer: bool = True,
) -> QuantumBackendStatus:
    """Return the backend's status; pure.

    Args:
        backend: with its status as it is.
        deployment: what was seen of its Deployment.
        infos: what its pods say.
        now: Unix seconds.
        calibrated: what is known of its noise; None where it has none.
        trouble: why a pod does not serve.
        may_offer: whether its namespace may offer backends to others.
    """
    wanted, before = backend.spec.replicas, backend.status
    observed = (deployment or {}).get("status", {})
    ready = int(observed.get("readyReplicas", 0))
    if wanted == 0:
        truth, reason, message = "False", "Stopped", "spec.replicas is 0"
    elif ready:
        truth, reason, message = "True", "Serving", f"{ready} of {wanted} pods serve"
    else:
        truth, reason, message = "False", "Starting", f"0 of {wanted} pods serve" + (f": {trouble}" if trouble else "")
    generation = backend.metadata.generation
    stalled = next(
        (
            c["message"]
            for c in observed.get("conditions") or []
            if (c["type"] == "Progressing" and c.get("reason") == "ProgressDeadlineExceeded")
            or (c["type"] == "ReplicaFailure" and c["status"] == "True")
        ),
        None,
    )
    if stalled and not ready:
        reason, message = "Stalled", stalled
    conditions = [_condition(before, "Ready", truth, reason, message, generation, now)]
    if wanted and ready < wanted:
        kind = "Stalled" if stalled else "Reconciling"
        conditions.append(_condition(before, kind, "True", reason, message, generation, now))
    if calibrated is not None:
        conditions.append(
            _condition(before, "Calibrated", *calibration.verdict(calibrated, infos, now), generation, now)
        )
    if backend.is_offered:
        conditions.append(_condition(before, "Offered", *_offer(backend, may_offer), generation, now))
    capabilities = before.capabilities
    if infos:
        first = infos[0]
        capabilities = Capabilities(
            max_qubits=_widest(first),
            max_shots=first.max_shots,
            memory_bytes=first.memory_bytes,
            methods=list(first.methods),
            basis_gates=list(first.basis_gates),
            engine_version=first.engine,
        )
    return QuantumBackendStatus(
        observed_generation=generation,
        conditions=conditions,
        replicas=int(observed.get("replicas", 0)),
        ready_replicas=ready,
        ready=f"{ready}/{wanted}",
        selector=",".join(f"{k}={v}" for k, v in builders.backend_labels(backend).items()),
        queue_length=sum(info.queued for info in infos) if infos else None,
        running=sum(info.running for info in infos) if infos else None,
        capabilities=capabilities,
        calibration=calibration.in_short(calibrated),
    )


def _offer(backend: QuantumBackend, may_offer: bool) -> tuple[str, str, str]:
    """Return whether other namespaces' jobs may really use it: status, reason and message."""
    given, namespace = backend.spec.access.namespaces.from_, backend.metadata.namespace
    if may_offer:
        return "True", "NamespaceMayOffer", f"jobs of other namespaces are admitted: from is {given}"
    return (
        "False",
        "NamespaceMayNotOffer",
        f"only jobs of namespace {namespace} are admitted although from is {given}: a cluster administrator allows "
        f'others with "kubectl label namespace {namespace} {OFFERS_LABEL}=true"',
    )


def _widest(info: BackendInfo) -> int | None:
    """Return the most qubits of a general circuit: the backend's limit, or the widest statevector that fits."""
    power = STATE_POWER.get(info.method)
    if power is None or info.memory_bytes is None:
        return info.max_qubits
    fits = ((info.memory_bytes // 16).bit_length() - 1) // power
    return fits if info.max_qubits is None else min(fits, info.max_qubits)


def _condition(
    before: QuantumBackendStatus, kind: str, truth: Any, reason: str, message: str, generation: int, now: float
) -> Condition:
    known = next((c for c in before.conditions if c.type == kind and c.status == truth), None)
    since = known.last_transition_time if known else timestamp(now)
    return Condition(
        type=kind,
        status=truth,
        reason=reason,
        message=message,
        last_transition_time=since,
        observed_generation=generation,
    )


class Backends:
    """The reconciler of QuantumBackends."""

    def __init__(
        self,
        *,
        state: State,
        cluster: Cluster,
        kube: Kube,
        data: DataPlane,
        metering: Metering,
        results: Results,
        events: Events,
        settings: Settings,
        key: SigningKey,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives Unix seconds."""
        self._state = state
        self._cluster = cluster
        self._kube = kube
        self._data = data
        self._metering = metering
        self._results = results
        self._events = events
        self._settings = settings
        self._key = key
        self._clock = clock
        self._applied: dict[str, str] = {}
        # What was written of pods that do not serve, by the backend's key.
        self._told: dict[str, str | None] = {}

    async def reconcile(self, key: str) -> None:
        """Apply the backend's objects and write its status, each only where something changed."""
        backend = self._state.backends.get(key)
        if backend is None or backend.metadata.deletion_timestamp:
            # What it owns is collected by the cluster.
            self._applied.pop(key, None)
            self._told.pop(key, None)
            self._state.calibrations.pop(key, None)
            return
        await self._look(key, backend)
        deployment, signer = self._state.deployments.get(label_key(backend)), self._key.signer
        desired = [
            builders.backend_secret(backend, signer.backend_key(key)),
            builders.deployment(backend, self._settings, signer.public_key),
            builders.service(backend),
        ]
        # A Deployment that somebody changed has another generation, and is put right.
        generation = (deployment or {}).get("generation")
        digest = hashlib.sha256(json.dumps(desired, sort_keys=True).encode()).hexdigest()
        if self._applied.get(key) != f"{digest}/{generation}":
            for obj in desired:
                answer = await self._kube.apply(obj)
                if obj["kind"] == "Deployment":
                    self._applied[key] = f"{digest}/{answer['metadata']['generation']}"
        await self._write_status(key, backend, deployment)

    async def _look(self, key: str, backend: QuantumBackend) -> None:
        known, now = self._state.calibrations.get(key), self._clock()
        if calibration.is_stale(backend, known, now):
            found = await calibration.look(backend, known, self._kube, now)
            if found is None:
                self._state.calibrations.pop(key, None)
            else:
                self._state.calibrations[key] = found

    async def _write_status(self, key: str, backend: QuantumBackend, deployment: dict[str, Any] | None) -> None:
        infos = [
            self._state.infos[endpoint.pod]
            for endpoint in self._state.endpoints_of(label_key(backend))
            if endpoint.pod in self._state.infos
        ]
        self._told[key] = trouble = self._trouble(backend)
        status = status_of(
            backend,
            deployment,
            infos,
            self._clock(),
            calibrated=self._state.calibrations.get(key),
            trouble=trouble,
            may_offer=self._cluster.may_offer(backend.metadata.namespace),
        )
        if status == backend.status:
            return
        metadata = backend.metadata
        # Absent fields would keep their old value in a merge.
        body = {"queueLength": None, "running": None, "calibration": None, **status.to_dict()}
        try:
            obj = await self._kube.patch_status(
                "QuantumBackend", metadata.namespace, metadata.name, body, metadata.resource_version
            )
        except KubeError as error:
            if error.status == 404:
                return
            raise
        self._state.see_backend(obj, deleted=False)
        old, new = backend.status.conditions, status.conditions
        if new[0].status != (old[0].status if old else None):
            note = self._events.note if new[0].status == "True" or not old else self._events.warn
            await note(obj, new[0].reason, new[0].message)

    async def poll(self, *, leading: bool) -> list[str]:
        """Ask every serving pod how it does and return the keys of the backends with news.

        The replica that leads also looks after tasks that it did not send itself, and after what programs use.
        """
        by_label = {label_key(backend): key for key, backend in self._state.backends.items()}
        changed: set[str] = set()

        async def ask(uid: str) -> None:
            endpoint = self._state.endpoints[uid]
            key = by_label.get(endpoint.backend)
            if key is None:
                return
            try:
                audience = builders.audience(self._state.backends[key])
                asked = time.monotonic()
                info = await self._data.info(endpoint, audience)
                took = time.monotonic() - asked
                if leading and info.queued + info.running > self._state.assigned.get(uid, 0):
                    await sort_out(self._state, self._data, endpoint, audience)
            except (WireError, KeyError, TypeError) as error:
                logger.info("pod %s does not tell: %s", endpoint.url, error)
                return
            if uid not in self._state.endpoints:
                return
            # A poll that met a busy moment says little: what is quick again counts at once, what is slow by and by.
            before = self._state.latencies.get(uid, took)
            self._state.latencies[uid] = min(took, before + _SLOWER * (took - before))
            if self._state.infos.get(uid) != info or uid in self._state.silent:
                self._state.silent.discard(uid)
                self._state.infos[uid] = info
                changed.add(key)
            if leading and key in self._state.backends:
                try:
                    await self._metering.meet(endpoint, self._state.backends[key], unnamed=info.unnamed > 0)
                except WireError as error:
                    logger.info("pod %s does not tell what programs use: %s", endpoint.url, error)
                try:
                    await self._results.meet(endpoint, audience, info.kept_results)
                except WireError as error:
                    logger.info("pod %s does not tell what results it keeps: %s", endpoint.url, error)

        await asyncio.gather(*(ask(uid) for uid in list(self._state.endpoints)))
        self._metering.gone()
        if leading:
            await self._results.sweep()
        now = self._clock()
        for key, backend in self._state.backends.items() if leading else ():
            known = self._state.calibrations.get(key)
            if calibration.is_stale(backend, known, now) or self._trouble(backend) != self._told.get(key):
                changed.add(key)
        return sorted(changed)

    def _trouble(self, backend: QuantumBackend) -> str | None:
        """Return why a pod of the backend does not serve, as far as one tells."""
        label = label_key(backend)
        return next((words for of, words in self._state.troubles.values() if of == label), None)
