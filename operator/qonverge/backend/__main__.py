"""The backend server's process: ``python -m qonverge.backend``. Every option is also an environment variable."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence

import uvicorn

from qonverge.backend.http.caller_limits import MOST_CONNECTIONS, Protocol
from qonverge.backend.http.server import Identity, Server
from qonverge.backend.noise_source import NoiseSource, follow
from qonverge.backend.settings import ServerSettings
from qonverge.backend.tasks.engine import Engine
from qonverge.circuits.checker.checker import Checker
from qonverge.devices import InvalidCalibration
from qonverge.environment import host_and_port
from qonverge.machine import available_cpus, available_memory
from qonverge.wire.tokens import Verifier


def _settings(argv: Sequence[str] | None) -> ServerSettings:
    parser = argparse.ArgumentParser(prog="qonverge.backend", description="Serve one quantum backend over HTTP.")
    for name, field in ServerSettings.model_fields.items():
        text = f"{field.description} [env {ServerSettings.variable(name)}]".replace("%", "%%")
        parser.add_argument(ServerSettings.flag(name), default=argparse.SUPPRESS, help=text)
    return ServerSettings.from_environment(flags=vars(parser.parse_args(argv)))


class _Uvicorn(uvicorn.Server):
    """Leaves signals to the process, which drains first."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # the base class is a generator without types
        yield


async def serve(settings: ServerSettings) -> None:
    """Serve until a signal asks to stop, then drain."""
    noise = None if not settings.noise else NoiseSource(settings.noise)
    config = settings.config(
        cpus=available_cpus(),
        memory_bytes=settings.memory_limit or available_memory(),
        noise=None if noise is None else noise.read(),
        spare=True,
    )
    try:
        verify = None
        if settings.public_key:
            verify = Verifier(settings.public_key.encode(), settings.audience, time.time, settings.instance).verify
    except ValueError as error:
        raise RuntimeError(f"--public-key holds no public key in PEM: {error}") from None
    engine, checker = Engine(config), Checker()
    host, port = host_and_port(settings.listen)
    # Bound here rather than by uvicorn, which leaves by SystemExit from within the loop when it cannot.
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    server = _Uvicorn(
        uvicorn.Config(
            Server(engine, checker, verify, Identity(settings.instance, settings.key)).app(),
            http=Protocol,
            log_level="warning",
            access_log=False,
            # A client parses every header of every turn.
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
            lifespan="off",
        )
    )
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
    await engine.drain(settings.grace)
    # Results that were handed back in this moment leave with the answers that wait for them.
    await asyncio.sleep(0.1)
    server.should_exit = True
    await serving
    await engine.close()
    await checker.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the server."""
    try:
        settings = _settings(argv)
    except ValueError as error:
        sys.exit(f"qonverge.backend: {error}")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Many systems start processes with 1,024 files, fewer than the connections that are taken.
    wanted = MOST_CONNECTIONS + 1024 if hard == resource.RLIM_INFINITY else min(hard, MOST_CONNECTIONS + 1024)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        asyncio.run(serve(settings))
    except (OSError, LookupError, RuntimeError, InvalidCalibration) as error:
        reason = error.args[0] if isinstance(error, LookupError) else error
        sys.exit(f"qonverge.backend: {reason}")


if __name__ == "__main__":
    main()
