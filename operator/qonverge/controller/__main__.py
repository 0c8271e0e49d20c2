"""The operator's process: ``python -m qonverge.controller``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal

from qonverge.controller.operator import Operator
from qonverge.controller.settings import Settings


async def run(settings: Settings) -> None:
    """Run until a signal asks to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Operator(settings).run(stop)


def main() -> None:
    """Run the operator."""
    settings = Settings.from_environment()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Kopf speaks of every object that it sees.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()
