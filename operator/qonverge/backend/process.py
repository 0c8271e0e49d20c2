"""What every server's process is: its log and its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Coroutine

# Libraries that write whole requests to their logs at DEBUG, tokens and signatures included.
_TELL_REQUESTS = ("botocore", "httpcore", "urllib3")


def run(serving: Coroutine[None, None, None]) -> None:
    """Run a server's process until ``serving`` ends."""
    # The first process of a container gets no signal that it has no handler for: one that is asked to end while it
    # loads would serve on until its grace period is over.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for library in _TELL_REQUESTS:
        logging.getLogger(library).setLevel(logging.INFO)
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(serving)
