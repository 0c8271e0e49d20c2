"""How the API refuses."""

from __future__ import annotations

HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""By the codes of gRPC."""
CODES = {status: code for code, status in reversed(HTTP_STATUS.items())}


class Refused(Exception):
    """A call is answered with an error of the API."""

    def __init__(self, code: str, message: str) -> None:
        """``code``: of gRPC, such as ``NOT_FOUND``."""
        super().__init__(message)
        self.code, self.message = code, message
