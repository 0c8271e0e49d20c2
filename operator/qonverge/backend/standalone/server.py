"""The process of a backend server outside Kubernetes."""

from __future__ import annotations

from pathlib import Path

from qonverge.api.placement import seconds_of
from qonverge.api.quantity import bytes_of
from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.choice import executor_of
from qonverge.backend.executors.protocol import Executor
from qonverge.backend.executors.spool import Spool
from qonverge.backend.noise_source import NoiseSource
from qonverge.backend.process import run
from qonverge.backend.serving import Certificate, Front, serve
from qonverge.backend.standalone.config import ConfigError, ServerConfig, read_config
from qonverge.backend.standalone.tokens import TokenFile
from qonverge.backend.tasks.engine import Engine
from qonverge.devices import InvalidCalibration
from qonverge.machine import available_cpus, available_memory
from qonverge.telemetry import BackendMetrics
from qonverge.tracing.setup import recorded, span_sink


def serve_file(path: Path) -> None:
    """Serve as a file says, until a signal asks to stop.

    Raises:
        ConfigError: it cannot be served so; the message names the field.
    """
    config = read_config(path)
    try:
        run(_serve(config))
    except (OSError, LookupError, RuntimeError, InvalidCalibration) as error:
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        reason = error.args[0] if isinstance(error, LookupError) else getattr(error, "strerror", None) or error
        raise ConfigError([f"{path}: {where}{reason}"]) from None


async def _serve(config: ServerConfig) -> None:
    options = config.options
    noise = None if not options.noise else NoiseSource(options.noise)
    engine_config = options.config(
        cpus=available_cpus(),
        memory_bytes=available_memory() if config.memory is None else bytes_of(config.memory),
        noise=None if noise is None else noise.read(),
        spare=True,
    )
    front = Front(
        config.listen,
        None if config.tokens is None else _tokens(config.tokens).verify,
        certificate=None if config.tls is None else Certificate(Path(config.tls.certificate), Path(config.tls.key)),
        grace=seconds_of(config.grace),
    )
    limits = None if config.spool is None else config.spool.limits()

    def executor(engine: EngineConfig, metrics: BackendMetrics) -> Executor:
        inner = executor_of(engine, metrics)
        return inner if limits is None else Spool(limits, inner, metrics)

    with recorded(span_sink("qonverge-backend")) as spans:
        await serve(Engine(engine_config, executor=executor, spans=spans), front, noise)


def _tokens(path: str) -> TokenFile:
    try:
        return TokenFile(Path(path))
    except ValueError as error:
        raise RuntimeError(f"tokens: {error}") from None
