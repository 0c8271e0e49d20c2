"""Runs a job's Python program: ``python -m qonverge.client.run FILE [ARGUMENT...]``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from qonverge.client.reports import finish


def main() -> None:
    """Run the file as ``__main__``; its exit code and traceback are the process's own."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m qonverge.client.run FILE [ARGUMENT...]")
    path = Path(sys.argv[1])
    if not path.is_file():
        sys.exit(f"qonverge: there is no program at {path}")
    sys.argv = sys.argv[1:]
    sys.path[0] = str(path.parent)
    # Lines appear in the job's log as they are printed.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream in every process started
    runpy.run_path(str(path), run_name="__main__")
    if (lost := finish()) is not None:
        sys.exit(f"qonverge: the result did not arrive: {lost}")


if __name__ == "__main__":
    main()
