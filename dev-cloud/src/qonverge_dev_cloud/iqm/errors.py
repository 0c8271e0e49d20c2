"""How the API refuses."""

from __future__ import annotations


class Refused(Exception):
    """A call is answered with an error of the API."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
