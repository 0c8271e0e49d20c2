"""A worker process: ``python -m qonverge.backend.executors.worker_process``."""

from __future__ import annotations

from qonverge.backend.loading import loading


def main() -> None:
    """Serve until standard input ends."""
    loaded = loading()
    from qonverge.backend.executors.worker import serve

    serve(loaded)


if __name__ == "__main__":
    main()
