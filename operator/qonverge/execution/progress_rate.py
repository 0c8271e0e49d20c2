"""When a program may end, by the rate of its progress. Pure."""

from __future__ import annotations

_MOST_SAMPLES = 64
_LEAST_SECONDS = 1.0
_MOST_SECONDS = 10 * 366 * 86400.0


class ProgressRate:
    """What a program said of its progress, and what follows of its end.

    The rate is that of the later half of the time for which progress is known: it follows a program that becomes slower
    or faster, and one report that comes early or late changes little. What a program had done before its first report,
    such as one that goes on from a checkpoint, is not counted as done in no time.
    """

    def __init__(self) -> None:
        """Know of no progress."""
        self._samples: list[tuple[float, float]] = []

    def add(self, now: float, progress: float) -> None:
        """Take a share from 0 to 1 that is done at a time, Unix seconds."""
        if self._samples and progress < self._samples[-1][1]:
            # It began anew.
            self._samples.clear()
        if len(self._samples) == _MOST_SAMPLES:
            self._samples = self._samples[::2]
        self._samples.append((now, progress))

    def ends_at(self) -> float | None:
        """Return when all may be done, Unix seconds; None while the rate is not known, or is next to zero."""
        if len(self._samples) < 2:
            return None
        (first, _), (now, done) = self._samples[0], self._samples[-1]
        middle = first + (now - first) / 2
        began, before = next(sample for sample in reversed(self._samples) if sample[0] <= middle)
        if now - began < _LEAST_SECONDS or done <= before:
            return None
        rest = (1 - done) * (now - began) / (done - before)
        return now + rest if rest < _MOST_SECONDS else None
