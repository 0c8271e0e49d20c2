"""The operator's process: ``python -m qonverge.controller``."""

from __future__ import annotations

from qonverge.backend.ending import end_when_asked
from qonverge.backend.loading import loading


def main() -> None:
    """Run the operator."""
    # Before anything that takes its time to import: more than a second on a busy node.
    end_when_asked()
    # Without it a quarter of the time of each scrape would go into looking for garbage among the libraries.
    loaded = loading()

    import asyncio
    import contextlib
    import logging
    import sys

    from qonverge.controller.operator import Operator
    from qonverge.controller.settings import Settings

    loaded()
    try:
        settings = Settings.from_environment()
    except ValueError as error:
        sys.exit(f"qonverge.controller: {error}")
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Kopf speaks of every object that it sees.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(Operator(settings).run(asyncio.Event()))


if __name__ == "__main__":
    main()
