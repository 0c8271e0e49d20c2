"""A file with the tokens of a server's callers, which may change while the server runs."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from pathlib import Path

from qonverge.wire.errors import Unauthorized
from qonverge.wire.tokens import Caller

_LEAST_CHARACTERS = 20
_LINE = re.compile(r"(?P<name>[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)\s+(?P<token>[!-~]+)")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")

logger = logging.getLogger(__name__)


class TokenFile:
    """Who may call, by the SHA-256 of the token that is shown."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            OSError: it cannot be read.
            ValueError: a line is wrong; the message says which and never repeats a token.
        """
        self._path = path
        self._stamp: object = None
        self._callers: Mapping[str, Caller] = {}
        self._read()

    def verify(self, token: str | None) -> Caller:
        """Return who the token is for.

        Raises:
            Unauthorized: it is missing, or not in the file.
        """
        try:
            self._read()
        except (OSError, ValueError) as error:
            logger.error("the former tokens hold: %s", error)
        if not token:
            raise Unauthorized("a bearer token is needed: send it in the Authorization header")
        caller = self._callers.get(_digest(token))
        if caller is None:
            raise Unauthorized("the token is not among those of this server: see its file of tokens")
        return caller

    def _read(self) -> None:
        """Read the file where it has changed; a fault in it is told once."""
        found = self._path.stat()
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self._callers = parse(self._path.read_text(encoding="utf-8"), str(self._path))


def parse(text: str, where: str) -> dict[str, Caller]:
    """Return callers by the SHA-256 of their tokens.

    Args:
        text: lines with a name, blanks and a token, or ``sha256:`` with its digest in hex; ``#`` begins a comment.
            A name may have several lines, so that an old token is good until the new one is everywhere.
        where: what the message calls the text.

    Raises:
        ValueError: see ``TokenFile``.
    """
    callers: dict[str, Caller] = {}
    for number, line in enumerate(text.splitlines(), 1):
        given = line.partition("#")[0].strip()
        if not given:
            continue
        match = _LINE.fullmatch(given)
        if match is None:
            raise ValueError(f"{where}, line {number}: give a name of small letters, digits and dashes, and a token")
        token = match["token"]
        digest = _DIGEST.fullmatch(token)
        if digest is None and (len(token) < _LEAST_CHARACTERS or token.startswith("sha256:")):
            raise ValueError(
                f"{where}, line {number}: give a token of {_LEAST_CHARACTERS} characters at least, or sha256: and "
                "64 digits in hex, such as `openssl rand -hex 32` and `sha256sum` make them"
            )
        callers[digest[1] if digest else _digest(token)] = Caller(match["name"])
    if not callers:
        raise ValueError(f"{where}: no tokens are there, so nobody could call")
    return callers


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
