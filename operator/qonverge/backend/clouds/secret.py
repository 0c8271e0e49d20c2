"""Values of a mounted Secret: a folder with a file for each key."""

from __future__ import annotations

from pathlib import Path


def secret_value(folder: str | Path, name: str) -> str | None:
    """Return a key's value without white space around it; None where the Secret has no such key.

    Files of a Secret change while the process runs, so each is read when it is needed.
    """
    try:
        return (Path(folder) / name).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
