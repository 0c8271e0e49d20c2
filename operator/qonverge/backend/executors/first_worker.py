"""A worker's process, and the first one of a server, begun before the server's own libraries are loaded.

Both take about as long to load, so what is imported here delays the two.
"""

from __future__ import annotations

from collections.abc import Mapping

from qonverge.providers.installed import find
from qonverge.wire.child import Child

ENGINE = "QONVERGE_ENGINE"
"""The variable of ``ServerSettings.engine``."""


async def begin_worker(*, quiet: bool = False) -> Child:
    """Begin a worker's process, which loads its libraries and then waits for its configuration.

    Raises:
        OSError: the system starts no process.
    """
    return await Child.start("qonverge.backend.executors.worker_process", quiet=quiet)


async def begin_first(environment: Mapping[str, str]) -> Child | None:
    """Begin the first worker where the environment names an engine that runs in workers, as that of a pod does.

    None: it names no such engine, or no process starts now, which is tried again where the server wants one.
    """
    try:
        return None if find(environment.get(ENGINE, "")).elsewhere else await begin_worker()
    except (LookupError, OSError):
        return None
