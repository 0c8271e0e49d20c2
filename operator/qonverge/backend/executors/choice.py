"""What executes a provider's tasks: chosen here, for every server and for the embedded mode."""

from __future__ import annotations

from importlib import import_module

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.pool import WorkerPool
from qonverge.backend.executors.protocol import Executor
from qonverge.providers.installed import find
from qonverge.telemetry import BackendMetrics
from qonverge.wire.child import Child


def executor_of(config: EngineConfig, metrics: BackendMetrics, first: Child | None = None) -> Executor:
    """Return what executes the tasks of the configuration's provider: its own, a cloud's, or worker processes.

    Args:
        config: of the engine.
        metrics: what happens is counted there.
        first: the process of a worker that was begun, for worker processes.

    Raises:
        RuntimeError: it cannot be set up so.
    """
    try:
        provider = find(config.provider)
    except LookupError:
        # Workers refuse it in the same words, when they start.
        provider = None
    if provider is None or not provider.elsewhere:
        return WorkerPool(config, metrics, first)
    if not provider.executor:
        from qonverge.backend.executors.cloud.executor import CloudExecutor

        return CloudExecutor(config, metrics)
    module, _, name = provider.executor.partition(":")
    try:
        made: Executor = getattr(import_module(module), name)(config, metrics)
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"{config.provider} needs {error.name}, which is not installed: install its extra, such as "
            f'"qonverge[{config.provider.lower()}]"'
        ) from None
    return made
