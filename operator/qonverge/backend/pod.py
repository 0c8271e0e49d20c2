"""The server of a backend's pod, as options and environment variables say."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial

from qonverge.backend.executors.choice import executor_of
from qonverge.backend.http.server import Identity
from qonverge.backend.noise_source import NoiseSource
from qonverge.backend.serving import Front, serve
from qonverge.backend.settings import ServerSettings
from qonverge.backend.tasks.engine import Engine
from qonverge.devices import InvalidCalibration
from qonverge.machine import available_cpus, available_memory
from qonverge.tracing.setup import recorded, span_sink
from qonverge.wire.child import Child
from qonverge.wire.tokens import Verifier


async def serve_by(argv: Sequence[str] | None, first: Child | None = None) -> None:
    """Serve until a signal asks to stop, then drain; what keeps it from serving ends the process with a sentence.

    Args:
        argv: the command line; None: this process' own.
        first: the process of a worker that was begun, see ``begin_first``.
    """
    try:
        settings = _settings(argv)
    except ValueError as error:
        sys.exit(f"qonverge.backend: {error}")
    try:
        await _serve(settings, first)
    except (OSError, LookupError, RuntimeError, InvalidCalibration) as error:
        reason = error.args[0] if isinstance(error, LookupError) else error
        sys.exit(f"qonverge.backend: {reason}")


def _settings(argv: Sequence[str] | None) -> ServerSettings:
    parser = argparse.ArgumentParser(prog="qonverge.backend", description="Serve one quantum backend over HTTP.")
    for name, field in ServerSettings.model_fields.items():
        text = f"{field.description} [env {ServerSettings.variable(name)}]".replace("%", "%%")
        parser.add_argument(ServerSettings.flag(name), default=argparse.SUPPRESS, help=text)
    return ServerSettings.from_environment(flags=vars(parser.parse_args(argv)))


async def _serve(settings: ServerSettings, first: Child | None) -> None:
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
    identity = Identity(settings.instance, settings.key)
    about = {"k8s.pod.uid": settings.instance, "qonverge.backend": settings.audience}
    front = Front(settings.listen, verify, identity, grace=settings.grace)
    with recorded(span_sink("qonverge-backend", about)) as spans:
        await serve(Engine(config, executor=partial(executor_of, first=first), spans=spans), front, noise)
