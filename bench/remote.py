"""A link to an edge server that is cut while both ends are killed: ``python -m bench.remote [--seconds 60]``.

The edge server and the proxy in front of it are processes, the link between them is a TCP proxy. Tasks are sent to the
proxy as the operator does: with the same id again after it was killed. A task has run twice in a status where what is
given of it is not what was on the edge server's disk, or what was given before.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import io
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
import yaml
from qiskit import QuantumCircuit, qpy

from e2e.cluster.processes import free_ports
from qonverge.backend.executors.protocol import Request
from qonverge.backend.executors.spool_values import end_of
from qonverge.wire.codec import pack, unpack
from qonverge.wire.messages import Pub, Task, TaskResult
from qonverge.wire.tokens import Caller


class Link:
    """Carries bytes between its own port and another one, until it is cut."""

    def __init__(self, port: int) -> None:
        """Lead to a port of this machine."""
        self.port = 0
        """Where it listens."""
        self._there = port
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._way = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def __enter__(self) -> Link:
        self._thread.start()
        self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def cut(self, *, silently: bool = False) -> None:
        """Carry nothing more; silently: without closing what is open, as when packets are lost."""

        def cut() -> None:
            self._way.clear()
            if not silently:
                for writer in self._open:
                    writer.transport.abort()

        self._loop.call_soon_threadsafe(cut)

    def mend(self) -> None:
        """Carry bytes again."""
        self._loop.call_soon_threadsafe(self._way.set)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._way.set()
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._way.is_set():
            writer.transport.abort()
            return
        try:
            there = await asyncio.open_connection("127.0.0.1", self._there)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, there[1]}
        await asyncio.gather(self._one_way(reader, there[1]), self._one_way(there[0], writer))
        self._open -= {writer, there[1]}

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                await self._way.wait()
                writer.write(piece)
                await writer.drain()
        writer.transport.abort()


def free_port() -> int:
    """Return a port that nobody uses."""
    return free_ports(1)[0]


def certificate(folder: Path) -> None:
    """Make ``tls.crt`` and ``tls.key`` for this machine, as docs/remote.md says."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=edge", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")),
        ],
        check=True,
        capture_output=True,
    )


