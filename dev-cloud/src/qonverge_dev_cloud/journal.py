"""What was asked of the clouds, and which of it had an effect."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One call, in the order in which calls came."""

    number: int
    time: float
    """Seconds since the start, by the clouds' clock."""
    cloud: str
    operation: str
    request: dict[str, Any]
    """As the vendor's API names it, without headers: no credentials are in it."""
    status: int | None
    """HTTP status of the reply; None where it was lost."""
    effect: bool
    """Whether anything changed: a task was made or cancelled, a tag was set."""
    faults: tuple[str, ...] = ()
    """Those that it met, or ``limit``."""
    made: str | None = None
    """The task that it made or found by its token."""

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


@dataclass(slots=True)
class Journal:
    """All calls since the start, or since it was cleared."""

    _entries: list[Entry] = field(default_factory=list)
    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, **values: Any) -> None:
        """Append a call."""
        with self._lock:
            self._count += 1
            self._entries.append(Entry(number=self._count, **values))

    def entries(self, cloud: str | None = None, operation: str | None = None) -> list[Entry]:
        """Return those of a cloud and of an operation, or all."""
        with self._lock:
            return [own for own in self._entries if cloud in (None, own.cloud) and operation in (None, own.operation)]

    def clear(self) -> None:
        """Forget all; the numbers go on."""
        with self._lock:
            self._entries.clear()
