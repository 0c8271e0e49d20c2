"""Where tasks run: a server that is named, the job's backend, or this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Protocol

from qonverge.client.transport.connection import Connection
from qonverge.client.transport.embedded import Embedded
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.messages import Task, TaskResult


class Runner(Protocol):
    """Takes tasks and returns their results."""

    def run(self, task: Task, cancelled: threading.Event | None = None) -> TaskResult:
        """Return the task's result; the event ends the task.

        Raises:
            ClientError: saying why there is none.
        """

    def cancel(self, identity: str) -> bool:
        """Ask for the end of a task, and return whether it is known."""

    def info(self) -> BackendInfo:
        """Return what runs the tasks."""


def connect(
    url: str | None = None, token: str | None = None, *, environment: Mapping[str, str] | None = None
) -> Runner:
    """Return what runs tasks.

    That is the server at ``url``, to which ``token`` is shown; without a URL the backend that the environment names, as
    it does inside a job (``QONVERGE_BACKEND_URL``, ``QONVERGE_TOKEN_FILE`` or ``QONVERGE_TOKEN``); and without that the
    simulator in this process, so that the same script works in a notebook.

    Raises:
        NotConfigured: there is no backend, and no simulator is installed.
    """
    if url is not None:
        return Connection(url, lambda: token)
    if (os.environ if environment is None else environment).get("QONVERGE_BACKEND_URL"):
        return Connection.from_environment(environment)
    return Embedded()
