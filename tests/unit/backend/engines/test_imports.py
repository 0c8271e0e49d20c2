"""What a worker loads; a backend starts as many as it has places, and each embedded client is one."""

from __future__ import annotations

import subprocess
import sys

_LOADED = """
import sys
from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.worker import Worker
Worker(EngineConfig(provider="Automatic", cpus=1, memory_bytes=2**30))
print(*sorted({".".join(name.split(".")[:2]) for name in sys.modules if name.startswith(("qonverge.", "pydantic"))}))
"""


def test_a_worker_loads_neither_the_resource_types_nor_the_scheduler() -> None:
    done = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "qonverge.circuits" in loaded
    assert not loaded & {"qonverge.api", "qonverge.scheduling", "qonverge.controller", "qonverge.forecast"}
