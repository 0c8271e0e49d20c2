"""How the API refuses."""

from __future__ import annotations


class Refused(Exception):
    """A call is answered with an error of the API."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status, self.error, self.message = status, error, message
