"""The token of a session as a file that only its user can read."""

from __future__ import annotations

import os
from pathlib import Path

from qonverge.client.transport.tokens import END_NOTE

_OWN = 0o600


class TokenFile:
    """A token that is replaced as it is renewed: who reads it sees the former or the new one."""

    def __init__(self, folder: Path) -> None:
        """Write nothing yet; the folder is one that only the user can open."""
        self._folder = folder
        self.path = folder / "token"

    def write(self, token: str) -> None:
        """Put a token in the place of the former."""
        new = self._folder / "token.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWN), "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(token)
        new.replace(self.path)

    def end(self, why: str) -> None:
        """Take the token away, and leave the sentence that programs raise in its place."""
        (self._folder / END_NOTE).write_text(why, encoding="utf-8")
        self.path.unlink(missing_ok=True)
