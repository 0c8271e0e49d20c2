"""The end of a server's process that is asked to end before it can drain: nothing heavy is imported here."""

from __future__ import annotations

import os
import signal


def end_when_asked() -> None:
    """End this process at SIGTERM, at once and whatever it does, until it handles the signal in another way.

    The first process of a container gets no signal that it has no handler for: it would serve on until its grace period
    is over. An exception would not do: where it is raised nobody knows, and some places let none out. A child that was
    begun finds the end of its input.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
