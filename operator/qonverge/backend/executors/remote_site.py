"""The other server as it was last seen: what it is, how busy, and whether the link to it is there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from dataclasses import replace

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.protocol import Description
from qonverge.backend.executors.remote_link import LinkDown, RemoteLink
from qonverge.backend.executors.round_trip import settled
from qonverge.devices import InvalidCalibration
from qonverge.devices.noise import Noise, noise_from_dict
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.errors import WireError
from qonverge.wire.vendor import DeviceState

_LOOK_SECONDS = 5.0
_SOONEST_SECONDS = 0.2

logger = logging.getLogger(__name__)


class RemoteSite:
    """Looks at the other server again and again, and tells it which ends were delivered."""

    def __init__(self, link: RemoteLink, config: EngineConfig) -> None:
        """Ask nothing yet."""
        self.up = asyncio.Event()
        """Set while the link is there, as far as is known."""
        self._link = link
        self._own = config
        self._config = config
        self._info: BackendInfo | None = None
        self._round_trip: float | None = None
        self._reason = "it has not answered yet"
        self._delivered: dict[str, None] = {}
        self._hurry = asyncio.Event()
        self._to_tell = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    @property
    def known(self) -> bool:
        """Whether it has answered since the start."""
        return self._info is not None

    @property
    def config(self) -> EngineConfig:
        """What tasks run with there; another object when that changes."""
        return self._config

    @property
    def workers(self) -> int:
        """How many tasks it runs at once."""
        return self._own.concurrency if self._info is None else self._info.workers

    @property
    def description(self) -> Description:
        """What it says of itself, and how the link is."""
        info = self._info
        if info is None:
            return Description(device=DeviceState(False, self._reason))
        reason = (
            "the server there takes no new tasks: it is shutting down, or may be removed"
            if info.draining and not self._reason
            else self._reason
        )
        device = info.device or DeviceState(True, exact=True, states=True)
        state = DeviceState(
            not reason,
            reason,
            queue_length=info.queued + info.running,
            round_trip_seconds=self._round_trip,
            ideal=info.calibration is None and (info.device is None or info.device.ideal),
            exact=device.exact,
            states=device.states,
            limits=device.limits,
        )
        return Description(
            info.engine, info.methods, info.basis_gates, info.calibration, state, info.memory_bytes, info.spool
        )

    async def start(self) -> None:
        """Return when it has answered."""
        self._loops = [asyncio.create_task(self._look_again()), asyncio.create_task(self._tell_again())]
        await self.up.wait()

    async def close(self) -> None:
        """Look no more."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    def lost(self, reason: str) -> None:
        """Take that the link is cut; all wait until it is seen to be back."""
        if self.up.is_set():
            logger.warning("the link is lost: %s", reason)
        self._reason = reason
        self.up.clear()
        self._hurry.set()

    def acknowledge(self, key: str) -> None:
        """Tell it, when that is possible, that a task's end is delivered."""
        self._delivered[key] = None
        self._to_tell.set()

    async def _look_again(self) -> None:
        tries = 0
        while True:
            self._hurry.clear()
            try:
                await self._look()
            except (LinkDown, WireError) as error:
                self.lost(str(error))
                delay = min(_LOOK_SECONDS, _SOONEST_SECONDS * 2.0 ** min(tries, 10))
                tries += 1
                await asyncio.sleep(random.uniform(0.5, 1.0) * delay)  # noqa: S311 - no secret
                continue
            tries = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._hurry.wait()

    async def _look(self) -> None:
        answer, took = await self._link.measured("/v1/backend?without=calibration")
        info = _info(answer)
        if not info.engine:
            # Its methods and its device are not known before.
            raise LinkDown("the other server is starting")
        known = self._info
        if known is None or known.calibration_digest != info.calibration_digest:
            whole = _info(await self._link.ask("look", "GET", "/v1/backend"))
            noise = _noise(whole)
        else:
            whole, noise = replace(info, calibration=known.calibration), self._config.noise
        limits = (whole.max_qubits, self._own.max_qubits)
        config = replace(
            self._own,
            method=whole.method,
            max_shots=min(whole.max_shots, self._own.max_shots),
            max_qubits=min((limit for limit in limits if limit is not None), default=None),
            concurrency=whole.workers,
            noise=noise,
        )
        if noise is not self._config.noise or replace(config, noise=None) != replace(self._config, noise=None):
            self._config = config
        if not self.up.is_set() and known is not None:
            logger.warning("the link is back")
        self._round_trip = settled(self._round_trip, took)
        self._info, self._reason = whole, ""
        self.up.set()

    async def _tell_again(self) -> None:
        while True:
            await self._to_tell.wait()
            self._to_tell.clear()
            while self._delivered:
                await self.up.wait()
                key = next(iter(self._delivered))
                try:
                    await self._link.ask("delivered", "DELETE", f"/v1/tasks/{key}/result")
                except LinkDown as error:
                    self.lost(str(error))
                    continue
                except WireError as error:
                    # It keeps the end for as long as it keeps any.
                    logger.info("the other server keeps the end of %s: %s", key, error)
                del self._delivered[key]


def _info(answer: dict[str, object]) -> BackendInfo:
    try:
        return BackendInfo.from_dict(answer)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LinkDown(f"what the other server says of itself is none of the protocol: {error}") from None


def _noise(info: BackendInfo) -> Noise | None:
    try:
        return None if info.calibration is None else noise_from_dict(info.calibration)
    except (InvalidCalibration, AttributeError, KeyError, TypeError, ValueError) as error:
        raise LinkDown(f"the other server's calibration cannot be read: {error}") from None
