"""How much memory a piece of work takes beyond what its process had before (Linux; see proc(5))."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_SECONDS = 1.0
_PROC = Path("/proc/self")


class PeakMemory:
    """Measures now and then: making the kernel forget the last peak takes longer than a small task."""

    def __init__(self, proc: Path = _PROC, clock: Callable[[], float] = time.monotonic) -> None:
        """``proc`` is the process's folder; ``clock`` gives seconds, of which only differences count."""
        self._proc = proc
        self._clock = clock
        self._next = float("-inf")
        self.bytes: int | None = None
        """Of the last work; None where it was not measured."""

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Measure what happens within, if the last measurement was a while ago."""
        self.bytes = None
        before = self._reset() if self._clock() >= self._next else None
        try:
            yield
        finally:
            if before is not None:
                self._next = self._clock() + _SECONDS
                self.bytes = max(0, self._status("VmHWM") - before)

    def _reset(self) -> int | None:
        """Make the peak what the process has now, and return that; None where the system does not do so."""
        try:
            (self._proc / "clear_refs").write_text("5")
            return self._status("VmRSS")
        except (OSError, StopIteration):
            self._next = float("inf")
            return None

    def _status(self, name: str) -> int:
        lines = (self._proc / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
