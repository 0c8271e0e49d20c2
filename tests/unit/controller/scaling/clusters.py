"""A cluster's part in scaling, tick by tick: controllers with caches that lag, watches that lag, servers with tasks."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from qonverge.api import QuantumBackend
from qonverge.api.conditions import timestamp
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.objects.object_names import BACKEND_LABEL, PORT_NAME
from qonverge.controller.objects.pod_order import COST
from qonverge.controller.pods.errors import PodLost
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.results.kept_results import PodResults
from qonverge.controller.scaling.removal import Removal
from qonverge.controller.store.pods import Endpoint
from qonverge.controller.store.state import State
from qonverge.wire.backend_info import BackendInfo
from tests.unit.controller.worlds import info

KEY, LABEL = "lab/a", "a-qb"
# From a container's start until its server is ready.
_START_SECONDS = 3.0


@dataclass
class Server:
    """A pod, and the server in it."""

    name: str
    created: float
    ready_at: float
    boot: int = 0
    draining: bool = False
    tasks: list[float] = field(default_factory=list)
    """When each of its tasks ends."""
    kept: int = 0
    cost: str | None = None
    ready: bool = False
    named: bool = False
    """Whether programs were named to it, whose tasks it takes then."""
    starts_at: float = 0.0
    """When its container starts, or did."""

    def info(self) -> BackendInfo:
        running = len(self.tasks)
        boot = f"{self.name}-{self.boot}"
        return info(1, running=running, draining=self.draining, kept_results=self.kept, boot=boot)


class Cluster:
    """The API server, the controllers and the servers, each at the boundary where ``Removal`` meets it."""

    def __init__(self, seed: int, replicas: int) -> None:
        self.draw = random.Random(seed)
        self.now, self.version, self.names = 1_000_000.0, 0, 0
        self.state = State()
        metadata = {"name": "a", "namespace": "lab", "uid": "uid-a"}
        self.state.backends[KEY] = QuantumBackend.model_validate({"metadata": metadata, "spec": {"simulator": {}}})
        self.servers: dict[str, Server] = {}
        self.spec = self.of_set = replicas
        self.generations = {"Deployment": 1, "ReplicaSet": 1}
        self.observed = {"Deployment": 1, "ReplicaSet": 1}
        self.late: dict[str, deque[tuple[float, dict[str, Any], bool]]] = defaultdict(deque)
        self.cached: deque[tuple[float, dict[str, tuple[bool, int]]]] = deque()
        self.killed: list[str] = []
        self.removed = self.lost = self.begun = 0
        self.lag, self.cache_lag, self.fails = 2.0, 0.5, 0.05
        self.removal = Removal(
            state=self.state,
            data=cast("DataPlane", self),
            kube=cast("Kube", self),
            results=cast("PodResults", self),
            clock=lambda: self.now,
        )
        self._show_sizes()

    # What Removal asks for.

    async def drain(self, endpoint: Endpoint, audience: str, *, on: bool) -> BackendInfo:
        await self._passes()
        server = self._server(endpoint.pod)
        server.draining = on
        told = server.info()
        await self._passes()
        return told

    async def apply(self, obj: dict[str, Any]) -> dict[str, Any]:
        await self._passes()
        metadata = obj["metadata"]
        server = self.servers.get(metadata["name"])
        if server is None or metadata["uid"] != f"uid-{server.name}":
            raise KubeError(409, "it is gone")
        server.cost = metadata.get("annotations", {}).get(COST)
        self._show(server)
        await self._passes()
        return obj

    async def move_away(self, endpoint: Endpoint, backend: str) -> None:
        await self._passes()
        there = self.state.pods_of(backend)
        if not there:
            raise PodLost("no other pod stays")
        self._server(endpoint.pod).kept = 0

    def kept_on(self, pod: str) -> int:
        return 0

    async def _passes(self) -> None:
        for _ in range(self.draw.choice((0, 0, 1, 2, 5))):
            await self.next_tick.wait()
        if self.draw.random() < self.fails:
            raise PodLost("the answer is lost")

    def _server(self, uid: str) -> Server:
        server = self.servers.get(uid.removeprefix("uid-"))
        if server is None or not server.ready:
            raise PodLost("it does not answer")
        return server

    # What goes on by itself.

    async def tick(self, seconds: float = 0.1) -> None:
        """Let some time pass."""
        self.now += seconds
        waiting, self.next_tick = getattr(self, "next_tick", asyncio.Event()), asyncio.Event()
        waiting.set()
        for server in self.servers.values():
            server.tasks = [end for end in server.tasks if end > self.now]
            if not server.ready and self.now >= server.ready_at:
                server.ready = True
                self._show(server)
            elif server.starts_at and self.now >= server.starts_at:
                server.starts_at = 0.0
                self._show(server)
        self._control()
        self._deliver()
        for _ in range(4):
            await asyncio.sleep(0)

    def send(self, seconds: float) -> None:
        """Let a program send a task: to any pod that is ready, until one takes it."""
        # Names lead there a moment after it is ready.
        ready = [each for each in self.servers.values() if each.ready and self.now - each.ready_at > self.cache_lag]
        for server in self.draw.sample(ready, len(ready)):
            if server.named and not server.draining:
                server.tasks.append(self.now + seconds)
                self.begun += 1
                return

    def restart(self, name: str) -> None:
        """Let a server crash: its tasks are lost by that, and it has forgotten that it drains."""
        server = self.servers[name]
        server.boot, server.draining, server.tasks, server.kept, server.ready = server.boot + 1, False, [], 0, False
        server.ready_at, server.named = self.now + _START_SECONDS, False
        self._show(server)

    def poll(self) -> None:
        """Ask every pod that is known how it does."""
        for pod in self.state.pods.serving():
            server = self.servers.get(pod.key.split("/")[1])
            if server is not None and server.ready:
                pod.answer(server.info(), 0.1, self.now)
                server.named = server.named or pod.admits_programs

    def size(self, replicas: int) -> None:
        """Give the Deployment another size, as an apply that has come through."""
        if replicas != self.spec:
            self.spec = replicas
            self.generations["Deployment"] += 1
            self._show_sizes()

    def _control(self) -> None:
        """Let the controllers act: each looks at what its caches have, which is old."""
        self.cached.append((self.now, {name: (each.ready, int(each.cost or 0)) for name, each in self.servers.items()}))
        while len(self.cached) > 1 and self.cached[1][0] <= self.now - self.draw.uniform(0, self.cache_lag):
            self.cached.popleft()
        if self.observed["Deployment"] < self.generations["Deployment"] and self.draw.random() < 0.5:
            if self.of_set != self.spec:
                self.of_set = self.spec
                self.generations["ReplicaSet"] += 1
            self.observed["Deployment"] = self.generations["Deployment"]
            self._show_sizes()
        if self.draw.random() < 0.5:
            seen = {name: each for name, each in self.cached[0][1].items() if name in self.servers}
            # It waits until its cache has all that it made and deleted, as its expectations have it.
            if seen.keys() == self.servers.keys():
                self._scale(seen)
                if self.observed["ReplicaSet"] < self.generations["ReplicaSet"]:
                    self.observed["ReplicaSet"] = self.generations["ReplicaSet"]
                    self._show_sizes()

    def _scale(self, seen: Mapping[str, tuple[bool, int]]) -> None:
        for _ in range(self.of_set - len(seen)):
            self.names += 1
            starts = self.now + self.draw.uniform(0.5, 3.0)
            server = Server(f"p{self.names}", self.now, starts + _START_SECONDS, starts_at=starts)
            self.servers[server.name] = server
            self._show(server)
        order = sorted(seen, key=lambda name: (seen[name], self.draw.random()))
        for name in order[: max(0, len(seen) - self.of_set)]:
            server = self.servers.pop(name)
            self.removed += 1
            if server.tasks:
                self.killed.append(server.name)
            self.lost += server.kept
            self._show(server, deleted=True)

    # What the watches show.

    def _show_sizes(self) -> None:
        common = {"namespace": "lab", "labels": {BACKEND_LABEL: LABEL}}
        for kind, name, owner, replicas in (
            ("Deployment", LABEL, ("QuantumBackend", "a", "uid-a"), self.spec),
            ("ReplicaSet", "rs", ("Deployment", LABEL, "uid-deployment"), self.of_set),
        ):
            owned = {"kind": owner[0], "name": owner[1], "uid": owner[2], "controller": True}
            uid = f"uid-{kind.lower()}"
            metadata: dict[str, Any] = {**common, "name": name, "uid": uid, "ownerReferences": [owned]}
            metadata["generation"] = self.generations[kind]
            status = {"observedGeneration": self.observed[kind]}
            self._tell(kind, {"metadata": metadata, "spec": {"replicas": replicas}, "status": status})

    def _show(self, server: Server, *, deleted: bool = False) -> None:
        owned = {"kind": "ReplicaSet", "name": "rs", "uid": "uid-replicaset", "controller": True}
        metadata: dict[str, Any] = {
            "name": server.name,
            "namespace": "lab",
            "uid": f"uid-{server.name}",
            "labels": {BACKEND_LABEL: LABEL},
            "annotations": {} if server.cost is None else {COST: server.cost},
            "creationTimestamp": timestamp(server.created),
            "ownerReferences": [owned],
        }
        ports = [{"name": PORT_NAME, "containerPort": 8080}]
        state: dict[str, Any] = {"waiting": {}} if server.starts_at else {"running": {}}
        process = {"name": "backend", "containerID": f"{server.name}-{server.boot}", "state": state}
        status = {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": str(server.ready)}],
            "containerStatuses": [process],
        }
        spec = {"nodeName": "n", "containers": [{"name": "backend", "ports": ports}]}
        self._tell("Pod", {"metadata": metadata, "spec": spec, "status": status}, deleted)

    def _tell(self, kind: str, obj: dict[str, Any], deleted: bool = False) -> None:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        before = self.late[kind][-1][0] if self.late[kind] else 0.0
        self.late[kind].append((max(before, self.now + self.draw.uniform(0.0, self.lag)), obj, deleted))

    def _deliver(self) -> None:
        for kind, events in self.late.items():
            while events and events[0][0] <= self.now:
                _, obj, deleted = events.popleft()
                self.state.observe(kind, obj, deleted)
