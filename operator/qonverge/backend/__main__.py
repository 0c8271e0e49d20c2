"""The backend server's process: ``python -m qonverge.backend``. Every option is also an environment variable."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence

import uvicorn

from qonverge.backend.config import EngineConfig
from qonverge.backend.http.caller_limits import MOST_CONNECTIONS, Protocol
from qonverge.backend.http.server import Identity, Server
from qonverge.backend.noise_source import NoiseSource, follow
from qonverge.backend.tasks.engine import Engine
from qonverge.circuits.checker.checker import Checker
from qonverge.devices import InvalidCalibration
from qonverge.machine import available_cpus, available_memory
from qonverge.wire.tokens import Verifier


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not an address and port such as 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qonverge.backend", description="Serve one quantum backend over HTTP.")

    def option(name: str, kind: Callable[[str], object], default: object, text: str) -> None:
        variable = "QONVERGE_" + name.upper().replace("-", "_")
        parser.add_argument(
            f"--{name}", type=kind, default=os.environ.get(variable, default), help=f"{text} [env {variable}]"
        )

    option("engine", str, "Aer", "simulation engine")
    option("method", str, "Automatic", "simulation method")
    option("options", _json_object, None, "the engine's own options, as a JSON object")
    option("concurrency", _positive, None, "worker processes; default: one per CPU")
    option("queue-limit", int, 10_000, "tasks that may wait")
    option("max-shots", int, 1_000_000, "most shots of a circuit")
    option("max-qubits", int, None, "most qubits of a circuit; default: what fits in memory")
    option("device", str, "CPU", "where the engine computes: CPU or GPU")
    option("noise", str, None, "what to imitate: a snapshot's name, @FILE with a calibration, or its JSON")
    option("layout", str, "Optimized", "where circuits without a layout lie on the device: Optimized or AsGiven")
    option("seed", int, None, "seed for tasks that bring none")
    option("result-cache", int, 0, "bytes of results that are given again for the same task; 0: none")
    option("memory-limit", int, None, "bytes for all processes together; default: the cgroup's limit")
    option("listen", _address, "127.0.0.1:8080", "address and port")
    option("audience", str, None, "audience that tokens must name")
    option("instance", str, "", "name of this server, which the operator's own tokens must bear; in a pod its uid")
    option("key", str, "", "key by which this server proves to the operator that it is one of its own")
    option("public-key", str, None, "operator's public key (PEM text); without it no token is asked for")
    option("grace", float, 25.0, "seconds to drain before leaving")
    return parser


def _json_object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return value


def _keeps_layouts(layout: str) -> bool:
    if layout not in ("Optimized", "AsGiven"):
        raise RuntimeError(f"--layout is {layout}: give Optimized or AsGiven")
    return layout == "AsGiven"


class _Uvicorn(uvicorn.Server):
    """Leaves signals to the process, which drains first."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # the base class is a generator without types
        yield


async def serve(arguments: argparse.Namespace, public_key: bytes | None) -> None:
    """Serve until a signal asks to stop, then drain."""
    cpus = available_cpus()
    noise = None if not arguments.noise else NoiseSource(arguments.noise)
    config = EngineConfig(
        provider=arguments.engine,
        method=arguments.method,
        options=arguments.options,
        concurrency=arguments.concurrency or cpus,
        cpus=cpus,
        memory_bytes=arguments.memory_limit or available_memory(),
        queue_limit=arguments.queue_limit,
        max_shots=arguments.max_shots,
        max_qubits=arguments.max_qubits,
        seed=arguments.seed,
        result_cache_bytes=arguments.result_cache,
        spare=True,
        device=arguments.device,
        keep_layouts=_keeps_layouts(arguments.layout),
        noise=None if noise is None else noise.read(),
    )
    try:
        verify = None
        if public_key is not None:
            verify = Verifier(public_key, arguments.audience or "", time.time, arguments.instance).verify
    except ValueError as error:
        raise RuntimeError(f"--public-key holds no public key in PEM: {error}") from None
    engine, checker = Engine(config), Checker()
    host, port = arguments.listen
    # Bound here rather than by uvicorn, which leaves by SystemExit from within the loop when it cannot.
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    server = _Uvicorn(
        uvicorn.Config(
            Server(engine, checker, verify, Identity(arguments.instance, arguments.key)).app(),
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
    await engine.drain(arguments.grace)
    # Results that were handed back in this moment leave with the answers that wait for them.
    await asyncio.sleep(0.1)
    server.should_exit = True
    await serving
    await engine.close()
    await checker.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the server."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Many systems start processes with 1,024 files, fewer than the connections that are taken.
    wanted = MOST_CONNECTIONS + 1024 if hard == resource.RLIM_INFINITY else min(hard, MOST_CONNECTIONS + 1024)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        public_key = arguments.public_key.encode() if arguments.public_key else None
        asyncio.run(serve(arguments, public_key))
    except (OSError, LookupError, RuntimeError, InvalidCalibration) as error:
        reason = error.args[0] if isinstance(error, LookupError) else error
        sys.exit(f"qonverge.backend: {reason}")


if __name__ == "__main__":
    main()
