"""Errors of the client library."""

from __future__ import annotations

from qonverge.wire import errors as wire
from qonverge.wire.errors import WireError


class ClientError(Exception):
    """Base of all errors of the client; ``str()`` says what to change."""


class NotConfigured(ClientError):
    """No backend is known."""


class SessionEnded(ClientError):
    """The session that gave access to the backend has ended: begin another."""


class BackendUnreachable(ClientError):
    """The backend does not answer."""


class UntrustedBackend(BackendUnreachable):
    """The backend's certificate is not of an authority that this machine trusts, or not for the backend's name."""


class ResultTooLarge(ClientError):
    """There is no room for the program's result, or for its files."""


class StoreUnreachable(ClientError):
    """The job's store did not take or give something for too long."""


class InputMissing(ClientError):
    """The result of a job that this one depends on is there no more."""


class TaskFailed(ClientError):
    """The backend refused the task or failed on it."""

    def __init__(self, error: WireError) -> None:
        """Keep the error as it travelled."""
        super().__init__(f"{error.message} [{error.code}]")
        self.code = error.code
        self.detail = error.detail

    @classmethod
    def of(cls, error: WireError) -> TaskFailed:
        """Return the error as the class of its own that it has, where it has one."""
        return BudgetExceeded(error) if error.code == BudgetExceeded.code else cls(error)


class BudgetExceeded(TaskFailed):
    """The task would cost more than the job's budget leaves; it was not sent to the device."""

    code = wire.BudgetExceeded.code
