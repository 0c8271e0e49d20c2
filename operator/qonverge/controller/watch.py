"""Watching through kopf, and not believing it.

Kopf turns watches into calls of ``observe``. Three things can go wrong with a watch, and each is looked for: its task
ends on an error inside the stream (kopf logs it and goes on without it); it stays open and silent; objects vanish
while it is away. The first is seen by its missing task, the other two by listing the metadata now and then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import kopf

from qonverge.controller.builders import BACKEND_LABEL, JOB_LABEL
from qonverge.controller.kube import Kube, KubeError
from qonverge.controller.settings import Settings
from qonverge.controller.state import State, key_of

logger = logging.getLogger(__name__)

Observe = Callable[[str, dict[str, Any], bool], None]

# Kind -> (kopf's selector, label that ours carry, or none for our own kinds).
_WATCHED: dict[str, tuple[tuple[str, str, str], str | None]] = {
    "QuantumBackend": (("qonverge.io", "v1alpha1", "quantumbackends"), None),
    "Deployment": (("apps", "v1", "deployments"), BACKEND_LABEL),
    "Pod": (("", "v1", "pods"), None),
    "Job": (("batch", "v1", "jobs"), JOB_LABEL),
    "HybridJob": (("qonverge.io", "v1alpha1", "hybridjobs"), None),
}
_SWEEP_SECONDS = 60.0
_CHECK_SECONDS = 1.0
_START_SECONDS = 30.0
# A stream that the server ends now and then is one that is known to work.
_STREAM_SECONDS = 300


class Watches:
    """Keeps the state as the cluster is."""

    def __init__(
        self, kube: Kube, state: State, settings: Settings, observe: Observe, claim_signals: Callable[[], None]
    ) -> None:
        """``observe`` is called with kind, object and whether it is gone; ``claim_signals`` when kopf took them."""
        self._claim_signals = claim_signals
        self._kube = kube
        self._state = state
        self._settings = settings
        self._observe = observe
        self._behind: set[tuple[str, str, int]] = set()
        self._sweep_now = asyncio.Event()
        self.synced = asyncio.Event()
        self.problem: str | None = "the first lists are not complete"
        self.restarts = 0

    async def run(self) -> None:
        """Watch until cancelled; watches that fail are started again."""
        while True:
            stop = asyncio.Event()
            watching = asyncio.create_task(self._kopf(stop), name="kopf")
            try:
                await self._supervise(watching)
            finally:
                stop.set()
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            self.restarts += 1
            await asyncio.sleep(1.0)

    async def _supervise(self, watching: asyncio.Task[None]) -> None:
        """Return when the watches must be started again."""
        loop = asyncio.get_running_loop()
        started, swept = loop.time(), float("-inf")
        complete = False
        while True:
            if loop.time() - swept >= _SWEEP_SECONDS or self._sweep_now.is_set():
                self._sweep_now.clear()
                if await self._sweep(full=not complete):
                    complete, swept = True, loop.time()
            try:
                async with asyncio.timeout(_CHECK_SECONDS):
                    await self._sweep_now.wait()
            except TimeoutError:
                pass
            alive = sum(task.get_name().startswith("watcher for") for task in asyncio.all_tasks() if not task.done())
            expected = len(_WATCHED) * max(1, len(self._settings.watch_namespaces))
            if watching.done() or (alive < expected and loop.time() - started > _START_SECONDS):
                self.problem = f"{alive} of {expected} watches run; they are being started again"
                logger.warning("%s", self.problem)
                return
            if self.problem is not None and self.problem.startswith("stale"):
                logger.warning("%s; the watches are being started again", self.problem)
                return
            started = started if alive < expected else loop.time()

    async def _sweep(self, *, full: bool) -> bool:
        """Compare what is known with what there is, and return whether the API server answered."""
        try:
            for kind, (_, label) in _WATCHED.items():
                for namespace in self._settings.watch_namespaces or (None,):
                    if full:
                        await self._list(kind, namespace, label)
                    elif kind in self._state.versions:
                        await self._compare(kind, namespace)
        except KubeError as error:
            self.problem = str(error)
            return False
        if self.problem is None or not self.problem.startswith("stale"):
            self.problem = None
        self.synced.set()
        return True

    async def _list(self, kind: str, namespace: str | None, label: str | None) -> None:
        objects = await self._kube.list(kind, namespace, label or "")
        there = {key_of(obj) for obj in objects}
        for obj in objects:
            self._observe(kind, obj, False)
        for key in [key for key in self._state.versions.get(kind, {}) if key not in there]:
            self._gone(kind, key, namespace)

    async def _compare(self, kind: str, namespace: str | None) -> None:
        """Drop what is gone; what is newer than known, twice in a row, means that the watch is stale."""
        known = self._state.versions[kind]
        behind: set[tuple[str, str, int]] = set()
        before = dict(known)
        there = set()
        for metadata in await self._kube.list_metadata(kind, namespace):
            key, version = f"{metadata['namespace']}/{metadata['name']}", int(metadata["resourceVersion"])
            there.add(key)
            if version > known.get(key, 0):
                behind.add((kind, key, version))
        for key in before.keys() - there:
            if known.get(key) == before[key]:
                self._gone(kind, key, namespace)
        again = {item for item in behind if item in self._behind}
        self._behind = {item for item in self._behind if item[0] != kind} | behind
        if again:
            self.problem = f"stale: the watch of {kind} has not shown {len(again)} changes"

    def _gone(self, kind: str, key: str, namespace: str | None) -> None:
        owner, name = key.split("/", 1)
        if namespace is None or namespace == owner:
            version = str(self._state.versions[kind][key])
            self._observe(kind, {"metadata": {"namespace": owner, "name": name, "resourceVersion": version}}, True)

    def look(self) -> None:
        """Ask for a sweep soon, for example when the API server is back."""
        self._sweep_now.set()

    async def _kopf(self, stop: asyncio.Event) -> None:
        settings = kopf.OperatorSettings()
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.peering.standalone = True
        settings.watching.server_timeout = _STREAM_SECONDS
        settings.watching.client_timeout = _STREAM_SECONDS + 30
        settings.watching.connect_timeout = 10
        settings.watching.reconnect_backoff = 0.5
        settings.queueing.idle_timeout = 1.0
        namespaces = self._settings.watch_namespaces
        # Kopf installs handlers of its own, which would end the watching and not the operator.
        asyncio.get_running_loop().call_later(0.5, self._claim_signals)
        await kopf.operator(
            registry=self._registry(),
            settings=settings,
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
            stop_flag=stop,
        )

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        def login(**kwargs: Any) -> Any:
            return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

        def subscribe(kind: str, selector: tuple[str, str, str], label: str | None) -> None:
            labels = {label: kopf.PRESENT} if label else None

            @kopf.on.event(*selector, id=kind.lower(), labels=labels, registry=registry)
            async def seen(event: Any, **_: Any) -> None:
                if event["type"] is None:
                    # A list, not a change: the watch was away, and what vanished meanwhile is not shown.
                    self._sweep_now.set()
                self._observe(kind, {"kind": kind, **event["object"]}, event["type"] == "DELETED")

        for kind, (selector, label) in _WATCHED.items():
            subscribe(kind, selector, label)
        return registry
