"""Watching through kopf, and not believing it.

Kopf's streams list, watch, renew credentials and go on where a connection ended. What they show goes to ``observe`` at
once and in its order: kopf's own way is a task for each object, which takes about three turns of the event loop for
each event, so that a flood of one namespace kept the events of others waiting for seconds.

Three things can go wrong with a watch, and each is looked for: its stream ends on an error; it stays open and silent;
objects vanish while it is away. The last two are seen by listing the metadata now and then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import kopf
from kopf._cogs.clients import auth, watching
from kopf._cogs.structs.credentials import Vault
from kopf._cogs.structs.references import Namespace, NamespaceName, Resource

from qonverge.api.registry import KINDS, Kind
from qonverge.controller.kube.client import PAGE, Kube, KubeError
from qonverge.controller.settings import Settings
from qonverge.controller.store.resources import key_of
from qonverge.controller.store.state import State
from qonverge.controller.watching.watch_lag import LATE_SECONDS, WatchLag

logger = logging.getLogger(__name__)

Observe = Callable[[str, dict[str, Any], bool], None]


WATCHED: Mapping[str, Kind] = {name: kind for name, kind in KINDS.items() if "watch" in kind.verbs}
"""What is watched."""
_SWEEP_SECONDS = 60.0
_CHECK_SECONDS = 1.0
# A stream that the server ends now and then is one that is known to work.
_STREAM_SECONDS = 300
# Events that come together are taken so many at a time, and then others have a turn of the event loop.
_EVENTS = 32


class Watches:
    """Keeps the state as the cluster is."""

    def __init__(self, kube: Kube, state: State, settings: Settings, observe: Observe) -> None:
        """``observe`` is called with kind, object and whether it is gone."""
        self._kube = kube
        self._state = state
        named = [NamespaceName(namespace) for namespace in settings.watch_namespaces]
        self._namespaces: Sequence[Namespace] = named or [None]
        self._observe = observe
        # The watches that have listed what there is and go on from there.
        self._running: set[tuple[str, Namespace]] = set()
        self._lag = WatchLag()
        self._sweep_now = asyncio.Event()
        self._unwatched: str | None = "the watches do not run yet"
        self._unlisted: str | None = "the first lists are not complete"
        self.synced = asyncio.Event()

    @property
    def problem(self) -> str | None:
        """Why what is known may not be what there is."""
        return self._unwatched or self._unlisted

    async def run(self) -> None:
        """Watch until cancelled; watches that fail are started again."""
        while True:
            self._running.clear()
            vault = Vault()
            auth.vault_var.set(vault)
            watches = [(kind, namespace) for kind in WATCHED for namespace in self._namespaces]
            tasks = [
                asyncio.create_task(_log_in(vault), name="credentials"),
                *(asyncio.create_task(self._watch(*watch), name=f"watch of {watch[0]}") for watch in watches),
            ]
            try:
                self._unwatched = f"{await self._supervise(tasks)}; the watches are being started again"
                logger.warning("%s", self._unwatched)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await vault.close()
            await asyncio.sleep(1.0)

    async def _supervise(self, tasks: Sequence[asyncio.Task[None]]) -> str:
        """Return why the watches must be started again, when they must."""
        loop = asyncio.get_running_loop()
        swept, complete = float("-inf"), False
        self._lag = WatchLag()
        while True:
            if loop.time() - swept >= (LATE_SECONDS if self._lag.any else _SWEEP_SECONDS) or self._sweep_now.is_set():
                self._sweep_now.clear()
                late = await self._sweep(full=not complete)
                if late:
                    # The list of the next start shows what these watches did not.
                    return late
                if self._unlisted is None:
                    complete, swept = True, loop.time()
            try:
                async with asyncio.timeout(_CHECK_SECONDS):
                    await self._sweep_now.wait()
            except TimeoutError:
                pass
            for task in tasks:
                if task.done():
                    return f"the {task.get_name()} ended{_why(task)}"
            missing = len(tasks) - 1 - len(self._running)
            self._unwatched = f"{missing} of {len(tasks) - 1} watches do not run yet" if missing else None

    async def _sweep(self, *, full: bool) -> str:
        """Compare what is known with what there is, and return which watch is late, if one is."""
        late = ""
        try:
            for kind, found in WATCHED.items():
                for namespace in self._namespaces:
                    if full:
                        await self._list(kind, namespace, found.selector)
                    elif changes := await self._compare(kind, namespace, found.selector):
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

    async def _watch(self, kind: str, namespace: Namespace) -> None:
        found = WATCHED[kind]
        resource = Resource(found.group, found.version, found.plural, namespaced=True)
        settings = kopf.OperatorSettings()
        settings.watching.server_timeout = _STREAM_SECONDS
        settings.watching.client_timeout = _STREAM_SECONDS + 30
        settings.watching.connect_timeout = 10
        settings.watching.reconnect_backoff = 0.5
        settings.watching.chunk_size = PAGE
        if found.selector:
            settings.watching.label_selectors[found.group, found.version, found.plural] = found.selector
        taken = 0
        async for event in watching.infinite_watch(settings=settings, resource=resource, namespace=namespace):
            if isinstance(event, watching.Bookmark):
                self._running.add((kind, namespace))
                continue
            if event["type"] == "BOOKMARK":
                continue
            if event["type"] is None:
                # A list, not a change: the watch was away, and what vanished meanwhile is not shown.
                self._sweep_now.set()
            self._observe(kind, {"kind": kind, **event["object"]}, event["type"] == "DELETED")
            taken += 1
            if taken % _EVENTS == 0:
                await asyncio.sleep(0)


async def _log_in(vault: Vault) -> None:
    """Give credentials to the watches, and new ones when the API server takes them no more."""
    while True:
        await vault.wait_for_emptiness()
        given: dict[str, Any] = {"logger": logger, "settings": kopf.OperatorSettings()}
        found = kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)
        await vault.populate({} if found is None else {"cluster": found})


def _why(task: asyncio.Task[None]) -> str:
    """Return what ended a watch, where it says."""
    if task.cancelled() or (error := task.exception()) is None:
        return ""
    return f": {type(error).__name__}: {error}"
