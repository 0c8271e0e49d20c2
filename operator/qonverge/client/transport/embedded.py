"""The engine inside this process: where no backend is configured, a program runs all the same."""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING

from qonverge.client.errors import NotConfigured, TaskFailed
from qonverge.machine import available_cpus, available_memory
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.errors import Cancelled, WireError, engine_error
from qonverge.wire.messages import Task, TaskResult

if TYPE_CHECKING:
    from qonverge.backend.config import EngineConfig


class Embedded:
    """Runs tasks here, one after the other, with all threads; as ``Connection`` does on a server."""

    def __init__(self, config: EngineConfig | None = None) -> None:
        """Load the engine; where nothing else is said each circuit gets the one that suits it, of those installed.

        Raises:
            NotConfigured: it is not installed.
        """
        try:
            from qonverge.backend.config import EngineConfig
            from qonverge.backend.executors.worker import Worker
        except ModuleNotFoundError as error:
            raise NotConfigured(_nowhere(error.name or "")) from None
        self._config = config or EngineConfig(
            provider="Automatic", cpus=available_cpus(), memory_bytes=available_memory()
        )
        try:
            self._worker = Worker(self._config)
        except ModuleNotFoundError as error:
            raise NotConfigured(_nowhere(error.name or "")) from None
        except LookupError as error:
            raise NotConfigured(_nowhere(str(error.args[0]))) from None
        self._turn = threading.Lock()

    def run(self, task: Task, cancelled: threading.Event | None = None) -> TaskResult:
        """Return the task's result; a task that has begun is not interrupted.

        Raises:
            TaskFailed: the engine refused the task or failed on it.
        """
        try:
            # What a server refuses is refused here in the same words.
            task = Task.from_dict(task.to_dict())
        except WireError as error:
            raise TaskFailed(error) from None
        seed = task.seed if task.seed is not None else self._config.seed
        seed = secrets.randbits(32) if seed is None else seed
        submitted = time.monotonic()
        with self._turn:
            if cancelled is not None and cancelled.is_set():
                raise TaskFailed(Cancelled("the task was cancelled"))
            started = time.monotonic()
            try:
                results = self._worker.run(task, seed, self._config.cpus)
            except WireError as error:
                raise TaskFailed(error) from None
            except Exception as error:  # a defect of the engine is the same error here as on a server
                raise TaskFailed(engine_error(error)) from error
        return TaskResult(
            task.id,
            "Completed",
            results,
            engine=str(self._worker.describe()["version"]),
            seed=seed,
            queue_seconds=started - submitted,
            run_seconds=time.monotonic() - started,
            calibration=self._worker.calibration,
        )

    def cancel(self, identity: str) -> bool:
        """Return whether a task could be ended from here: it cannot, ``run``'s event ends one that waits."""
        return False

    def info(self) -> BackendInfo:
        """Return what the engine is."""
        described, config = self._worker.describe(), self._config
        return BackendInfo(
            engine=described["version"],
            method=config.method,
            methods=tuple(described["methods"]),
            basis_gates=tuple(described["basis_gates"]),
            max_qubits=config.widest,
            max_shots=config.max_shots,
            memory_bytes=config.circuit_bytes,
            workers=1,
            queued=0,
            running=int(self._turn.locked()),
            queue_limit=config.queue_limit,
            draining=False,
            calibration=described["calibration"],
            calibration_digest=self._worker.calibration,
        )


def _nowhere(missing: str) -> str:
    return (
        "no backend is known: run the program with `qonverge run` or as a HybridJob, set QONVERGE_BACKEND_URL (and "
        "QONVERGE_TOKEN) to a backend server's address, or, to simulate in this process, install what it lacks "
        f'({missing}): pip install "qonverge[aer]"'
    )
