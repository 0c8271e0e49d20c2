"""The server's side of the process that opens circuits: one at a time, replaced when it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any

from qonverge.backend.clouds.measurement import Measurement, reduced
from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.protocol import Description
from qonverge.wire.child import Child, ChildEnded
from qonverge.wire.errors import CircuitTooLarge, EngineFailed, WireError, WorkerLost
from qonverge.wire.messages import PubResult, Task

_MODULE = "qonverge.backend.executors.cloud.translating_child"
_TRIES = 3
# What Python and its libraries read. A cloud's credentials come in variables that are not among them.
_INHERITED = frozenset(("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "VIRTUAL_ENV"))
_INHERITED_PREFIXES = ("LC_", "MKL_", "NUMBA_", "OMP_", "OPENBLAS_", "PYTHON", "QISKIT_NUM_", "RAYON_")

logger = logging.getLogger(__name__)


def inherited(name: str) -> bool:
    """Return whether the process gets a variable of the server's environment."""
    return name in _INHERITED or name.startswith(_INHERITED_PREFIXES)


class TranslatorProcess:
    """Plans tasks, translates them and reads their answers, in a process of its own."""

    def __init__(self, config: EngineConfig) -> None:
        """Start nothing yet."""
        self._config = _for_child(config)
        self._told: EngineConfig | None = None
        self._child: Child | None = None
        self._turn = asyncio.Lock()
        self.description = Description()

    async def start(self) -> None:
        """Start the process.

        Raises:
            RuntimeError: it does not start, or refuses the configuration.
        """
        async with self._turn:
            try:
                await self._ready()
            except ChildEnded as error:
                raise RuntimeError(f"the process that translates circuits does not start: {error}") from None

    def configure(self, config: EngineConfig) -> None:
        """Translate by another configuration from the next call on, as with another calibration."""
        self._config = _for_child(config)

    async def plan(self, task: Task, most_shots: int | None) -> list[Measurement]:
        """See ``Translation.plan``."""
        reply = await self._ask("plan", task, most_shots=most_shots)
        return [Measurement(*values) for values in reply["measurements"]]

    async def encode(self, task: Task, measurement: Measurement) -> Submission:
        """See ``Translation.encode``."""
        small, own = reduced(task, measurement)
        reply = await self._ask("encode", small, (own,))
        return Submission(reply["program"], reply["shots"], reply["reading"])

    async def assemble(
        self,
        task: Task,
        found: Sequence[Measurement],
        readings: Sequence[Mapping[str, Any]],
        answers: Sequence[bytes],
        seed: int,
    ) -> tuple[PubResult, ...]:
        """See ``Translation.assemble``."""
        try:
            reply = await self._ask("assemble", task, found, readings=readings, answers=answers, seed=seed)
        except WorkerLost as error:
            # The task is paid for: whoever sends it again, because that may help, pays again.
            raise EngineFailed(f"the cloud's answers cannot be read: {error.message}") from None
        return tuple(PubResult.from_dict(result) for result in reply["results"])

    async def close(self) -> None:
        """End the process."""
        if self._child is not None:
            await self._child.kill()

    async def _ask(self, do: str, task: Task, found: Sequence[Measurement] = (), **more: Any) -> dict[str, Any]:
        request = {"do": do, "task": task.to_dict(), "measurements": [astuple(each) for each in found], **more}
        async with self._turn:
            for tried in range(1, _TRIES + 1):
                try:
                    reply: dict[str, Any] = await (await self._ready()).exchange(request)
                except RuntimeError as error:
                    raise EngineFailed(f"circuits cannot be translated for the device as it is now: {error}") from None
                except ChildEnded as error:
                    if error.status == -signal.SIGPROF:
                        raise CircuitTooLarge("the task takes too long to translate: send less at a time") from None
                    logger.warning("the process that translates circuits ended, at try %d: %s", tried, error)
                    lost = error
                    continue
                if (told := reply.get("error")) is not None:
                    raise WireError.from_dict(told)
                return reply
        raise WorkerLost(f"the process that translates circuits ended {_TRIES} times ({lost}): it may lack memory")

    async def _ready(self) -> Child:
        """Return the process, started and told what it is to be."""
        if self._child is None or not self._child.alive:
            self._told = None
            self._child = await Child.start(_MODULE, inherits=inherited, quiet=self._config.quiet)
        if self._told is not self._config:
            config = self._config
            described = await self._child.exchange({"config": config.to_dict()})
            if "refused" in described:
                raise RuntimeError(described["refused"])
            methods, gates = tuple(described["methods"]), tuple(described["basis_gates"])
            self.description = Description(described["version"], methods, gates)
            self._told = config
        return self._child


def _for_child(config: EngineConfig) -> EngineConfig:
    return replace(config, credentials="", concurrency=1, spare=False)
