"""Tags in the forms that clouds allow."""

from __future__ import annotations

import hashlib

_DIGITS = 16


def short_name(tag: str) -> str:
    """Return the last part of a tag's name, such as ``run``: not all clouds allow a domain in it."""
    return tag.rpartition("/")[2]


def bounded(text: str, most: int) -> str:
    """Return a text of at most so many characters: itself, or its beginning and a digest of all of it."""
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return f"{text[: most - _DIGITS - 1]}-{digest}"
