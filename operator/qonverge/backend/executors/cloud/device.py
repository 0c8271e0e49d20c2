"""The device that a cloud backend stands for, as last heard."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace

from qonverge.backend.clouds.errors import CloudBusy, CloudError, CredentialsRefused, ReplyLost
from qonverge.backend.clouds.protocol import Device
from qonverge.backend.executors.cloud.calls import Calls
from qonverge.backend.executors.cloud.patience import Patience
from qonverge.backend.executors.cloud.polling import within
from qonverge.backend.executors.round_trip import RoundTrip
from qonverge.wire.vendor import DeviceState

# A call or two that fail say little of the device.
_FEW = 3


class DeviceWatch:
    """Asks for the device now and then."""

    def __init__(self, calls: Calls, patience: Patience, trip: RoundTrip, changed: Callable[[], None]) -> None:
        """``trip`` is to the cloud; ``changed`` is called whenever something was heard."""
        self._calls, self._patience, self._trip, self._changed = calls, patience, trip, changed
        self.device: Device | None = None
        """As last told; None before the first answer."""
        self.known = asyncio.Event()
        """Set when there was an answer."""
        self.asked = asyncio.Event()
        """Set when there was one, or none for a reason."""
        self._failures = 0
        self._trouble: CloudError | None = None
        self._again = asyncio.Event()

    @property
    def state(self) -> DeviceState:
        """What is said of the device."""
        trouble = self._trouble
        if trouble is None and isinstance(self._calls.trouble, CredentialsRefused):
            # It may be looked at, and gets no tasks.
            trouble = self._calls.trouble
        if trouble is not None and not (isinstance(trouble, CloudBusy | ReplyLost) and 0 < self._failures < _FEW):
            return self._unreachable(str(trouble))
        device = self.device
        if device is None:
            return DeviceState(False, "the cloud has not been heard yet" if trouble is None else str(trouble))
        return replace(
            _lasting(device),
            online=device.online,
            reason=device.reason,
            available_at=device.available_at,
            queue_length=device.queue_length,
            wait_seconds=device.wait_seconds,
            round_trip_seconds=self._trip.seconds,
        )

    def _unreachable(self, reason: str) -> DeviceState:
        """Return that no task runs now; what a task costs holds meanwhile, since some may be under way."""
        known = DeviceState(False) if self.device is None else _lasting(self.device)
        return replace(known, reason=reason)

    def soon(self) -> None:
        """Ask at once: a call failed in a way that the device may explain."""
        self._again.set()

    async def serve(self) -> None:
        """Ask, for ever."""
        while True:
            try:
                device = await self._calls.look()
            except CloudError as error:
                self._failures, self._trouble = self._failures + 1, error
                self.asked.set()
                self._changed()
                continue
            opened = device.online and self.device is not None and not self.device.online
            self._failures, self._trouble, self.device = 0, None, device
            self.known.set()
            self.asked.set()
            self._changed()
            if opened:
                self._calls.reopened()
            self._again.clear()
            await within(self._again, self._delay(device))

    def _delay(self, device: Device) -> float:
        jitter = random.random()  # noqa: S311  # spreads calls, and hides nothing
        usual = self._patience.device * (0.75 + jitter / 2)
        if device.online or device.available_at is None:
            return usual
        # Where a window opens, all wait for it: not all of them at the same moment.
        opens = device.available_at - time.time() + jitter
        return min(usual, opens) if opens > 0 else min(usual, self._patience.poll_near)


def _lasting(device: Device) -> DeviceState:
    """Return what holds of a device though it is not reached."""
    return DeviceState(
        False,
        prices=device.prices,
        ideal=device.ideal,
        exact=device.exact,
        states=device.states,
        limits=device.limits,
    )
