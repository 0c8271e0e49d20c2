"""How long a cloud is waited for, and how often it is asked. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from qonverge.backend.clouds.protocol import CloudTask
from qonverge.queueing import Backoff

_NEAR = 3
_SECONDS_A_PLACE = 5.0


@dataclass(frozen=True, slots=True)
class Patience:
    """All times, in seconds."""

    first_backoff: float = 1.0
    """After the first call that failed; each further one in a row doubles it."""
    most_backoff: float = 60.0
    device: float = 60.0
    """Between two looks at the device."""
    poll_first: float = 0.05
    """Until a task that was just sent is asked about."""
    poll_near: float = 4.0
    """Between two questions about a task that runs, or is about to."""
    poll_far: float = 120.0
    """The same far from the front of the queue."""
    cancel: float = 600.0
    """Until a task that was cancelled and does not end is left as it is."""
    vanished: float = 120.0
    """Until a task that the cloud does not know any more has failed: listings lag."""

    def backoff(self, failures: int, jitter: float) -> float:
        """Return how long to wait after so many failures in a row; ``jitter`` is a random number from 0 to 1."""
        return Backoff(self.first_backoff, self.most_backoff).wait(failures, jitter)

    def poll(self, task: CloudTask | None, age: float, now: float, jitter: float) -> float:
        """Return how long to wait before a task is asked about again.

        A short task is asked about soon, since it may be done; one that has waited for long may wait for longer.

        Args:
            task: what is known of it; None where nothing is.
            age: since it was sent.
            now: Unix seconds.
            jitter: a random number from 0 to 1.
        """
        longest = self.poll_near
        if task is not None and task.state == "Queued":
            if task.queue_position is not None and task.queue_position > _NEAR:
                longest = _SECONDS_A_PLACE * task.queue_position
            elif task.queue_position is None and age > self.poll_far:
                longest = age / 4
            if task.expected_start is not None:
                longest = max(longest, (task.expected_start - now) / 2)
            longest = min(longest, self.poll_far)
        return max(self.poll_first, min(longest, age / 2 if longest == self.poll_near else longest)) * (
            0.75 + jitter / 2
        )
