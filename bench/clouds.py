"""A backend in front of a cloud: what it adds to a task, and its memory with many outstanding: ``-m bench.clouds``.

The cloud is the tests' own, in a process of its own, whose tasks are done at once. Its journal says when each call came
and was answered, on the clock that all processes share. What is between the calls of a task, but for waiting until it
is time to ask again, is the backend's own.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import urllib3
from qiskit import QuantumCircuit, qpy

from bench.memory import footprint
from qonverge.wire.codec import pack, unpack
from qonverge.wire.messages import Pub, Task, TaskResult
from tests.clouds.running import provider, vendor

_KINDS = ("Keyed", "Tagged")
_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured."""

    kind: str
    """Whether the cloud takes a key twice, or has tags only."""
    own_milliseconds: float
    """Median of what the backend adds to a task of a new circuit, the cloud's calls and the waits until it is time to
    ask again apart."""
    known_milliseconds: float
    """The same of a circuit that it has had before."""
    cpu_milliseconds: float
    """CPU time of the backend and its children for a task, on average: less than what it adds, and the same on a busy
    machine."""
    outstanding: int
    sent_seconds: float
    """Until the cloud had them all, which takes 200 calls of each kind a second."""
    server_mib: float
    child_mib: float
    calls_a_minute: dict[str, float]
    """By call, while they wait there."""


def circuit_of(index: int, qubits: int = 8) -> QuantumCircuit:
    """Return one of many different circuits of 100 gates."""
    generator = np.random.default_rng(index)
    # The name is in the QPY: without one of its own, a circuit is another one each time.
    circuit = QuantumCircuit(qubits, qubits, name=f"circuit {index}")
    for _ in range(50):
        one, other = generator.choice(qubits, 2, replace=False)
        circuit.u(*generator.uniform(-3, 3, 3), one)
        circuit.cx(one, other)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def task_of(circuit: QuantumCircuit, identity: str) -> Task:
    """Return a task of 100 shots."""
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    return Task(identity, (Pub(digest, shots=100),), {digest: buffer.getvalue()})


class Server:
    """A backend's process."""

    def __init__(self, url: str, process: psutil.Process) -> None:
        """Take where it is."""
        self._url, self.process = url, process
        self._pool = urllib3.PoolManager(retries=False, timeout=120)

    def send(self, task: Task, wait: float) -> TaskResult:
        """Send a task, and return how it stands after so many seconds at most."""
        kinds = {"content-type": "application/msgpack", "accept": "application/msgpack"}
        reply = self._pool.request(
            "POST", f"{self._url}/v1/tasks?wait={wait}", body=pack(task.to_dict()), headers=kinds
        )
        return TaskResult.from_dict(unpack(reply.data))

    @property
    def ready(self) -> bool:
        """Whether it can run a task."""
        try:
            return bool(self._pool.request("GET", f"{self._url}/readyz").status == 200)
        except urllib3.exceptions.HTTPError:
            return False


@contextmanager
def serving(kind: str, given: Mapping[str, Any], *more: str) -> Iterator[Server]:
    """Run a backend of a provider with these options until the end of the block."""
    with tempfile.TemporaryDirectory() as folder, provider(Path(folder)):
        port = 20_000 + os.getpid() % 20_000
        options = ("--engine", kind, "--options", json.dumps(given), "--concurrency", "1000", *more)
        limits = ("--memory-limit", str(1024 * _MIB), "--listen", f"127.0.0.1:{port}")
        process = subprocess.Popen([sys.executable, "-m", "qonverge.backend", *options, *limits])
        try:
            server = Server(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
            deadline = time.monotonic() + 60
            while not server.ready:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the backend does not start")
                time.sleep(0.1)
            yield server
        finally:
            process.terminate()
            process.wait(60)


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time that a process and its children have taken."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def own_seconds(journal: list[dict[str, Any]], began: float, ended: float) -> float:
    """Return what of a task's time was neither in a call nor between two looks at how it stands."""
    calls = [each for each in journal if each["call"] != "device" and began <= each["at"] <= ended]
    sent = next(each for each in calls if each["call"] == "submit")
    inside = sum(each["until"] - each["at"] for each in calls)
    looks = [each for each in calls if each["call"] == "tasks"]
    waits = sum(after["at"] - before["until"] for before, after in itertools.pairwise([sent, *looks]))
    return float(ended - began - inside - waits)


def run(kind: str, tasks: int = 100, outstanding: int = 1000, watch: float = 30.0) -> Figures:
    """Measure one kind of cloud."""
    with vendor() as service, serving(kind, {"endpoint": service.url}) as server:
        spans = []
        before_all = 0.0
        # The first few load what is loaded late; then each circuit comes twice.
        for index in range(2 * tasks + 5):
            if index == 5:
                before_all = cpu_seconds(server.process)
            task, began = task_of(circuit_of(max(-1, index - 5) // 2 + 1), f"one-{index}"), time.monotonic()
            result = server.send(task, 60)
            spans.append((began, time.monotonic()))
            if result.state != "Completed":
                raise RuntimeError(f"a task ended as {result.state}: {result.error}")
        cpu = (cpu_seconds(server.process) - before_all) / (2 * tasks)
        journal = service.control()["journal"]
        own = [own_seconds(journal, began, ended) for began, ended in spans[5:]]
        service.control(reset=True, settings={"seconds": 3600})
        began = time.monotonic()
        for index in range(outstanding):
            server.send(task_of(circuit_of(1000 + index), f"many-{index}"), 0)
        while len(service.tasks) < outstanding:
            time.sleep(0.2)
        sent = time.monotonic() - began
        before = len(service.control()["journal"])
        time.sleep(watch)
        later = service.control()["journal"][before:]
        sizes = footprint(server.process)
        return Figures(
            kind,
            1e3 * statistics.median(own[0::2]),
            1e3 * statistics.median(own[1::2]),
            1e3 * cpu,
            outstanding,
            sent,
            sizes["operator"]["rss"],
            sizes["children"]["rss"],
            {name: sum(1 for each in later if each["call"] == name) * 60 / watch for name in ("device", "tasks")},
        )


def main(arguments: list[str] | None = None) -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(prog="bench.clouds", description="Measure a backend in front of a cloud.")
    parser.add_argument("--tasks", type=int, default=100, help="one after the other")
    parser.add_argument("--outstanding", type=int, default=1000, help="at once")
    options = parser.parse_args(arguments)
    found = [asdict(run(kind, options.tasks, options.outstanding)) for kind in _KINDS]
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
