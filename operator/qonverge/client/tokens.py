"""The token that a program shows to backends and to the operator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qonverge.client.errors import NotConfigured


def read_token(environment: Mapping[str, str]) -> str | None:
    """Return the job's token: from the file that is renewed under the program, or from the environment."""
    if path := environment.get("QONVERGE_TOKEN_FILE"):
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise NotConfigured(
                f"the token cannot be read from QONVERGE_TOKEN_FILE, {path}: {error.strerror}"
            ) from None
    return environment.get("QONVERGE_TOKEN")
