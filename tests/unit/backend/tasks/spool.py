"""An executor whose tasks lie in a folder, as at an edge site. A new process over the folder goes on with them."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.protocol import Description, Execution, Outcome, Request, failing
from qonverge.backend.executors.worker import Worker
from qonverge.devices.noise import Noise
from qonverge.telemetry import BackendMetrics
from qonverge.wire.codec import pack, unpack
from qonverge.wire.errors import WireError
from qonverge.wire.messages import PubResult, Task
from qonverge.wire.tokens import Caller
from qonverge.wire.vendor import VendorTask


class Spool:
    """Runs tasks one by one in a thread, while its site is open."""

    def __init__(self, folder: Path, config: EngineConfig, _: BackendMetrics) -> None:
        self._folder = folder
        self._config = config
        self._description = Description()
        self._executions: dict[str, Execution] = {}
        self._cancelled: set[str] = set()
        self._begun: set[str] = set()
        self._waiting = queue.SimpleQueue[str | None]()
        self._stopping = threading.Event()
        self._reader = threading.Thread(target=self._read, name="spool")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: Worker | None = None
        self.open = threading.Event()
        """Set while the site runs what it has begun."""
        self.open.set()

    @property
    def config(self) -> EngineConfig:
        return self._config

    @property
    def description(self) -> Description:
        return self._description

    @property
    def capacity(self) -> int:
        return 1

    @property
    def ready(self) -> bool:
        return self._worker is not None

    @property
    def durable(self) -> bool:
        return True

    @property
    def runs(self) -> list[str]:
        """Return the ids of the tasks that ran, in order, in this process and in earlier ones."""
        log = self._folder / "runs.log"
        return log.read_text().split() if log.exists() else []

    def recover(self) -> Iterable[Request]:
        for path in sorted(self._folder.glob("*.task"), key=lambda path: path.stat().st_mtime_ns):
            stored = unpack(path.read_bytes())
            yield Request(Task.from_dict(stored["task"]), stored["seed"], Caller(*stored["caller"]))

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._worker = await asyncio.to_thread(Worker, self._config)
        self._description = Description(version=str(self._worker.describe()["version"]))
        self._reader.start()

    def submit(self, execution: Execution) -> None:
        request = execution.request
        key = request.key
        if (done := self._path(key, "end")).exists():
            _report(execution, unpack(done.read_bytes()))
            return
        if not (path := self._path(key, "task")).exists():
            caller = [request.caller.subject, request.caller.account, request.caller.attempt]
            path.write_bytes(pack({"task": request.task.to_dict(), "seed": request.seed, "caller": caller}))
        self._cancelled.discard(key)
        self._executions[key] = execution
        self._waiting.put(key)

    async def cancel(self, execution: Execution) -> None:
        key = execution.request.key
        self._cancelled.add(key)
        self._path(key, "task").unlink(missing_ok=True)
        if key not in self._begun:
            execution.release()

    def forget(self, request: Request, *, answered: bool) -> None:
        self.delivered(request)

    def delivered(self, request: Request) -> None:
        for kind in ("task", "end"):
            self._path(request.key, kind).unlink(missing_ok=True)

    async def end_run(self, run: str) -> tuple[VendorTask, ...]:
        return ()

    async def recalibrate(self, noise: Noise) -> None:
        raise RuntimeError(f"the site has a calibration of its own, and does not imitate {noise.name}")

    async def close(self) -> None:
        self._stopping.set()
        self._waiting.put(None)
        if self._reader.is_alive():
            await asyncio.to_thread(self._reader.join)

    def _path(self, key: str, kind: str) -> Path:
        return self._folder / f"{key}.{kind}"

    def _read(self) -> None:
        assert self._loop is not None
        while (key := self._waiting.get()) is not None and not self._stopping.is_set():
            if key in self._cancelled:
                continue
            self._loop.call_soon_threadsafe(self._begin, key)
            while not self.open.wait(0.005) and key not in self._cancelled and not self._stopping.is_set():
                pass
            if self._stopping.is_set():
                return
            end = None if key in self._cancelled else self._run(key)
            self._loop.call_soon_threadsafe(self._end, key, end)

    def _run(self, key: str) -> dict[str, Any]:
        assert self._worker is not None
        stored = unpack(self._path(key, "task").read_bytes())
        task = Task.from_dict(stored["task"])
        with (self._folder / "runs.log").open("a") as log:
            log.write(f"{task.id}\n")
        end: dict[str, Any]
        try:
            end = {"results": [result.to_dict() for result in self._worker.run(task, stored["seed"], 1)]}
        except WireError as error:
            end = {"error": error.to_dict()}
        self._path(key, "end").write_bytes(pack(end))
        return end

    def _begin(self, key: str) -> None:
        self._begun.add(key)
        self._executions[key].begin()

    def _end(self, key: str, end: dict[str, Any] | None) -> None:
        self._begun.discard(key)
        execution = self._executions.pop(key)
        if end is not None:
            _report(execution, end)
        execution.release()


def _report(execution: Execution, end: dict[str, Any]) -> None:
    with failing(execution):
        if "error" in end:
            raise WireError.from_dict(end["error"])
        execution.complete(Outcome(tuple(PubResult.from_dict(result) for result in end["results"])))
