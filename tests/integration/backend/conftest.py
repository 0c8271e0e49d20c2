"""Real backend servers on loopback, and circuits to send to them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest
import urllib3
from qiskit import QuantumCircuit, qpy

from e2e.cluster.processes import free_ports
from qonverge.wire.codec import pack, unpack
from qonverge.wire.messages import Pub, Task
from qonverge.wire.tokens import Signer, generate_private_key, public_key

AUDIENCE = "lab/aer"
GIB = 1024**3
HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


@dataclass(frozen=True)
class Answer:
    """What came back: the status and the decoded body."""

    status: int
    body: Any

    @property
    def error(self) -> Mapping[str, Any]:
        """The error, wherever the answer carries it."""
        error: Mapping[str, Any] = self.body["error"]
        return error


@dataclass
class Backend:
    """A server process and what a caller needs."""

    process: subprocess.Popen[str]
    port: int
    signer: Signer
    host: str = "127.0.0.1"
    lines: list[str] = field(default_factory=list)
    pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, maxsize=16))

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def token(self, subject: str = "chem/job", *, audience: str = AUDIENCE, ttl: float = 3600.0, **account: Any) -> str:
        return self.signer.sign(audience=audience, subject=subject, now=time.time(), ttl=ttl, **account)

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, subject: str = "chem/job", **headers: str
    ) -> Answer:
        """Send a request in msgpack, or as the headers say (underscores stand for dashes)."""
        given = {"authorization": f"Bearer {self.token(subject)}", "content-type": "application/msgpack"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.pool.request(method, self.url + path, body=body, headers=given, timeout=90)
        kind = response.headers.get("content-type", "")
        if "msgpack" in kind:
            return Answer(response.status, unpack(response.data))
        return Answer(response.status, json.loads(response.data) if "json" in kind else response.data.decode())

    def send(self, task: Task, *, wait: float = 60, subject: str = "chem/job", **headers: str) -> Answer:
        return self.ask("POST", f"/v1/tasks?wait={wait}", pack(task.to_dict()), subject=subject, **headers)

    def send_json(self, value: Any, *, wait: float = 60) -> Answer:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", f"/v1/tasks?wait={wait}", body, content_type="application/json")

    def info(self) -> Mapping[str, Any]:
        info: Mapping[str, Any] = self.ask("GET", "/v1/backend").body
        return info

    def metric(self, name: str) -> float:
        """Return a sample of /metrics by its full name, labels included; 0 where it is not there yet."""
        for line in self.ask("GET", "/metrics").body.splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes."""
        found = []
        for process in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if "qonverge.backend.executors.worker_process" in process.cmdline():
                    found.append(process)
        return found


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Return the condition's value once it holds; polling is all that another process allows."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.02)
    return value


def free_port() -> int:
    return free_ports(1)[0]


_WITH_CONSTANTS = """
import importlib, json, sys
for module, values in json.loads(sys.argv[1]).items():
    vars(importlib.import_module(module)).update(values)
from qonverge.backend.__main__ import main
main(sys.argv[2:])
"""


@contextlib.contextmanager
def serving(
    *options: str,
    port: int | None = None,
    tokens: bool = True,
    host: str = "127.0.0.1",
    constants: Mapping[str, Mapping[str, object]] | None = None,
) -> Iterator[Backend]:
    """Run a server until the end of the block; ends it and sees that nothing of it is left.

    ``constants`` replaces constants of modules, so that a test need not wait for as long as a server does.
    """
    private = generate_private_key()
    port = port or free_port()
    guarded = ("--audience", AUDIENCE, "--public-key", public_key(private).decode()) if tokens else ()
    entry = ("-m", "qonverge.backend") if constants is None else ("-c", _WITH_CONSTANTS, json.dumps(constants))
    command = [sys.executable, *entry, "--listen", f"{host}:{port}", *guarded, *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QONVERGE_")}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    backend = Backend(process, port, Signer(private), host)

    def collect() -> None:
        assert process.stderr is not None
        backend.lines.extend(process.stderr)

    reader = threading.Thread(target=collect, daemon=True)
    reader.start()

    def ready() -> bool:
        assert process.poll() is None, "".join(backend.lines)
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            return bool(backend.ask("GET", "/readyz").status == 200)
        return False

    children: list[psutil.Process] = []
    try:
        until(ready, "the server is ready")
        yield backend
    finally:
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _, alive = psutil.wait_procs(children, timeout=30)
        for child in alive:
            child.kill()
        backend.pool.clear()
    assert not alive, "workers outlived their server"


def travelling(circuit: QuantumCircuit) -> tuple[str, bytes]:
    """Return (digest, QPY)."""
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    return hashlib.sha256(buffer.getvalue()).hexdigest(), buffer.getvalue()


def task_of(
    circuit: QuantumCircuit, identity: str, *, seed: int | None = None, memory: bool = False, **pub: Any
) -> Task:
    digest, data = travelling(circuit)
    return Task(identity, (Pub(digest, **pub),), {digest: data}, seed, memory)


def bell_circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def endless_circuit() -> QuantumCircuit:
    """Return a circuit that runs until it is stopped: its loop repeats while a bit is 0, and the bit stays 0."""
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.while_loop((circuit.clbits[0], 0)):
        circuit.measure(0, 0)
    return circuit


class Kit:
    """Helpers, handed over as a fixture since test folders are no packages."""

    serving = staticmethod(serving)
    until = staticmethod(until)
    task = staticmethod(task_of)
    travelling = staticmethod(travelling)
    free_port = staticmethod(free_port)


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit()


@pytest.fixture(scope="session")
def bell() -> QuantumCircuit:
    return bell_circuit()


@pytest.fixture(scope="session")
def endless() -> QuantumCircuit:
    return endless_circuit()


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    """A server with tokens, two workers and 2 GiB."""
    with serving("--concurrency", "2", "--memory-limit", str(2 * GIB), "--queue-limit", "50") as running:
        yield running


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kills_a_worker: the test ends with other workers than it began with")
