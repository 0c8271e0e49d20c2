"""Programs' reports on their way into statuses: those that come close together are written once."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from qonverge.documents.reports import Report
from qonverge.execution.progress_rate import ProgressRate
from qonverge.wire.tokens import Caller

_INTERVAL_SECONDS = 1.0
# Status writes of all reports together; each is about 5 ms of the operator's time.
_MOST_WRITES_PER_SECOND = 20.0
_LONGEST_INTERVAL_SECONDS = 60.0
# Programs that do not wait for as long as they are told are answered within this, less than they wait for an answer.
_LONGEST_PAUSE_SECONDS = 5.0
# A job that has not reported for so long is forgotten.
_FORGET_SECONDS = 300.0


Check = Callable[[str, Caller, Report], object]
"""Raises what a program is to be told whose report cannot be taken."""
Write = Callable[[str, Caller, Report, float | None], Awaitable[None]]
"""Writes a report of a job's program, with when it may end, Unix seconds, as far as that is known."""


@dataclass(slots=True)
class _Attempt:
    """What is known of the reports of one attempt."""

    rate: ProgressRate = field(default_factory=ProgressRate)
    written: float = -math.inf
    """When a write last began, by the monotonic clock."""
    heard: float = 0.0
    waiting: _Waiting | None = None
    """What is to be written."""


@dataclass(slots=True)
class _Waiting:
    report: Report
    done: asyncio.Future[None]
    urgent: asyncio.Event = field(default_factory=asyncio.Event)


class ReportWrites:
    """Writes reports, at most one each second for a job, and all together at most 20 each second.

    A report is answered when it is written, so that none that was taken is lost with this process, and with how long
    the program is to wait before the next: so those of many programs come less often. A result, a pause and the
    last report of a program are written at once.
    """

    def __init__(
        self,
        check: Check,
        write: Write,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know of no program; ``clock`` gives Unix seconds, ``monotonic`` seconds of which only differences count."""
        self._check = check
        self._write = write
        self._clock = clock
        self._monotonic = monotonic
        self._attempts: dict[tuple[str, str, int], _Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def interval(self) -> float:
        """How many seconds lie between two writes for a job: more where many report."""
        recent = self._monotonic() - _LONGEST_INTERVAL_SECONDS
        active = sum(attempt.heard >= recent for attempt in self._attempts.values())
        return min(_LONGEST_INTERVAL_SECONDS, max(_INTERVAL_SECONDS, active / _MOST_WRITES_PER_SECOND))

    async def take(self, key: str, caller: Caller, report: Report) -> float:
        """Have a report written, and return in how many seconds the next is welcome.

        Raises:
            Exception: what ``check`` or the write raised.
        """
        known = self._attempts.get(identity := (key, caller.account, caller.attempt))
        before = None if known is None else known.waiting
        together = report if before is None else before.report.then(report)
        self._check(key, caller, together)
        if known is None:
            self._forget()
            known = self._attempts[identity] = _Attempt()
        known.heard = self._monotonic()
        if report.progress is not None:
            known.rate.add(self._clock(), report.progress)
        if before is None:
            waiting = known.waiting = _Waiting(together, asyncio.get_running_loop().create_future())
            # Whoever waits for it may have gone.
            waiting.done.add_done_callback(lambda done: done.cancelled() or done.exception())
            task = asyncio.create_task(self._write_later(key, caller, known, waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            waiting = before
            waiting.report = together
        if report.tells_result or report.last or report.pause is not None:
            waiting.urgent.set()
        await asyncio.shield(waiting.done)
        return self.interval

    async def _write_later(self, key: str, caller: Caller, attempt: _Attempt, waiting: _Waiting) -> None:
        try:
            pause = min(_LONGEST_PAUSE_SECONDS, attempt.written + self.interval - self._monotonic())
            if pause > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(waiting.urgent.wait(), pause)
            # What comes from now on is another write's.
            attempt.waiting = None
            attempt.written = self._monotonic()
            await self._write(key, caller, waiting.report, attempt.rate.ends_at())
        except Exception as error:
            # It is for those who wait.
            waiting.done.set_exception(error)
        else:
            waiting.done.set_result(None)
        finally:
            # Where the operator ends.
            waiting.done.cancel()

    def _forget(self) -> None:
        old = self._monotonic() - _FORGET_SECONDS
        for identity in [each for each, known in self._attempts.items() if known.heard < old and known.waiting is None]:
            del self._attempts[identity]
