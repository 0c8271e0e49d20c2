"""How the API refuses."""

from __future__ import annotations


class Refused(Exception):
    """A call is answered with an error of the API."""

    def __init__(self, status: int, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.code = code or status
