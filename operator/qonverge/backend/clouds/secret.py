"""Values of a mounted Secret, a folder with a file for each key, and messages without them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_LONGEST_MESSAGE = 1000


def secret_value(folder: str | Path, name: str) -> str | None:
    """Return a key's value without white space around it; None where the Secret has no such key.

    Files of a Secret change while the process runs, so each is read when it is needed.
    """
    try:
        return (Path(folder) / name).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def credential(folder: str | Path, name: str) -> str:
    """Return a value of the Secret, or of the environment where no folder is given; empty where there is none."""
    return (secret_value(folder, name) or "") if folder else os.environ.get(name, "").strip()


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """Return a message of 1,000 characters at most without what nobody may see."""
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    return text[:_LONGEST_MESSAGE]
