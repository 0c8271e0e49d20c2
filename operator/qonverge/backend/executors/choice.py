"""Which executor a provider's tasks have."""

from __future__ import annotations

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.cloud.executor import CloudExecutor
from qonverge.backend.executors.pool import WorkerPool
from qonverge.backend.executors.protocol import Executor
from qonverge.providers.installed import find
from qonverge.telemetry import BackendMetrics


def executor_of(config: EngineConfig, metrics: BackendMetrics) -> Executor:
    """Return what executes the tasks of the provider that the configuration names: a cloud, or worker processes."""
    try:
        cloud = find(config.provider).cloud
    except LookupError:
        # Workers refuse it in the same words, when they start.
        cloud = ""
    return CloudExecutor(config, metrics) if cloud else WorkerPool(config, metrics)
