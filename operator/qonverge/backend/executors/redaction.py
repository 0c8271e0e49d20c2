"""Credentials taken out of what others say: an answer may repeat the request that it answers."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

# Shorter ones say nothing, and words would have holes.
_SHORTEST = 6
_INSTEAD = "***"


class Redactor:
    """Knows the values of a Secret that is mounted as a folder, former ones too, since answers come late."""

    def __init__(self, folder: str) -> None:
        """``folder`` is empty where there is no Secret."""
        self._folder = Path(folder) if folder else None
        self._values: set[str] = set()

    def __call__(self, text: str) -> str:
        """Return a text with ``***`` in the place of each value, as it is, in a URL or in JSON."""
        if not text:
            return text
        self._look()
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, _INSTEAD)
        return text

    def _look(self) -> None:
        for file in self._folder.iterdir() if self._folder is not None and self._folder.is_dir() else ():
            # A region is no secret, and messages need it. What begins with two dots is the kubelet's.
            if file.name.endswith("REGION") or file.name.startswith("..") or not file.is_file():
                continue
            try:
                value = file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                continue
            if len(value) >= _SHORTEST:
                self._values |= {value, quote(value, safe=""), json.dumps(value)[1:-1]}