@dataclass
class Process:
    """A server process that may be killed and started again."""

    command: Sequence[str]
    port: int
    scheme: str = "http"
    token: str = ""
    ca: str | None = None
    process: subprocess.Popen[bytes] | None = None
    pool: urllib3.PoolManager = field(init=False)

    def __post_init__(self) -> None:
        self.pool = urllib3.PoolManager(retries=False, maxsize=8, ca_certs=self.ca)

    def start(self) -> None:
        """Start it; returns when it answers."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("QONVERGE_")}
        self.process = subprocess.Popen(self.command, env=environment, stderr=subprocess.DEVNULL)

        def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"{self.command} ended with {self.process.returncode}"
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                return self.pool.request("GET", f"{self.url}/healthz", timeout=2).status == 200
            return False

        until(answers, "the server answers")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
            self.process = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}"

    def ask(self, method: str, path: str, value: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return an answer, or the refusal."""
        headers = {"content-type": "application/msgpack", "accept": "application/msgpack"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        body = None if value is None else pack(value)
        response = self.pool.request(method, self.url + path, body=body, headers=headers, timeout=60)
        answer: dict[str, Any] = unpack(response.data)
        return answer


def until(condition: Callable[[], Any], what: str, seconds: float = 120.0) -> Any:
    """Return the condition's value once it holds."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(0.05)
    return value


@dataclass
class Ends:
    """An edge server, a link to it, and a proxy."""

    edge: Process
    proxy: Process
    link: Link
    spool: Path

    def with_authority(self, file: Path) -> Process:
        """Return another proxy, not started, that trusts what comes from these certificates."""
        return proxy_of(self.link, file, self.spool.parent / "credentials")


@contextlib.contextmanager
def ends(folder: Path, **config: Any) -> Iterator[Ends]:
    """Start both ends; further settings are the edge server's."""
    certificate(folder)
    token, port = secrets.token_hex(32), free_port()
    (folder / "tokens").write_text(f"lab {token}\n")
    credentials = folder / "credentials"
    credentials.mkdir()
    (credentials / "QONVERGE_TOKEN").write_text(token)
    file = folder / "edge.yaml"
    settings = {
        "listen": f"127.0.0.1:{port}",
        "tls": {"certificate": "tls.crt", "key": "tls.key"},
        "tokens": "tokens",
        "spool": {"folder": "spool"},
        "memory": "1000Mi",
        "simulator": {"engine": "Aer"},
        "capacity": {"concurrency": 1},
    }
    file.write_text(yaml.safe_dump({**settings, **config}))
    edge = edge_server(file, port, "https", token, str(folder / "tls.crt"))
    with Link(port) as link:
        proxy = proxy_of(link, folder / "tls.crt", credentials)
        try:
            edge.start()
            proxy.start()
            ready = f"{proxy.url}/readyz"
            until(lambda: proxy.pool.request("GET", ready).status == 200, "the proxy has seen the edge server")
            yield Ends(edge, proxy, link, folder / "spool")
        finally:
            for process in (proxy, edge):
                process.kill(signal.SIGTERM)


def edge_server(file: Path, port: int, scheme: str, token: str = "", authority: str | None = None) -> Process:
    """Return an edge server, not started, as its file says."""
    command = [str(Path(sys.executable).parent / "qonverge"), "backend", "serve", "--config", str(file)]
    return Process(command, port, scheme, token, authority)


def proxy_of(link: Link, authority: Path, credentials: Path) -> Process:
    """Return a proxy, not started, for the server at the link's other end."""
    options, port = {"url": f"https://localhost:{link.port}", "caFile": str(authority)}, free_port()
    command = (sys.executable, "-m", "qonverge.backend", "--engine", "Remote", "--listen", f"127.0.0.1:{port}")
    return Process([*command, "--options", json.dumps(options), "--credentials", str(credentials)], port)


def tasks_of(count: int, *, qubits: int = 12, depth: int = 10, shots: int = 200) -> list[Task]:
    """Return tasks that bring no seed, so that each run of one has another."""
    circuit = QuantumCircuit(qubits, qubits)
    for _ in range(depth):
        circuit.h(range(qubits))
        circuit.t(range(qubits))
    circuit.measure(range(qubits), range(qubits))
    data = io.BytesIO()
    qpy.dump(circuit, data)
    digest = hashlib.sha256(data.getvalue()).hexdigest()
    return [Task(f"task-{k}", (Pub(digest, shots=shots),), {digest: data.getvalue()}) for k in range(count)]


def edge_key(identity: str) -> str:
    """Return the name that a task, known to the edge server by this id, has on its disk."""
    return Request(Task(identity, ()), 0, Caller("lab")).key


def stored(spool: Path) -> dict[str, int | None]:
    """Return the seeds of the runs whose ends are on the disk, by the tasks' keys; reads what a killed server left."""
    found = {}
    for path in spool.glob("*.end"):
        with contextlib.suppress(FileNotFoundError):
            outcome, _ = end_of(unpack(path.read_bytes()[32:]))
            assert outcome.run is not None
            found[path.stem] = outcome.run.seed
    return found


@dataclass(frozen=True, slots=True)
class Drill:
    """What became of tasks over a link that was cut."""

    tasks: int
    given_before: int
    """Whose results the caller had before both ends were killed."""
    ended_before: int
    """Whose results were on the edge server's disk when it was killed last."""
    lost: int
    run_twice: int
    seconds: float
    """From the link's return to the last result."""


def drill(folder: Path, *, count: int = 200, cut_seconds: float = 60.0, kills: int = 2) -> Drill:
    """Cut the link with so many accepted tasks, kill both ends, mend the link, and look at every task."""
    tasks = tasks_of(count)
    with ends(folder) as both:
        edge, proxy = both.edge, both.proxy

        def send() -> None:
            for task in tasks:
                proxy.ask("POST", "/v1/tasks", task.to_dict())

        def given() -> Mapping[str, TaskResult]:
            results = [TaskResult.from_dict(proxy.ask("GET", f"/v1/tasks/{task.id}")) for task in tasks]
            return {result.id: result for result in results if result.done}

        def spooled() -> Mapping[str, int]:
            state: Mapping[str, int] = edge.ask("GET", "/v1/backend?without=calibration")["spool"]
            return state

        send()
        until(lambda: spooled()["tasks"] + spooled()["ends"] == count and spooled()["ends"] >= count // 10, "accepted")
        both.link.cut()
        cut = time.monotonic()
        before = given()
        for number in range(kills):
            edge.kill()
            on_disk = stored(both.spool)
            edge.start()
            if number == 0:
                proxy.kill()
                proxy.start()
                send()
            if number < kills - 1:
                more = min(count, len(on_disk) + count // 10)
                until(lambda more=more: spooled()["ends"] >= more, "more ended")  # type: ignore[misc]
        time.sleep(max(0.0, cut_seconds - (time.monotonic() - cut)))
        both.link.mend()
        mended = time.monotonic()
        with contextlib.suppress(RuntimeError):
            until(lambda: not proxy.ask("GET", "/v1/tasks")["tasks"], "all have ended", 300)
        seconds = time.monotonic() - mended
        after = given()
        good = {identity: result for identity, result in after.items() if result.state == "Completed"}
        seeds = {edge_key(result.vendor_tasks[0].id): result.seed for result in good.values()}
        twice = {key for key, seed in on_disk.items() if key in seeds and seeds[key] != seed}
        again = {name for name, result in before.items() if name in good and good[name].seed != result.seed}
        return Drill(count, len(before), len(on_disk), count - len(good), len(twice) + len(again), seconds)


def main() -> None:
    """Run the drill and print what came of it."""
    parser = argparse.ArgumentParser(prog="bench.remote", description="Cut the link to an edge server.")
    parser.add_argument("--tasks", type=int, default=200, help="tasks that are accepted before")
    parser.add_argument("--seconds", type=float, default=60.0, help="for which the link is cut")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = drill(Path(folder), count=options.tasks, cut_seconds=options.seconds)
    print(
        f"{found.tasks} tasks, link cut for {options.seconds:g} s, both ends killed: {found.lost} lost, "
        f"{found.run_twice} run twice in a status; {found.given_before} had been given before, {found.ended_before} "
        f"lay on the edge server's disk; the last came {found.seconds:.1f} s after the link was back"
    )


if __name__ == "__main__":
    main()
