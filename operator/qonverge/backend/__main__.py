"""The backend server's process: ``python -m qonverge.backend``. Every option is also an environment variable."""

from __future__ import annotations

import os
from collections.abc import Sequence

from qonverge.backend.ending import end_when_asked


async def _serve(argv: Sequence[str] | None) -> None:
    from qonverge.backend.executors.first_worker import begin_first
    from qonverge.backend.loading import loading

    # A worker takes as long to load as this process does, so it begins before anything heavy is imported here.
    first = await begin_first(os.environ)
    loaded = loading()
    try:
        from qonverge.backend.pod import serve_by

        loaded()
        await serve_by(argv, first)
    finally:
        if first is not None:
            first.end()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the server."""
    # Before anything that takes its time to import.
    end_when_asked()
    from qonverge.backend.process import run

    run(_serve(argv))


if __name__ == "__main__":
    main()
