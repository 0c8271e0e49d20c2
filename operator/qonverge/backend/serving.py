"""An engine behind HTTP, from the first request to the last: in a pod, or anywhere else."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from qonverge.backend.http.caller_limits import MOST_CONNECTIONS, Protocol
from qonverge.backend.http.server import Identity, Server
from qonverge.backend.noise_source import NoiseSource, follow
from qonverge.backend.tasks.engine import Engine
from qonverge.circuits.checker.checker import Checker
from qonverge.environment import host_and_port
from qonverge.wire.tokens import Caller

# What an answer has to leave at least when the server ends.
_ANSWER_SECONDS = 2


class _Uvicorn(uvicorn.Server):
    """Leaves signals to the process, which drains first."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # the base class is a generator without types
        yield


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server proves its name by: files in PEM."""

    certificate: Path
    """With those that it comes from, if there are any between it and what callers trust."""
    key: Path


@dataclass(frozen=True, slots=True)
class Front:
    """Where and to whom a server answers."""

    listen: str
    """Address and port."""
    verify: Callable[[str | None], Caller] | None
    """See ``Server``."""
    identity: Identity = field(default_factory=Identity)
    certificate: Certificate | None = None
    """None: plain HTTP."""
    grace: float = 25.0
    """Seconds to drain before leaving."""


async def serve(engine: Engine, front: Front, noise: NoiseSource | None) -> None:
    """Serve until a signal asks to stop, then drain.

    Args:
        engine: not started yet.
        front: see ``Front``.
        noise: where another calibration may come from while this runs.

    Raises:
        OSError, RuntimeError: it cannot listen so.
    """
    _allow_connections()
    checker = Checker()
    host, port = host_and_port(front.listen)
    # Bound here rather than by uvicorn, which leaves by SystemExit from within the loop when it cannot.
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    routes = Server(engine, checker, front.verify, front.identity)
    config = uvicorn.Config(
        routes.app(),
        http=Protocol,
        log_level="warning",
        access_log=False,
        # A client parses every header of every turn.
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_ANSWER_SECONDS,
        lifespan="off",
    )
    config.load()
    if front.certificate is not None:
        config.ssl = _tls(front.certificate)
    server = _Uvicorn(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(server.serve([listener]))
    starting = asyncio.create_task(engine.start())
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([serving, starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if starting in done:
        starting.result()
        following = asyncio.create_task(follow(noise, engine)) if noise is not None else None
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        if following is not None:
            following.cancel()
    leaves_at = loop.time() + front.grace
    routes.close()
    await engine.shut_down(front.grace)
    # Results that were handed back in this moment leave with the answers that wait for them.
    await asyncio.sleep(0.1)
    if not engine.unfinished():
        # All answers that are under way are of tasks that have ended, and a large one takes its time.
        config.timeout_graceful_shutdown = max(_ANSWER_SECONDS, int(leaves_at - loop.time()))
    server.should_exit = True
    await serving
    await engine.close()
    await checker.close()


def _allow_connections() -> None:
    """Let this process have as many files as it takes connections, and some more; many systems give it 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + 1024 if hard == resource.RLIM_INFINITY else min(hard, MOST_CONNECTIONS + 1024)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _tls(files: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for file in (files.certificate, files.key):
        # The library names no file in what it says.
        file.read_bytes()
    try:
        # Without a password one would be asked for on the terminal.
        context.load_cert_chain(files.certificate, files.key, password="")
    except ssl.SSLError as error:
        raise RuntimeError(
            f"{files.certificate} and {files.key} are no certificate with its key in PEM: {error.reason or error}"
        ) from None
    return context
