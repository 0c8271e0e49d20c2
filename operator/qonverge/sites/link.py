"""What is known of the way from one place to another, and what it costs to use it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

_LEAST_TIMEOUT = 0.2
"""Seconds that TCP waits at least, beyond a round trip, until it sends again (Linux; RFC 6298 has 1 s)."""
_MOST_LOSS = 0.9
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Link:
    """A way there and back. What is None was not measured of late."""

    round_trip_seconds: float | None = None
    loss_ratio: float | None = None
    """Part of what is sent that is lost, from 0 to 1."""
    bytes_per_second: float | None = None
    """From there to here."""

    @property
    def trip_seconds(self) -> float | None:
        """What a question and its answer take on average, with what is lost of either and sent again."""
        if self.round_trip_seconds is None:
            return None
        loss = min(self.loss_ratio or 0.0, _MOST_LOSS)
        again = 2 * loss / (1 - loss)
        return self.round_trip_seconds + again * (self.round_trip_seconds + _LEAST_TIMEOUT)

    def beyond(self, seconds: float | None) -> Self:
        """Return the link to a place that is so much farther, there and back; None: nobody knows how far."""
        if self.round_trip_seconds is None:
            return self
        trip = None if seconds is None else self.round_trip_seconds + seconds
        return type(self)(trip, self.loss_ratio, self.bytes_per_second)

    def __str__(self) -> str:
        """Return what is known, such as ``round trip 12 ms, loss 2 %, 1.2 MB/s``."""
        trip, loss, rate = self.round_trip_seconds, self.loss_ratio, self.bytes_per_second
        known = [] if trip is None else [f"round trip {trip * 1000:.3g} ms" if trip < 1 else f"round trip {trip:.3g} s"]
        known += [f"loss {loss:.2g}"] if loss else []
        known += [f"{rate / 1e6:.3g} MB/s"] if rate is not None else []
        return ", ".join(known) or "not measured"

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return {name: None if value is None else float(f"{value:.{_DIGITS}g}") for name, value in told.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` gave.

        Raises:
            ValueError: a figure is none.
        """
        values = {name: data.get(name) for name in cls.__slots__}
        found = cls(**{name: None if value is None else float(value) for name, value in values.items()})
        for value in (found.round_trip_seconds, found.bytes_per_second):
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"a link's figure is {value}")
        if found.loss_ratio is not None and not 0 <= found.loss_ratio <= 1:
            raise ValueError(f"a link's loss is {found.loss_ratio}")
        return found
