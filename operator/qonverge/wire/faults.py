"""Errors that are the backend's doing, or that of the way to it, and not that of the program which they end."""

from __future__ import annotations

from qonverge.wire.errors import (
    Draining,
    GrantPending,
    QueueFull,
    TokenExpired,
    TooSlow,
    UnknownCircuit,
    WireError,
    WorkerLost,
)

UNREACHABLE = "BackendUnreachable"
"""The word for a backend, or an operator, that did not answer a program for too long."""
BACKEND_FAULTS = (
    UNREACHABLE,
    WireError.code,
    *(error.code for error in (Draining, GrantPending, QueueFull, TokenExpired, TooSlow, UnknownCircuit, WorkerLost)),
)
"""Codes of tasks, and that word, for which a program is not to blame that does not catch them."""
