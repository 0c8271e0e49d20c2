"""Errors that travel: a code for programs, a sentence for people, and whether trying again can help."""

from __future__ import annotations

from typing import Any, ClassVar

from qonverge.documents.excerpt import bounded


class WireError(Exception):
    """Base of all errors of the protocol; subclasses fix the HTTP status and whether a retry can help."""

    code: ClassVar[str] = "Internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **detail: Any) -> None:
        """``detail`` is what a program may need, such as the missing digests."""
        # What a caller or an engine says in it may be of any length.
        self.message = bounded(message)
        super().__init__(self.message)
        self.detail = detail

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        return {"code": self.code, "message": self.message, "retryable": self.retryable, "detail": self.detail}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> WireError:
        """Return the error of the right class; one of an unknown code becomes a plain WireError."""
        kind = _BY_CODE.get(data.get("code", ""), WireError)
        error = kind(str(data.get("message", "unknown error")))
        detail = data.get("detail")
        # Not as keyword arguments: a detail may be called "message".
        error.detail = dict(detail) if isinstance(detail, dict) else {}
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self).from_dict, (self.to_dict(),))


class InvalidTask(WireError):
    """The request is malformed."""

    code, status = "InvalidTask", 400


class InvalidCircuit(WireError):
    """The circuit cannot be read or run."""

    code, status = "InvalidCircuit", 422


class CircuitTooLarge(WireError):
    """The circuit does not fit the backend."""

    code, status = "CircuitTooLarge", 422


class Unauthorized(WireError):
    """The token is missing, expired or not for this backend."""

    code, status = "Unauthorized", 401


class TokenExpired(Unauthorized):
    """The token was good until a while ago. A job's token is renewed in its file: read it again."""

    code = "TokenExpired"


class AccessEnded(WireError):
    """The operator has closed the program's account: the job is over, or may use this backend no more."""

    code, status = "AccessEnded", 403


class NotFound(WireError):
    """There is no such task for this caller."""

    code, status = "NotFound", 404


class UnknownCircuit(WireError):
    """The server lacks circuits; ``detail["missing"]`` lists their digests. Send the task again with them."""

    code, status, retryable = "UnknownCircuit", 409, True

    @property
    def missing(self) -> list[str]:
        """Digests that the server lacks."""
        return list(self.detail.get("missing", []))


class TooLarge(WireError):
    """The body is over the limit."""

    code, status = "TooLarge", 413


class ResultTooLarge(WireError):
    """The result is larger than what is kept of it."""

    code, status = "ResultTooLarge", 413


class TooSlow(WireError):
    """The body came too slowly, and is not waited for any longer."""

    code, status, retryable = "TooSlow", 408, True


class QueueFull(WireError):
    """The queue is at its limit."""

    code, status, retryable = "QueueFull", 429, True


class Draining(WireError):
    """The server takes no new tasks: it is shutting down, and hands this one back, or may be removed."""

    code, status, retryable = "Draining", 503, True


class WorkerLost(WireError):
    """The process that ran the task ended."""

    code, status, retryable = "WorkerLost", 500, True


class GrantPending(WireError):
    """The program may not use so much of this pod yet; the operator is about to grant it, or to refuse it."""

    code, status, retryable = "GrantPending", 429, True


class QuotaExceeded(WireError):
    """The task needs more than the quotas of the job's namespace leave."""

    code, status = "QuotaExceeded", 403


class BudgetExceeded(WireError):
    """The task costs more than the job's budget leaves."""

    code, status = "BudgetExceeded", 403


class EngineFailed(WireError):
    """The engine refused the circuit or failed on it."""

    code, status = "EngineFailed", 422


class OutcomeUnknown(WireError):
    """A cloud may have the task, and cannot be asked: it is sent to none again, since it may be paid for already."""

    code, status = "OutcomeUnknown", 409


class Cancelled(WireError):
    """The task was cancelled."""

    code, status = "Cancelled", 409


_KINDS: tuple[type[WireError], ...] = (
    *(InvalidTask, InvalidCircuit, CircuitTooLarge, Unauthorized, NotFound, UnknownCircuit),
    *(TooLarge, TooSlow, QueueFull, Draining, WorkerLost, EngineFailed, OutcomeUnknown, Cancelled),
    *(GrantPending, QuotaExceeded, BudgetExceeded, TokenExpired, AccessEnded, ResultTooLarge),
)
_BY_CODE: dict[str, type[WireError]] = {kind.code: kind for kind in _KINDS}


def engine_error(error: Exception) -> WireError:
    """Return what an engine raised as it travels, whatever a task tripped there."""
    if isinstance(error, WireError):
        return error
    if isinstance(error, MemoryError):
        return CircuitTooLarge("the task needs more memory than a worker has here")
    return EngineFailed(f"the task failed: {type(error).__name__}: {error}")


def server_error(error: BaseException) -> WireError:
    """Return an error of the server itself, which has logged where it happened."""
    reason = "it ran out of memory" if isinstance(error, MemoryError) else f"{type(error).__name__}: {error}"
    return WireError(f"the server failed on the task ({reason}): this is a defect of the server, whose log has more")
