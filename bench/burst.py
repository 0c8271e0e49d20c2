"""From apply to the first result on a backend without pods, step by step: ``python -m bench.burst``.

The cluster is this machine's own (``python -m e2e.cluster up``, which is done first), with the images on its node. A
figure counts from the request that creates a HybridJob: what kubectl itself takes to start is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench.driver import Driver, connected
from e2e.cluster.access import ROOT, ClusterAccess
from e2e.cluster.cluster import Cluster
from e2e.workspace import Workspace, backend, eventually
from qonverge.controller.objects.object_names import PORT

_SCALING = {"minReplicas": 0, "maxReplicas": 2, "stableWindow": "10s", "scaleDownAfter": "2s", "scaleToZeroAfter": "5s"}
_BACKEND = "elastic"
_LIMIT = 120.0
_LOOK_SECONDS = 0.01
_OWN_ADDRESS = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


@dataclass(frozen=True, slots=True)
class Burst:
    """One burst: seconds since the job was sent."""

    complete: float
    """Until a watch shows the job complete."""
    steps: dict[str, float]
    """Until each step of the chain was seen, in the order of the chain."""
    cpu: float | None
    """CPU seconds of the pod's processes until the result; None where they were not found."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds."""

    load: float
    """Of the machine, over the last minute, before the first burst."""
    median: float
    worst: float
    steps: dict[str, float]
    """The median of each step."""
    cpu: float | None
    """The median of the pods' CPU seconds."""
    bursts: list[Burst]


def _now() -> float:
    # The clock that processes' starts are counted by.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _Steps:
    """When each step was first seen."""

    ORDER = (
        "deployment scaled",
        "replica set scaled",
        "pod made",
        "pod scheduled",
        "server process started",
        "server listens",
        "server ready",
        "pod address shown",
        "pod ready shown",
    )

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.pod = ""

    def take(self, obj: dict[str, Any]) -> None:
        """Take an object that a watch shows."""
        kind, spec, status = obj["kind"], obj.get("spec") or {}, obj.get("status") or {}
        if kind in ("Deployment", "ReplicaSet"):
            name = "deployment scaled" if kind == "Deployment" else "replica set scaled"
            self._note(name, spec.get("replicas"))
        elif kind == "Pod" and "deletionTimestamp" not in obj["metadata"]:
            self.pod = obj["metadata"]["name"]
            conditions = status.get("conditions") or []
            self._note("pod made", True)
            self._note("pod scheduled", spec.get("nodeName"))
            self._note("pod address shown", status.get("podIP"))
            self._note("pod ready shown", any(c["type"] == "Ready" and c["status"] == "True" for c in conditions))

    def _note(self, name: str, seen: object) -> None:
        if seen:
            self.at.setdefault(name, _now())

    async def follow_server(self, session: aiohttp.ClientSession) -> int:
        """Look for the pod's server, note when it listens and says that it is ready, and return its process."""
        while not self.pod or (process := _server_of(self.pod)) is None:
            await asyncio.sleep(_LOOK_SECONDS)
        self.at["server process started"] = _started(process)
        url = f"http://{await _address(process)}:{PORT}"
        for path, step in (("healthz", "server listens"), ("readyz", "server ready")):
            while step not in self.at:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(f"{url}/{path}", timeout=aiohttp.ClientTimeout(total=5)) as response:
                        self._note(step, response.status == 200)
                await asyncio.sleep(_LOOK_SECONDS)
        return process


def _server_of(pod: str) -> int | None:
    """Return the first process of a pod's server, which its host name tells, once it runs Python."""
    wanted = f"HOSTNAME={pod}".encode()
    found = [
        process
        for process in _processes()
        if b"qonverge.backend" in _read(process / "cmdline").split(b"\0")
        and wanted in _read(process / "environ").split(b"\0")
    ]
    return int(found[0].name) if found else None


def _processes() -> Iterator[Path]:
    return (process for process in Path("/proc").iterdir() if process.name.isdigit())


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _stat(process: Path) -> list[str]:
    """Return the fields of a process after its name; empty where it has ended."""
    return _read(process / "stat").decode(errors="replace").rpartition(")")[2].split()


