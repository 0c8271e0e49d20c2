"""What every server's process is: its log and its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine

from qonverge.backend.ending import end_when_asked

# Libraries that write whole requests to their logs at DEBUG, tokens and signatures included.
_TELL_REQUESTS = ("botocore", "httpcore", "urllib3")


def run(serving: Coroutine[None, None, None]) -> None:
    """Run a server's process until ``serving`` ends."""
    end_when_asked()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for library in _TELL_REQUESTS:
        logging.getLogger(library).setLevel(logging.INFO)
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(serving)
