"""One kept-open HTTP connection to a backend server."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import urllib3

from qonverge.client.errors import BackendUnreachable, NotConfigured, TaskFailed
from qonverge.wire.codec import pack, unpack
from qonverge.wire.errors import Cancelled, Draining, NotFound, UnknownCircuit, WireError
from qonverge.wire.messages import BackendInfo, Task, TaskResult

_MSGPACK = "application/msgpack"
_POLL_SECONDS = 20
MOST_TASKS = 32
"""Tasks of one client that are under way at the same time, each on a connection of its own."""
# A backend pod that is replaced is back well within this.
_PATIENCE_SECONDS = 120.0


class Connection:
    """Sends tasks to a backend and waits for their results."""

    def __init__(
        self,
        url: str,
        token: Callable[[], str | None] = lambda: None,
        *,
        patience: float = _PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``token`` is asked before each request, since tokens are renewed; ``patience`` is in seconds."""
        self._url = url.rstrip("/")
        self._token = token
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._pool = urllib3.PoolManager(maxsize=MOST_TASKS, retries=False)
        self._known: set[str] = set()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Connection:
        """Return the connection that a job's environment describes.

        Raises:
            NotConfigured: outside of a job.
        """
        env = os.environ if environment is None else environment
        url = env.get("QONVERGE_BACKEND_URL")
        if not url:
            raise NotConfigured(
                "no backend is known: run the program with `qonverge run` or as a HybridJob, or set "
                "QONVERGE_BACKEND_URL (and QONVERGE_TOKEN) to a backend server's address"
            )
        return cls(url, lambda: read_token(env))

    def run(self, task: Task, cancelled: threading.Event | None = None) -> TaskResult:
        """Send a task and return its result; the event, when set, ends the task wherever it stands.

        A backend that restarts, drains or loses a worker is tried again with the same task for a while.

        Raises:
            TaskFailed: the backend refused the task or failed on it.
            BackendUnreachable: it did not answer for too long.
        """
        deadline = self._clock() + self._patience
        delay = 0.05
        circuits = task.circuits
        known = {digest for digest in circuits if digest in self._known}
        attempt = replace(task, circuits={d: q for d, q in circuits.items() if d not in known})
        while True:
            if cancelled is not None and cancelled.is_set():
                raise TaskFailed(Cancelled("the task was cancelled"))
            try:
                result = self._once(attempt, cancelled)
                if result.error is not None:
                    raise result.error
            except UnknownCircuit:
                if attempt.circuits.keys() == circuits.keys():
                    raise BackendUnreachable("the backend does not keep the circuits that it is sent") from None
                attempt = task
                continue
            except WireError as error:
                if not error.retryable or self._clock() + delay > deadline:
                    raise TaskFailed(error) from None
                # The server keeps the failed task under its id; a new id is a new attempt.
                attempt = replace(task, id=f"{task.id[:200]}.{secrets.token_hex(4)}")
                if isinstance(error, Draining):
                    # The next connection goes to another pod.
                    self._pool.clear()
            except urllib3.exceptions.HTTPError as error:
                if self._clock() + delay > deadline:
                    raise BackendUnreachable(
                        f"the backend at {self._url} has not answered for {self._patience:g} s: {error}"
                    ) from None
                attempt = task
            else:
                self._known.update(circuits)
                return result
            self._sleep(delay)
            delay = min(2.0, delay * 2)

    def cancel(self, identity: str) -> bool:
        """Ask the backend to end a task, and return whether it knows it.

        Raises:
            BackendUnreachable: nobody took the request.
        """
        try:
            url = f"{self._url}/v1/tasks/{identity}"
            return self._pool.request("DELETE", url, headers=self._headers(), timeout=10).status < 400
        except urllib3.exceptions.HTTPError as error:
            raise BackendUnreachable(f"the backend at {self._url} does not answer: {error}") from None

    def info(self) -> BackendInfo:
        """Return what the backend says of itself.

        Raises:
            TaskFailed: it refuses to, for example because of the token.
            BackendUnreachable: it does not answer.
        """
        try:
            answer = _read(self._pool.request("GET", f"{self._url}/v1/backend", headers=self._headers(), timeout=10))
        except urllib3.exceptions.HTTPError as error:
            raise BackendUnreachable(f"the backend at {self._url} does not answer: {error}") from None
        if isinstance(answer.get("error"), dict):
            raise TaskFailed(WireError.from_dict(answer["error"]))
        return BackendInfo.from_dict(answer)

    def _once(self, task: Task, cancelled: threading.Event | None) -> TaskResult:
        url = f"{self._url}/v1/tasks"
        response = self._pool.request(
            "POST",
            f"{url}?wait={_POLL_SECONDS}",
            body=pack(task.to_dict()),
            headers=self._headers(),
            timeout=_POLL_SECONDS + 30,
        )
        accepted = False
        while True:
            answer = _read(response)
            if "state" not in answer:
                known = isinstance(answer.get("error"), dict)
                error = WireError.from_dict(
                    answer["error"] if known else {"message": f"the backend answered with status {response.status}"}
                )
                if accepted and isinstance(error, NotFound):
                    raise _NoAnswer("the server that had the task was replaced") from None
                raise error
            try:
                result = TaskResult.from_dict(answer)
            except (KeyError, TypeError, ValueError):
                raise _NoAnswer(f"status {response.status} and half a result") from None
            if result.done:
                return result
            accepted = True
            if cancelled is not None and cancelled.is_set():
                # The request to cancel went to an earlier attempt's id.
                self.cancel(task.id)
            response = self._pool.request(
                "GET", f"{url}/{task.id}?wait={_POLL_SECONDS}", headers=self._headers(), timeout=_POLL_SECONDS + 30
            )

    def _headers(self) -> dict[str, str]:
        headers = {"content-type": _MSGPACK, "accept": _MSGPACK}
        if token := self._token():
            headers["authorization"] = f"Bearer {token}"
        return headers


class _NoAnswer(urllib3.exceptions.HTTPError):
    """Something between here and the backend answered in its place."""


def _read(response: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    try:
        answer = unpack(response.data)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise _NoAnswer(f"status {response.status} from something that is no backend server")
    return answer


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
