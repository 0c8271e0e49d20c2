"""Where a primitive runs, as IBM's users say it: a backend, a session or batch, or nothing."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Self

from qonverge.client.transport.connect import Runner, connect

if TYPE_CHECKING:
    from qonverge.client.qiskit.backend import QonvergeBackend


class Session:
    """A block of a program whose primitives run on one backend, so that programs written for IBM's sessions run here.

    Nothing is reserved: a job's backend is its own, and tasks go to it as they come.
    """

    def __init__(self, backend: QonvergeBackend | None = None) -> None:
        """Without a backend it is the one that the environment names."""
        from qonverge.client.qiskit.backend import QonvergeBackend

        if backend is not None and not isinstance(backend, QonvergeBackend):
            raise TypeError(f"backend is of type {type(backend).__name__}: give a QonvergeBackend, or leave it out")
        self._backend = backend or QonvergeBackend()
        self._entered: Token[Session | None] | None = None

    def backend(self) -> str:
        """Return the backend's name."""
        return str(self._backend.name)

    @property
    def runner(self) -> Runner:
        """What runs the tasks of its primitives."""
        return self._backend.runner

    def close(self) -> None:
        """Do nothing more: what was sent goes on."""
        if self._entered is not None:
            _current.reset(self._entered)
            self._entered = None

    def __enter__(self) -> Self:
        self._entered = _current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Batch(Session):
    """As a session: jobs that are sent together run together wherever workers are free."""


_current: ContextVar[Session | None] = ContextVar("session", default=None)


def runner_of(mode: Any) -> Runner:
    """Return what runs a primitive's tasks.

    Args:
        mode: a ``QonvergeBackend``, a session or batch, what ``connect`` returns, or None: the session around, or else
            where the environment says.

    Raises:
        TypeError: it is something else.
        NotConfigured: there is no backend, and no simulator is installed.
    """
    if mode is None:
        mode = _current.get()
    if mode is None:
        return connect()
    found = getattr(mode, "runner", mode)
    if not all(callable(getattr(found, name, None)) for name in ("run", "cancel", "info")):
        raise TypeError(
            f"mode is of type {type(mode).__name__}: give a QonvergeBackend, a Session or Batch of qonverge.client, "
            "what qonverge.client.transport.connect.connect(url) returns, or nothing"
        )
    runner: Runner = found
    return runner
