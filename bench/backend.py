"""A backend server beside the same circuits on Aer in this process: ``python -m bench.backend [--json FILE]``.

Both sides run the same circuits with the same shots and seeds. The in-process side runs them one after the other on an
AerSimulator with its default threads. The server is the real process with its defaults, called over loopback through
the client library, so what is compared is everything that a program pays for not simulating by itself. The sides take
turns within one run, since a machine that others use changes from minute to minute.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import qiskit
import qiskit_aer
import urllib3
from qiskit import QuantumCircuit, qpy
from qiskit_aer import AerSimulator

from e2e.cluster.processes import free_ports
from qonverge.client.transport.connection import Connection
from qonverge.wire.messages import Pub, Task, TaskResult

QUBITS = (5, 10, 15, 20)
SHOTS = 1024
CLIENTS = 4
_CIRCUITS = 4
_START_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Travelling:
    """A circuit and its form on the wire."""

    circuit: QuantumCircuit
    digest: str
    qpy: bytes

    @classmethod
    def of(cls, circuit: QuantumCircuit) -> Travelling:
        """Serialize a circuit."""
        buffer = io.BytesIO()
        qpy.dump(circuit, buffer)
        data = buffer.getvalue()
        return cls(circuit, hashlib.sha256(data).hexdigest(), data)


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running backend server."""

    url: str
    process: psutil.Process

    def cpu_seconds(self) -> tuple[float, float]:
        """Return the CPU time that the server and its children have used so far."""
        parent = self.process.cpu_times()
        workers = [child.cpu_times() for child in self.process.children(recursive=True)]
        return parent.user + parent.system, sum(times.user + times.system for times in workers)


def layered_circuit(qubits: int, seed: int) -> QuantumCircuit:
    """Return a circuit of about as many layers as qubits: random rotations, then CX on random pairs, in turns."""
    random = np.random.default_rng(seed)
    circuit = QuantumCircuit(qubits, qubits)
    for layer in range(qubits):
        if layer % 2:
            order = random.permutation(qubits).tolist()
            for control, target in zip(order[::2], order[1::2], strict=False):
                circuit.cx(control, target)
        else:
            for qubit, (theta, phi, lam) in enumerate(random.uniform(0, np.pi, (qubits, 3)).tolist()):
                circuit.u(theta, phi, lam, qubit)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def bell_circuit() -> QuantumCircuit:
    """Return the smallest circuit that entangles."""
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


