"""Watching through kopf, and not believing it.

Kopf turns watches into calls of ``observe``. Three things can go wrong with a watch, and each is looked for: its task
ends on an error inside the stream (kopf logs it and goes on without it); it stays open and silent; objects vanish
while it is away. The first is seen by its missing task, the other two by listing the metadata now and then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Set
from typing import Any

import kopf
from kopf._core.engines.peering import Identity

from qonverge.controller.builders import MANAGED_SELECTOR
from qonverge.controller.kube import PAGE, Kube, KubeError
from qonverge.controller.lag import LATE_SECONDS, Lag
from qonverge.controller.settings import Settings
from qonverge.controller.state import State, key_of

logger = logging.getLogger(__name__)

Observe = Callable[[str, dict[str, Any], bool], None]

WATCHED: dict[str, tuple[tuple[str, str, str], str]] = {
    "QuantumBackend": (("qonverge.io", "v1alpha1", "quantumbackends"), ""),
    "Deployment": (("apps", "v1", "deployments"), MANAGED_SELECTOR),
    "Service": (("", "v1", "services"), MANAGED_SELECTOR),
    "ReplicaSet": (("apps", "v1", "replicasets"), MANAGED_SELECTOR),
    "Pod": (("", "v1", "pods"), MANAGED_SELECTOR),
    "Job": (("batch", "v1", "jobs"), MANAGED_SELECTOR),
    "QuantumQuota": (("qonverge.io", "v1alpha1", "quantumquotas"), ""),
    "HybridJob": (("qonverge.io", "v1alpha1", "hybridjobs"), ""),
}
"""What is watched: by kind kopf's selector, and labels by which the API server chooses what concerns us."""
_SWEEP_SECONDS = 60.0
_CHECK_SECONDS = 1.0
# How long watches may be fewer than they should: at the start, and when all ran before.
_START_SECONDS = 30.0
_BROKEN_SECONDS = 2.0
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
        self._lag = Lag()
        self._sweep_now = asyncio.Event()
        self._unwatched: str | None = "the watches do not run yet"
        self._unlisted: str | None = "the first lists are not complete"
        self.synced = asyncio.Event()
        self.restarts = 0

    @property
    def problem(self) -> str | None:
        """Why what is known may not be what there is."""
        return self._unwatched or self._unlisted

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
        whole, grace, swept = loop.time(), _START_SECONDS, float("-inf")
        complete = False
        self._lag = Lag()
        while True:
            if loop.time() - swept >= (LATE_SECONDS if self._lag.any else _SWEEP_SECONDS) or self._sweep_now.is_set():
                self._sweep_now.clear()
                late = await self._sweep(full=not complete)
                if late:
                    # The list of the next start shows what these watches did not.
                    self._unwatched = f"{late}; the watches are being started again"
                    logger.warning("%s", self._unwatched)
                    return
                if self._unlisted is None:
                    complete, swept = True, loop.time()
            try:
                async with asyncio.timeout(_CHECK_SECONDS):
                    await self._sweep_now.wait()
            except TimeoutError:
                pass
            alive = sum(task.get_name().startswith("watcher for") for task in asyncio.all_tasks() if not task.done())
            expected = len(WATCHED) * max(1, len(self._settings.watch_namespaces))
            if alive >= expected:
                whole, grace = loop.time(), _BROKEN_SECONDS
                self._unwatched = None
            if watching.done() or loop.time() - whole > grace:
                self._unwatched = f"{alive} of {expected} watches run{_why(watching)}; they are being started again"
                logger.warning("%s", self._unwatched)
                return

    async def _sweep(self, *, full: bool) -> str:
        """Compare what is known with what there is, and return which watch is late, if one is."""
        late = ""
        try:
            for kind, (_, labels) in WATCHED.items():
                for namespace in self._settings.watch_namespaces or (None,):
                    if full:
                        await self._list(kind, namespace, labels)
                    elif changes := await self._compare(kind, namespace, labels):
                        late = f"the watch of {kind} has not shown {changes} changes for {LATE_SECONDS:g} s"
        except KubeError as error:
            self._unlisted = str(error)
            return late
        self._unlisted = None
        self.synced.set()
        return late

    async def _list(self, kind: str, namespace: str | None, labels: str) -> None:
        before, there = dict(self._state.versions.get(kind, {})), set()
        async for obj in self._kube.list(kind, namespace, labels):
            there.add(key_of(obj))
            self._observe(kind, obj, False)
        self._drop(kind, namespace, before, there)

    async def _compare(self, kind: str, namespace: str | None, labels: str) -> int:
        """Drop what is gone, and return how many changes the watch should have shown by now."""
        before = dict(self._state.versions.get(kind, {}))
        there: dict[str, int] = {}
        async for obj in self._kube.list(kind, namespace, labels, metadata_only=True):
            there[key_of(obj)] = int(obj["metadata"]["resourceVersion"])
        self._drop(kind, namespace, before, there.keys())
        known = self._state.versions.get(kind, {})
        return self._lag.compare((kind, namespace), there, known, asyncio.get_running_loop().time())

    def _drop(self, kind: str, namespace: str | None, before: dict[str, int], there: Set[str]) -> None:
        """Forget what was known before a list and is not in it; what a watch showed meanwhile stays."""
        known = self._state.versions.get(kind, {})
        for key in before.keys() - there:
            owner, name = key.split("/", 1)
            if known.get(key) == before[key] and namespace in (None, owner):
                metadata = {"namespace": owner, "name": name, "resourceVersion": str(before[key])}
                self._observe(kind, {"metadata": metadata}, True)

    async def _kopf(self, stop: asyncio.Event) -> None:
        settings = kopf.OperatorSettings()
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.peering.standalone = True
        settings.watching.server_timeout = _STREAM_SECONDS
        settings.watching.client_timeout = _STREAM_SECONDS + 30
        settings.watching.connect_timeout = 10
        settings.watching.reconnect_backoff = 0.5
        settings.watching.chunk_size = PAGE
        # Kopf keeps a task and the object for this long after each event.
        settings.queueing.idle_timeout = 0.05
        for selector, labels in WATCHED.values():
            if labels:
                settings.watching.label_selectors[selector] = labels
        namespaces = self._settings.watch_namespaces
        # Not kopf.operator, which in its end cancels all tasks of the loop that are younger than itself: ours too.
        tasks = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=settings,
            # Kopf would look up the user's name, and in a container the user has none.
            identity=Identity(self._settings.identity),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
            stop_flag=stop,
        )
        # Kopf has installed handlers of its own by now, which would end the watching and not the operator.
        self._claim_signals()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        def login(**kwargs: Any) -> Any:
            return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

        def subscribe(kind: str, selector: tuple[str, str, str]) -> None:
            @kopf.on.event(*selector, id=kind.lower(), registry=registry)
            async def seen(event: Any, **_: Any) -> None:
                if event["type"] is None:
                    # A list, not a change: the watch was away, and what vanished meanwhile is not shown.
                    self._sweep_now.set()
                self._observe(kind, {"kind": kind, **event["object"]}, event["type"] == "DELETED")

        for kind, (selector, _) in WATCHED.items():
            subscribe(kind, selector)
        return registry


def _why(watching: asyncio.Task[None]) -> str:
    """Return what ended kopf, where it says."""
    if not watching.done() or watching.cancelled() or (error := watching.exception()) is None:
        return ""
    return f": {type(error).__name__}: {error}"
