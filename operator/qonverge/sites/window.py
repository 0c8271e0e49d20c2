"""Figures of a link from single probes. Pure: times are given."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import fmean, median

from qonverge.sites.link import Link

RECENT = 10
"""Probes that a round trip is made of: the slowest and the fastest fifth of them do not count."""
_ASIDE = 2
_COUNTED = 120
"""Probes that a loss is made of: a link that was cut is shunned for a minute after it came back."""
_CUT = 3
"""Probes without an answer, one after the other, after which there is no round trip."""
_FORGET_SECONDS = 20.0
_TRANSFERS = 3
_TRANSFER_SECONDS = 300.0
FIRST_BYTES = 10 * 1460
"""That TCP sends before it has heard of any (RFC 6928)."""
_TOLD_APART = 10.0
_HALVINGS = 50


@dataclass(frozen=True, slots=True)
class Sample:
    """What one probe gave."""

    seconds: float | None
    """Until its answer; None: none came."""
    sent: int = 1
    """Segments that it took, where the system tells; else 1 for the probe."""
    again: int = 0
    """Those of them that were sent again."""


@dataclass(slots=True)
class Window:
    """The last probes of a link."""

    _samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=_COUNTED))
    _rates: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_TRANSFERS))
    _at: float = -math.inf

    def add(self, sample: Sample, at: float) -> None:
        """Take a probe that ended at a time, seconds of any clock."""
        self._samples.append(sample)
        self._at = at

    def carry(self, nbytes: int, seconds: float, at: float) -> None:
        """Take how long so many bytes took, from the question to the last of them."""
        trip = self.link(at).round_trip_seconds
        self._rates.append((rate(nbytes, seconds, min(trip or 0.0, seconds / 2)), at))

    def link(self, now: float) -> Link:
        """Return the figures as of a time of the same clock; those that are too old are None."""
        known = [] if now - self._at > _FORGET_SECONDS else list(self._samples)
        rates = [value for value, at in self._rates if now - at <= _TRANSFER_SECONDS]
        return Link(_trip(known), _loss(known), median(rates) if rates and known else None)


def _trip(samples: list[Sample]) -> float | None:
    if all(sample.seconds is None for sample in samples[-_CUT:]):
        return None
    answered = sorted(sample.seconds for sample in samples[-RECENT:] if sample.seconds is not None)
    aside = _ASIDE * len(answered) // RECENT
    return fmean(answered[aside : len(answered) - aside])


def _loss(samples: list[Sample]) -> float | None:
    """Return the part that was lost: of segments, or of a probe without an answer all."""
    if not samples:
        return None
    lost = sum(sample.sent if sample.seconds is None else min(sample.again, sample.sent) for sample in samples)
    return lost / sum(sample.sent for sample in samples)


def rate(nbytes: int, seconds: float, round_trip: float) -> float:
    """Return the bytes a second of a link on which so many took so long, from the question to the last of them.

    TCP begins slowly and waits for a round trip again and again until it fills the link. The model is that of Cardwell,
    Savage and Anderson, Modeling TCP latency (2000), without loss: of a short transfer over a long link next to all is
    this waiting. Links that are more than ten times as fast as the transfer as a whole are not told apart.
    """
    taken = max(seconds - round_trip, 1e-9)
    low, high = nbytes / taken, _TOLD_APART * nbytes / taken
    if _transfer_seconds(nbytes, round_trip, high) >= taken:
        return high
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _transfer_seconds(nbytes, round_trip, middle) > taken else (low, middle)
    return low


def _transfer_seconds(nbytes: int, round_trip: float, bytes_per_second: float) -> float:
    """Return how long bytes take, from the first to the last, over a link that is empty."""
    waiting, window, left = 0.0, FIRST_BYTES, nbytes
    while left > window and window < round_trip * bytes_per_second:
        waiting += round_trip - window / bytes_per_second
        left -= window
        window *= 2
    return waiting + nbytes / bytes_per_second
