"""Memory of a piece of work."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from qonverge.backend.executors.peak_memory import PeakMemory

MIB = 1024**2


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells peaks on Linux only")
def test_what_is_taken_and_given_back_is_seen() -> None:
    peak = PeakMemory()
    with peak.measured():
        taken = np.ones(256 * MIB // 8)
        del taken
    assert peak.bytes is not None
    assert 250 * MIB < peak.bytes < 300 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells peaks on Linux only")
def test_small_tasks_are_not_held_up_by_it() -> None:
    clock = Clock()
    peak, measured = PeakMemory(clock=clock), []
    for clock.now in (0.0, 0.3, 0.9, 1.1, 1.5, 2.2):
        with peak.measured():
            pass
        measured.append(peak.bytes is not None)
    assert measured == [True, False, False, True, False, True]


def test_a_system_that_does_not_tell_is_asked_once(tmp_path: Path) -> None:
    peak = PeakMemory(tmp_path)
    for _ in range(2):
        with peak.measured():
            pass
        assert peak.bytes is None
    (tmp_path / "clear_refs").write_text("")
    with peak.measured():
        pass
    assert peak.bytes is None


def test_an_error_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), PeakMemory().measured():
        _ = 1 / 0
