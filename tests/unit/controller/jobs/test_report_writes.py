"""Programs' reports on their way into statuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qonverge.controller.jobs.report_writes import ReportWrites
from qonverge.documents.reports import InvalidReport, Pause, Report
from qonverge.wire.tokens import Caller

CALLER = Caller("chem/j", "uid-j-0", attempt=1)


class Written:
    """Takes writes; time stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.reports: list[tuple[str, Report, float | None]] = []
        self.error: Exception | None = None
        self.writes = ReportWrites(self.check, self.write, lambda: self.now, lambda: self.now)

    def check(self, key: str, caller: Caller, report: Report) -> None:
        if "bad" in report.metrics:
            raise InvalidReport("bad")

    async def write(self, key: str, caller: Caller, report: Report, ends_at: float | None) -> None:
        if self.error is not None:
            raise self.error
        self.reports.append((key, report, ends_at))

    async def take(self, key: str = "chem/j", caller: Caller = CALLER, **fields: Any) -> float:
        return await self.writes.take(key, caller, Report(**fields))


async def started(*calls: Any) -> list[asyncio.Task[float]]:
    """Return the calls when each of them has done what it can at once."""
    tasks = [asyncio.create_task(call) for call in calls]
    for _ in range(10):
        await asyncio.sleep(0)
    return tasks


async def test_the_first_report_is_written_at_once_and_those_of_the_next_second_together() -> None:
    written = Written()
    assert await written.take(metrics={"energy": -1.0}) == 1.0
    waiting = await started(*(written.take(progress=n / 10, metrics={"energy": -float(n)}) for n in range(1, 6)))
    assert len(written.reports) == 1
    # The program's last one takes the others along.
    await written.take(metrics={"done": 1.0}, last=True)
    await asyncio.gather(*waiting)
    (_, first, _), (_, second, _) = written.reports
    assert first.metrics == {"energy": -1.0}
    assert (second.progress, second.metrics) == (0.5, {"energy": -5.0, "done": 1.0})


async def test_a_result_is_written_at_once() -> None:
    written = Written()
    await written.take(metrics={"energy": -1.0})
    await written.take(result=3, has_result=True)
    assert [report.result for _, report, _ in written.reports] == [None, 3]


async def test_a_pause_is_written_at_once_with_what_comes_before_and_after_it() -> None:
    written = Written()
    await written.take(metrics={"energy": -1.0})
    # Time stands still: nothing else ends the wait for the next write.
    pause = Pause(("task-1",), "{}")
    await asyncio.gather(
        *await started(written.take(metrics={"energy": -2.0})), written.take(pause=pause), written.take(progress=0.5)
    )
    _, (_, together, _) = written.reports
    assert together == Report(progress=0.5, metrics={"energy": -2.0}, pause=pause)


async def test_a_second_later_the_next_is_written() -> None:
    written = Written()
    await written.take(progress=0.1)
    written.now += 10
    await written.take(progress=0.2)
    assert [(report.progress, ends_at) for _, report, ends_at in written.reports] == [
        (0.1, None),
        (0.2, pytest.approx(1090)),
    ]


async def test_another_attempt_is_another_program() -> None:
    written = Written()
    await written.take(progress=0.5)
    await written.take(caller=Caller("chem/j", "uid-j-0", attempt=2), progress=0.1)
    assert [report.progress for _, report, _ in written.reports] == [0.5, 0.1]


async def test_a_report_that_is_refused_spoils_no_other() -> None:
    written = Written()
    await written.take(metrics={"energy": -1.0})
    (waiting,) = await started(written.take(metrics={"energy": -2.0}))
    with pytest.raises(InvalidReport):
        await written.take(metrics={"bad": 1.0})
    await written.take(last=True)
    await waiting
    assert written.reports[-1][1].metrics == {"energy": -2.0}


async def test_who_reports_is_told_what_could_not_be_written() -> None:
    written = Written()
    written.error = LookupError("there is no unfinished job")
    with pytest.raises(LookupError):
        await written.take(progress=0.5)
    written.error = None
    written.now += 1
    await written.take(progress=0.6)
    assert [report.progress for _, report, _ in written.reports] == [0.6]


async def test_many_programs_report_less_often() -> None:
    written = Written()
    for number in range(200):
        interval = await written.take(key=f"chem/{number}", progress=0.5)
    assert interval == 10.0
    # Those that were not heard of for a while do not count.
    written.now += 61
    assert await written.take(progress=0.5) == 1.0