def _started(process: int) -> float:
    # Of the container's first process: since it was forked by what then became Python.
    return int(_stat(Path(f"/proc/{process}"))[19]) / os.sysconf("SC_CLK_TCK")


async def _address(process: int) -> str:
    """Return the address of a process' network, once it has one."""
    while True:
        table = _read(Path(f"/proc/{process}/net/fib_trie")).decode()
        own: list[str] = [each for each in _OWN_ADDRESS.findall(table) if not each.startswith("127.")]
        if own:
            return own[0]
        await asyncio.sleep(_LOOK_SECONDS)


def _cpu_seconds(process: int) -> float:
    """Return the CPU seconds of a process and its children that run, with those of children that have ended."""
    total = 0
    for each in _processes():
        fields = _stat(each)
        if fields and (int(each.name) == process or int(fields[1]) == process):
            total += sum(map(int, fields[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


async def _burst(driver: Driver, workspace: Workspace, name: str) -> Burst:
    steps = _Steps()
    paths = ["apis/apps/v1/namespaces/{}/deployments", "apis/apps/v1/namespaces/{}/replicasets"]
    paths.append("api/v1/namespaces/{}/pods")
    async with contextlib.AsyncExitStack() as stack:
        for path in paths:
            await stack.enter_async_context(driver.shown(path.format(workspace.namespace), steps.take))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await stack.enter_async_context(driver.watching(workspace.namespace))
        following = asyncio.create_task(steps.follow_server(session))
        ended, began = driver.ended(name), _now()
        try:
            await driver.create(workspace.namespace, name)
            await asyncio.wait_for(ended, _LIMIT)
            complete, cpu = _now() - began, None
            if following.done():
                cpu = _cpu_seconds(following.result())
        finally:
            following.cancel()
    found = {step: round(steps.at[step] - began, 3) for step in _Steps.ORDER if step in steps.at}
    return Burst(round(complete, 3), found, cpu)


async def _measure(workspace: Workspace, bursts: int) -> list[Burst]:
    found = []
    async with connected(workspace.cluster.kubeconfig) as driver:
        for number in range(bursts):
            await asyncio.to_thread(_await_zero, workspace)
            found.append(await _burst(driver, workspace, f"bell-{number}"))
            print(json.dumps(asdict(found[-1])), file=sys.stderr, flush=True)
    return found


def _await_zero(workspace: Workspace) -> None:
    reason = '--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=ScaledToZero'
    workspace.wait(reason, f"quantumbackend/{_BACKEND}")
    eventually(lambda: not workspace.items("pods"), "an end of the pods")


def run(bursts: int = 10) -> Figures:
    """Measure so many bursts, each after the backend came to zero again; its first pod brings the image."""
    subprocess.run([sys.executable, "-m", "e2e.cluster", "up"], check=True, cwd=ROOT, stdout=sys.stderr)
    own = Cluster()
    access = ClusterAccess(own.kubeconfig, own.images.project(ROOT), own=own)
    workspace = Workspace(access, f"bench-{uuid.uuid4().hex[:5]}")
    workspace.create()
    try:
        workspace.apply(backend(_BACKEND, capacity={"concurrency": 1}, scaling=_SCALING))
        load = os.getloadavg()[0]
        found = asyncio.run(_measure(workspace, bursts))
    finally:
        workspace.delete()
    times, cpu = [each.complete for each in found], [each.cpu for each in found if each.cpu is not None]
    steps = {
        step: round(statistics.median(each.steps[step] for each in found if step in each.steps), 3)
        for step in _Steps.ORDER
        if any(step in each.steps for each in found)
    }
    return Figures(
        round(load, 1),
        round(statistics.median(times), 3),
        max(times),
        steps,
        round(statistics.median(cpu), 2) if cpu else None,
        found,
    )


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(prog="bench.burst", description="Time the first result of a backend without pods.")
    parser.add_argument("--bursts", type=int, default=10)
    print(json.dumps(asdict(run(parser.parse_args().bursts)), indent=2))


if __name__ == "__main__":
    main()
