"""What is said while a job runs."""

from __future__ import annotations

import io
import re
import time

import pytest

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.cli.screen import Screen
from qonverge.execution.transitions import timestamp


def job(**status: object) -> HybridJob:
    given = {"metadata": {"name": "j"}, "spec": {"program": {"python": {"source": "x"}}}}
    return HybridJob.model_validate(given).model_copy(update={"status": HybridJobStatus.model_validate(status)})


def said(*jobs: HybridJob, quiet: bool = False) -> list[str]:
    stream = io.StringIO()
    with Screen(stream, quiet=quiet) as screen, screen.job(jobs[0]):
        for each in jobs:
            screen.on_status(each)
        screen.on_line(jobs[0], "x" * 200)
    return stream.getvalue().splitlines()


def test_each_step_is_one_line_that_is_not_broken() -> None:
    why = "aer is the only candidate " * 8
    assert said(
        job(state="Placed", placement=why),
        job(state="Running", backend="aer", attempts=1),
        job(state="Running", backend="aer", attempts=1),
        job(state="Running", backend="aer", attempts=2),
        job(state="Running", backend="aer", attempts=2, progress="7%", metrics={"energy": -1.1234567}),
    ) == [
        f"j  placed: {why}",
        "j  running on aer",
        "j  running on aer, attempt 2",
        "j    7%  energy=-1.12346",
        "  │ " + "x" * 200,
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_a_line_with_progress_metrics_and_the_time_that_is_left() -> None:
    ends_at = timestamp(time.time() + 3600)
    with Screen(Terminal(), quiet=False) as screen, screen.job(job()):
        screen.on_status(job(state="Running", progress="7%", metrics={"energy": -1.5}, estimatedEndAt=ends_at))
        (task,) = screen._bar.tasks
        assert (task.completed, task.total) == (7, 100)
        assert re.fullmatch(r"7%  energy=-1.5  about (1h|59m\d+s|59m) left", task.fields["shown"])


def test_quiet_says_nothing_of_progress() -> None:
    assert said(job(state="Placed", placement="why"), quiet=True) == []


def printed(ended: HybridJob, **options: bool) -> str:
    stream = io.StringIO()
    with Screen(stream, quiet=True, **options) as screen:
        screen.ended(ended, 1.0)
    return stream.getvalue()


def test_quiet_prints_the_result_and_nothing_else() -> None:
    done = job(state="Complete", result={"value": {"energy": -1.5}})
    assert printed(done) == 'result  {"energy": -1.5}\n'
    assert printed(done, named=True) == 'j\nresult  {"energy": -1.5}\n'
    assert printed(done, results=False) == ""


def test_quiet_says_on_standard_error_why_there_is_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(job(state="Failed", reason="InvalidProgram", message="line 1")) == ""
    assert capsys.readouterr().err == "✗ j Failed: InvalidProgram: line 1\n"
