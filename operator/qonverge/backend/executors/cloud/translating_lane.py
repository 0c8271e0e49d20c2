"""A process that opens circuits: one request at a time, tenants in turns, replaced when it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.protocol import Description
from qonverge.queueing import Turns
from qonverge.wire.child import Child, ChildEnded
from qonverge.wire.errors import EngineFailed, WireError

_MODULE = "qonverge.backend.executors.cloud.translating_child"
_TRIES = 3
# What Python and its libraries read. A cloud's credentials come in variables that are not among them.
_INHERITED = frozenset(("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "VIRTUAL_ENV"))
_INHERITED_PREFIXES = ("LC_", "MKL_", "NUMBA_", "OMP_", "OPENBLAS_", "PYTHON", "QISKIT_NUM_", "RAYON_")

logger = logging.getLogger(__name__)


class TookTooLong(Exception):
    """The request took all the CPU time that it has here."""


def inherited(name: str) -> bool:
    """Return whether the process gets a variable of the server's environment."""
    return name in _INHERITED or name.startswith(_INHERITED_PREFIXES)


class Lane:
    """One process, which is started when it is needed."""

    def __init__(self, config: EngineConfig, cpu_seconds: float, idle_seconds: float | None = None) -> None:
        """Start nothing yet.

        Args:
            config: what to translate by; it may be replaced at any time.
            cpu_seconds: that a request may take.
            idle_seconds: without a request after which the process ends, which gives its memory back; None: never.
        """
        self.config = config
        self.description = Description()
        self._seconds, self._idle_seconds = cpu_seconds, idle_seconds
        self._told: EngineConfig | None = None
        self._child: Child | None = None
        self._turns = Turns(1)
        self._asked: set[asyncio.Task[dict[str, Any]]] = set()
        self._idle: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Start the process.

        Raises:
            RuntimeError: it does not start, or refuses the configuration.
        """
        try:
            await self._ready()
        except ChildEnded as error:
            raise RuntimeError(f"the process that translates circuits does not start: {error}") from None

    async def ask(self, tenant: str, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request, when it is the tenant's turn.

        Raises:
            TookTooLong: it takes more than it may here.
            WireError: the answer is an error, or the process ended each time.
        """
        # Whoever waits no longer leaves it to its end: to break it off would end the process, which others wait for.
        asked = asyncio.create_task(self._in_turn(tenant, request))
        self._asked.add(asked)
        asked.add_done_callback(self._answered)
        return await asyncio.shield(asked)

    async def close(self) -> None:
        """End the process."""
        for asked in self._asked:
            asked.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)
        if self._idle is not None:
            self._idle.cancel()
        if self._child is not None:
            await self._child.kill()

    def _answered(self, asked: asyncio.Task[dict[str, Any]]) -> None:
        self._asked.discard(asked)
        # Taken, so that nothing is said of an error that nobody waits for.
        if not asked.cancelled():
            asked.exception()

    async def _in_turn(self, tenant: str, request: dict[str, Any]) -> dict[str, Any]:
        clock = asyncio.get_running_loop().time
        async with self._turns.turn(tenant, 0.0) as turn:
            if self._idle is not None:
                self._idle.cancel()
            began = clock()
            try:
                return await self._exchange({**request, "cpu_seconds": self._seconds})
            finally:
                turn.cost = clock() - began
                if self._idle_seconds is not None:
                    self._idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._retire)

    def _retire(self) -> None:
        if self._child is not None:
            self._child.retire()
        self._child = None

    async def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        for tried in range(1, _TRIES + 1):
            try:
                reply: dict[str, Any] = await (await self._ready()).exchange(request)
            except RuntimeError as error:
                raise EngineFailed(f"circuits cannot be translated for the device as it is now: {error}") from None
            except ChildEnded as error:
                if error.status == -signal.SIGPROF:
                    raise TookTooLong from None
                logger.warning("the process that translates circuits ended, at try %d: %s", tried, error)
                lost = error
                continue
            if (told := reply.get("error")) is not None:
                raise WireError.from_dict(told)
            return reply
        # Not WorkerLost, which invites to send the task again as another one: parts of it may be paid for.
        raise EngineFailed(f"the process that translates circuits ended {_TRIES} times ({lost}): it may lack memory")

    async def _ready(self) -> Child:
        """Return the process, started and told what it is to be."""
        if self._child is None or not self._child.alive:
            self._told = None
            self._child = await Child.start(_MODULE, inherits=inherited, quiet=self.config.quiet)
        if self._told is not self.config:
            config = self.config
            described = await self._child.exchange({"config": config.to_dict()})
            if "refused" in described:
                raise RuntimeError(described["refused"])
            methods, gates = tuple(described["methods"]), tuple(described["basis_gates"])
            self.description = Description(described["version"], methods, gates)
            self._told = config
        return self._child