@contextlib.contextmanager
def running_server(*options: str) -> Iterator[ServerProcess]:
    """Run a backend server on a free port of loopback until the end of the block.

    Raises:
        RuntimeError: when it does not become ready.
    """
    address = f"127.0.0.1:{free_ports(1)[0]}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QONVERGE_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "qonverge.backend", "--listen", address, *options], env=environment
    )
    try:
        _wait_until_ready(f"http://{address}/readyz", process)
        yield ServerProcess(f"http://{address}", psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(60)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with exit status {process.returncode}")
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if urllib3.request("GET", url, retries=False, timeout=5).status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the server is not ready after {_START_SECONDS:g} s")


class Remote:
    """Runs circuits on the server, each client with a connection of its own."""

    def __init__(self, url: str) -> None:
        """Connect when first used."""
        self._url = url
        self._numbers = itertools.count()
        self._run = f"bench-{os.getpid()}-{time.time_ns()}"

    def client(self) -> Callable[[Travelling, int, int], TaskResult]:
        """Return a function (circuit, shots, seed) -> result."""
        connection = Connection(self._url)

        def call(travelling: Travelling, shots: int, seed: int) -> TaskResult:
            return connection.run(
                Task(
                    f"{self._run}-{next(self._numbers)}",
                    (Pub(travelling.digest, shots=shots),),
                    {travelling.digest: travelling.qpy},
                    seed,
                )
            )

        return call


def throughput(call: Callable[[int], object], seconds: float) -> float:
    """Return calls per second of one caller, over at least so many seconds and three calls."""
    start, done = time.perf_counter(), 0
    while True:
        call(done)
        done += 1
        elapsed = time.perf_counter() - start
        if elapsed >= seconds and done >= 3:
            return done / elapsed


def shared_throughput(calls: Sequence[Callable[[int], object]], seconds: float) -> float:
    """Return calls per second of several callers at once; each call that ends within the time counts."""
    ended: list[list[float]] = [[] for _ in calls]
    failures: list[BaseException] = []
    gate = threading.Barrier(len(calls) + 1)

    def work(index: int) -> None:
        gate.wait()
        until = time.perf_counter() + seconds
        try:
            # Callers take different seeds, so that no call repeats another.
            for number in itertools.count(index, len(calls)):
                calls[index](number)
                ended[index].append(time.perf_counter())
                if ended[index][-1] >= until:
                    return
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    gate.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    # Up to the moment when the first caller stopped, all of them were calling.
    until = min(times[-1] for times in ended)
    return sum(1 for times in ended for moment in times if moment <= until) / (until - start)


def measure_width(remote: Remote, qubits: int, *, rounds: int, seconds: float, clients: int) -> dict[str, Any]:
    """Return throughput and latency of both sides for circuits of one width; times are in milliseconds."""
    circuits = [Travelling.of(layered_circuit(qubits, seed)) for seed in range(_CIRCUITS)]
    simulator = AerSimulator()
    callers = [remote.client() for _ in range(clients)]

    def local(number: int) -> object:
        chosen = circuits[number % _CIRCUITS]
        return simulator.run(chosen.circuit, shots=SHOTS, seed_simulator=number).result().get_counts()

    def over_http(caller: Callable[[Travelling, int, int], TaskResult]) -> Callable[[int], object]:
        return lambda number: caller(circuits[number % _CIRCUITS], SHOTS, number)

    remotes = [over_http(caller) for caller in callers]
    for number in range(_CIRCUITS * clients):
        # Every worker gets to know every circuit before anything is timed.
        remotes[number % clients](number)
    for number in range(_CIRCUITS):
        local(number)
    shared_throughput(remotes, seconds / 4)
    inside, outside, ratios = [], [], []
    for _ in range(rounds):
        inside.append(throughput(local, seconds))
        outside.append(shared_throughput(remotes, seconds))
        ratios.append(outside[-1] / inside[-1])
    alone_inside, alone_outside = _alternate(local, remotes[0], rounds * seconds)
    return {
        "qubits": qubits,
        "depth": circuits[0].circuit.depth(),
        "in_process_per_second": statistics.median(inside),
        "server_per_second": statistics.median(outside),
        "ratio": statistics.median(ratios),
        "ratio_lowest": min(ratios),
        "in_process_ms": statistics.median(alone_inside),
        "server_ms": statistics.median(alone_outside),
        "added_ms": statistics.median(alone_outside) - statistics.median(alone_inside),
        "server_p95_ms": float(np.quantile(alone_outside, 0.95)),
        "pairs": len(alone_inside),
    }


def _alternate(
    first: Callable[[int], object], second: Callable[[int], object], seconds: float
) -> tuple[list[float], list[float]]:
    """Return the times of both in milliseconds, called in turns, so that both see the same machine."""
    times: tuple[list[float], list[float]] = ([], [])
    until = time.perf_counter() + seconds
    for number in itertools.count():
        for call, own in zip((first, second), times, strict=True):
            start = time.perf_counter()
            call(number)
            own.append((time.perf_counter() - start) * 1e3)
        if time.perf_counter() >= until and number >= 4:
            return times
    raise AssertionError("unreachable")


def measure_bell(server: ServerProcess, remote: Remote, *, seconds: float, clients: int) -> dict[str, Any]:
    """Return what a warm Bell task costs: tasks per second and CPU milliseconds of each part."""
    bell = Travelling.of(bell_circuit())
    callers = [remote.client() for _ in range(clients)]
    calls = [lambda number, caller=caller: caller(bell, SHOTS, number) for caller in callers]
    shared_throughput(calls, seconds / 2)
    count = itertools.count()

    def counted(call: Callable[[int], object]) -> Callable[[int], object]:
        def one(number: int) -> object:
            next(count)
            return call(number)

        return one

    own_before, (server_before, workers_before) = time.process_time(), server.cpu_seconds()
    rate = shared_throughput([counted(call) for call in calls], seconds)
    own, (server_after, workers_after) = time.process_time() - own_before, server.cpu_seconds()
    tasks = next(count)
    simulator = AerSimulator()
    before = time.process_time()
    for number in range(200):
        simulator.run(bell.circuit, shots=SHOTS, seed_simulator=number).result().get_counts()
    return {
        "tasks_per_second": rate,
        "server_cpu_ms": (server_after - server_before) / tasks * 1e3,
        "worker_cpu_ms": (workers_after - workers_before) / tasks * 1e3,
        "client_cpu_ms": own / tasks * 1e3,
        "in_process_cpu_ms": (time.process_time() - before) / 200 * 1e3,
    }


def run(
    qubits: Sequence[int] = QUBITS, *, clients: int = CLIENTS, rounds: int = 3, seconds: float = 4.0
) -> dict[str, Any]:
    """Measure and return a dictionary that JSON carries: ``widths`` and ``bell``, and what they were measured on.

    Args:
        qubits: circuit widths.
        clients: callers at once, for throughput.
        rounds: turns of each side; medians over them are given.
        seconds: length of a turn.

    Raises:
        RuntimeError: when the server does not start.
        ClientError: when it fails on a task.
    """
    with running_server() as server:
        remote = Remote(server.url)
        return {
            "machine": {
                "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
                "load_before": os.getloadavg()[0],
                "python": platform.python_version(),
                "qiskit": qiskit.__version__,
                "aer": qiskit_aer.__version__,
            },
            "clients": clients,
            "shots": SHOTS,
            "widths": [
                measure_width(remote, width, rounds=rounds, seconds=seconds, clients=clients) for width in qubits
            ],
            "bell": measure_bell(server, remote, seconds=seconds, clients=clients),
        }


def table(measured: dict[str, Any]) -> str:
    """Return the figures as a person reads them."""
    lines = [
        f"{measured['clients']} clients, {measured['shots']} shots, {measured['machine']['cpus']} CPUs, "
        f"Aer {measured['machine']['aer']}, load before {measured['machine']['load_before']:.1f}",
        "",
        "qubits  depth  in-process/s  server/s  ratio  lowest  in-process ms  server ms  added ms  p95 ms",
    ]
    lines += [
        f"{row['qubits']:6d}  {row['depth']:5d}  {row['in_process_per_second']:12.1f}  "
        f"{row['server_per_second']:8.1f}  {row['ratio']:5.2f}  {row['ratio_lowest']:6.2f}  "
        f"{row['in_process_ms']:13.2f}  {row['server_ms']:9.2f}  {row['added_ms']:8.2f}  {row['server_p95_ms']:6.2f}"
        for row in measured["widths"]
    ]
    bell = measured["bell"]
    lines += [
        "",
        f"Bell: {bell['tasks_per_second']:.0f} tasks/s; CPU per task: server {bell['server_cpu_ms']:.2f} ms, worker "
        f"{bell['worker_cpu_ms']:.2f} ms, client {bell['client_cpu_ms']:.2f} ms; in-process "
        f"{bell['in_process_cpu_ms']:.2f} ms",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table and write the JSON where asked."""
    parser = argparse.ArgumentParser(prog="bench.backend", description="Compare a backend server with in-process Aer.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file as well")
    parser.add_argument("--qubits", type=int, nargs="+", default=QUBITS, help="circuit widths")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="callers at once")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a turn")
    arguments = parser.parse_args()
    measured = run(arguments.qubits, clients=arguments.clients, rounds=arguments.rounds, seconds=arguments.seconds)
    print(table(measured))
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
