"""The token that a program shows to backends and to the operator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qonverge.client.errors import NotConfigured, SessionEnded

END_NOTE = "ended"
"""A file beside that of a session's token, in the place of which it says why the session has ended."""
_RENEWAL_SECONDS = 900.0


def read_token(environment: Mapping[str, str]) -> str | None:
    """Return the job's token: from the file that is renewed under the program, or from the environment.

    Raises:
        NotConfigured: it cannot be read.
        SessionEnded: the session that it was of has ended.
    """
    if path := environment.get("QONVERGE_TOKEN_FILE"):
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            note = Path(path).with_name(END_NOTE)
            if isinstance(error, FileNotFoundError) and note.is_file():
                raise SessionEnded(note.read_text(encoding="utf-8")) from None
            raise NotConfigured(
                f"the token cannot be read from QONVERGE_TOKEN_FILE, {path}: {error.strerror}"
            ) from None
    return environment.get("QONVERGE_TOKEN")


def renewal_seconds(environment: Mapping[str, str]) -> float:
    """Return for how long a token that is refused is read again: a job's is renewed in its file, others never."""
    return _RENEWAL_SECONDS if environment.get("QONVERGE_TOKEN_FILE") else 0.0
