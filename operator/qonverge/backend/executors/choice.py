"""What executes a provider's tasks: chosen here, for every server and for the embedded mode."""

from __future__ import annotations

from importlib import import_module

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.cloud.executor import CloudExecutor
from qonverge.backend.executors.pool import WorkerPool
from qonverge.backend.executors.protocol import Executor
from qonverge.providers.installed import find
from qonverge.telemetry import BackendMetrics


def executor_of(config: EngineConfig, metrics: BackendMetrics) -> Executor:
    """Return what executes the tasks of the configuration's provider: its own, a cloud's, or worker processes.

    Raises:
        RuntimeError: it cannot be set up so.
    """
    try:
        provider = find(config.provider)
    except LookupError:
        # Workers refuse it in the same words, when they start.
        return WorkerPool(config, metrics)
    if not provider.executor:
        return CloudExecutor(config, metrics) if provider.cloud else WorkerPool(config, metrics)
    module, _, name = provider.executor.partition(":")
    try:
        made: Executor = getattr(import_module(module), name)(config, metrics)
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"{config.provider} needs {error.name}, which is not installed: install its extra, such as "
            f'"qonverge[{config.provider.lower()}]"'
        ) from None
    return made
