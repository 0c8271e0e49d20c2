"""Kept-open HTTP connections to a backend's servers."""

from __future__ import annotations

import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import urllib3

from qonverge.amounts import TaskLimits
from qonverge.client.errors import BackendUnreachable, NotConfigured, TaskFailed, UntrustedBackend
from qonverge.client.transport.attempts import Attempt, Refusals
from qonverge.client.transport.coalesced_requests import one_piece_pool
from qonverge.client.transport.pod_choice import Pods
from qonverge.client.transport.program_spans import sending
from qonverge.client.transport.step_tasks import STEP_TASKS
from qonverge.client.transport.tokens import read_token, renewal_seconds
from qonverge.client.transport.usage_counts import COUNTS
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.codec import Buffer, pack, unpack
from qonverge.wire.errors import Cancelled, Draining, NotFound, Unauthorized, UnknownCircuit, WireError
from qonverge.wire.messages import Task, TaskResult

_MSGPACK = "application/msgpack"
# An answer above this is read into memory that is there already, a piece at a time, instead of in pieces to be joined.
_PIECE_BYTES = 1024 * 1024
# The first answers come soon: they tell what a vendor calls the task, by which another server goes on with it.
_FIRST_POLL_SECONDS = 1
_POLL_SECONDS = 20
MOST_TASKS = 32
"""Tasks of one client that are under way at the same time, each on a connection of its own."""
# Pods that are asked how busy they are before one is chosen; of more, some are drawn.
_MOST_LOOKED_AT = 8
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
        renewal: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        resolve: Callable[[str, int], list[str]] | None = None,
    ) -> None:
        """Connect when first used.

        Args:
            url: of one server, or with a name that leads to all pods of a backend, as a headless Service's does.
            token: is asked before each request, since tokens are renewed.
            patience: seconds for which a backend that does not answer is tried again.
            renewal: seconds for which one that refuses the token is tried again, since a new token may come.
            clock: seconds, of which only differences count.
            sleep: waits for so many seconds.
            resolve: returns the addresses of a host and port, as numbers.
        """
        self._url = url.rstrip("/")
        # Pods that are reached by their addresses are asked for by their name.
        self._host = urlsplit(self._url).netloc.rpartition("@")[2]
        self._token = token
        self._patience = patience
        self._renewal = renewal
        self._clock = clock
        self._sleep = sleep
        self._pool = one_piece_pool(MOST_TASKS)
        self._resolve = resolve or _addresses
        self._pods = Pods()
        self._places: dict[str, str] = {}
        self._known: set[tuple[str, str]] = set()
        self._attempts: dict[str, Attempt] = {}
        self._simulates = False
        """Whether the backend is known to stand for no device elsewhere."""

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
        return cls(url, lambda: read_token(env), renewal=renewal_seconds(env))

    def run(self, task: Task, cancelled: threading.Event | None = None) -> TaskResult:
        """Send a task and return its result; the event, when set, ends the task wherever it stands.

        A backend that restarts, drains or loses a worker is tried again with the same task for a while, and so is one
        that refuses a token that is renewed. Another call for a task that had no end yet, as after an interrupt, goes
        on with it.

        Raises:
            TaskFailed: the backend refused the task or failed on it.
            BackendUnreachable: it did not answer for too long.
        """
        try:
            with COUNTS.task(), sending(task) as own:
                result = self._run(own, cancelled)
        finally:
            STEP_TASKS.ended(task.id)
        COUNTS.take(result)
        return result

    def _run(self, task: Task, cancelled: threading.Event | None) -> TaskResult:
        deadline = self._clock() + self._patience
        delay, whole = 0.05, False
        attempt = self._attempts[task.id] = self._attempts.get(task.id) or STEP_TASKS.attempt(task)
        refusals = Refusals(self._renewal)
        while True:
            if cancelled is not None and cancelled.is_set():
                raise TaskFailed(Cancelled("the task was cancelled"))
            try:
                result = self._send(task, attempt, cancelled, whole=whole)
                if result.error is not None:
                    attempt.fail()
                    # One that is asked to end hands it back, however long it waited there or ran.
                    deadline = self._clock() + self._patience if isinstance(result.error, Draining) else deadline
                    raise result.error
            except UnknownCircuit:
                if whole:
                    raise BackendUnreachable("the backend does not keep the circuits that it is sent") from None
                whole = True
                continue
            except Unauthorized as error:
                # The task may run on meanwhile, and is found by its id.
                refusals.bear(error, self._clock(), delay)
            except WireError as error:
                if not error.retryable or self._clock() + delay > deadline:
                    self._attempts.pop(task.id, None)
                    raise TaskFailed.of(error) from None
                if isinstance(error, Draining):
                    # The next connection goes to another pod.
                    self._pool.clear()
            except urllib3.exceptions.HTTPError as error:
                if self._clock() + delay > deadline:
                    raise BackendUnreachable(
                        f"the backend at {self._url} has not answered for {self._patience:g} s: {error}"
                    ) from None
            else:
                self._attempts.pop(task.id, None)
                return result
            self._sleep(delay)
            delay = min(2.0, delay * 2)

    def cancel(self, identity: str) -> bool:
        """Ask the backend to end a task, and return whether it knows it.

        Raises:
            BackendUnreachable: nobody took the request.
        """
        try:
            url = f"{self._places.get(identity, self._url)}/v1/tasks/{identity}"
            return self._pool.request("DELETE", url, headers=self._headers(), timeout=10).status < 400
        except urllib3.exceptions.HTTPError as error:
            raise BackendUnreachable(f"the backend at {self._url} does not answer: {error}") from None

    def info(self) -> BackendInfo:
        """Return what the backend says of itself.

        Raises:
            TaskFailed: it refuses to, for example because of the token.
            BackendUnreachable: it does not answer.
        """
        told = self._told_by(self._url)
        # Of several pods one may be about to go.
        others = (place for place, *_ in self._look() if place != self._url) if told.draining else iter(())
        return next((self._told_by(place) for place in others), told)

    def _told_by(self, place: str) -> BackendInfo:
        try:
            answer = _read(self._ask("GET", f"{place}/v1/backend", timeout=10))
        except urllib3.exceptions.HTTPError as error:
            raise BackendUnreachable(f"the backend at {self._url} does not answer: {error}") from None
        if isinstance(answer.get("error"), dict):
            raise TaskFailed(WireError.from_dict(answer["error"]))
        return BackendInfo.from_dict(answer)

    def _send(self, task: Task, attempt: Attempt, cancelled: threading.Event | None, *, whole: bool) -> TaskResult:
        """Send an attempt at a task to the pod with the least to do, with the circuits that it lacks, or ``whole``."""
        if self._pods.stale(self._clock()):
            self._pods.see(self._look())
        place = self._pods.take() or self._url
        missing = {d: qpy for d, qpy in task.circuits.items() if whole or (place, d) not in self._known}
        queue_seconds, lost, identity = 0.0, False, attempt.identity(task)
        self._places[identity] = place
        try:
            if not attempt.again:
                attempt.limits = task.limits or self._limits(place)
            result = self._once(place, replace(attempt.task(task), circuits=missing), attempt, cancelled)
            queue_seconds, lost = result.queue_seconds, isinstance(result.error, Draining)
        except (urllib3.exceptions.HTTPError, Draining):
            lost, self._simulates = True, False
            raise
        finally:
            del self._places[identity]
            self._pods.done(place, queue_seconds=queue_seconds, lost=lost)
        self._known.update((place, digest) for digest in task.circuits)
        return result

    def _limits(self, place: str) -> TaskLimits | None:
        """Return what one task of the device may have that the backend stands for; None: it simulates.

        It is asked for each task, since a device changes it, and a task is the same task by what it was.
        """
        if self._simulates:
            return None
        answer = _read(self._ask("GET", f"{place}/v1/backend?without=calibration", timeout=10))
        if isinstance(answer.get("error"), dict):
            raise WireError.from_dict(answer["error"])
        try:
            info = BackendInfo.from_dict(answer)
        except (KeyError, TypeError, ValueError):
            raise _NoAnswer("half a description of the backend") from None
        if info.device is None:
            self._simulates = bool(info.engine)
            return None
        if not info.engine:
            raise _NoAnswer("the server has not heard of its device yet")
        return info.device.limits

    def _look(self) -> Iterator[tuple[str, int, int]]:
        """Yield each pod that answers: its URL, its workers and the tasks that it has."""
        url = urlsplit(self._url)
        # A certificate is for the name, so that a backend behind TLS is one place.
        addresses = self._resolve(url.hostname or "", url.port or 80) if url.scheme == "http" else []
        places = [f"http://{f'[{each}]' if ':' in each else each}:{url.port or 80}{url.path}" for each in addresses]
        if len(places) < 2:
            # By its address too: the name leads elsewhere as soon as the pod is to end, and what it has stays there.
            yield (places or [self._url])[0], 1, 0
            return
        for place in random.sample(places, min(len(places), _MOST_LOOKED_AT)):
            try:
                answer = _read(self._ask("GET", f"{place}/v1/backend?without=calibration", timeout=2))
            except urllib3.exceptions.HTTPError:
                continue
            if "error" not in answer and not answer["draining"]:
                yield place, answer["workers"], answer["queued"] + answer["running"]

    def _once(self, place: str, task: Task, attempt: Attempt, cancelled: threading.Event | None) -> TaskResult:
        url, wait = f"{place}/v1/tasks", _FIRST_POLL_SECONDS
        body = pack(task.to_dict())
        # From here on it may be there, however this ends, but where it was refused.
        attempt.again = True
        try:
            response = self._ask("POST", f"{url}?wait={wait}", timeout=wait + 30, body=body)
        except urllib3.exceptions.NewConnectionError:
            attempt.again = task.again
            raise
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
                attempt.again = task.again or accepted
                raise error
            try:
                result = TaskResult.from_dict(answer)
            except (KeyError, TypeError, ValueError):
                raise _NoAnswer(f"status {response.status} and half a result") from None
            if result.done:
                return result
            accepted = True
            attempt.hear(result)
            if cancelled is not None and cancelled.is_set():
                # The request to cancel went to an earlier attempt's id.
                self.cancel(task.id)
            wait = min(_POLL_SECONDS, wait * 2)
            response = self._ask("GET", f"{url}/{task.id}?wait={wait}", timeout=wait + 30)

    def _ask(self, method: str, url: str, *, timeout: float, body: bytes | None = None) -> urllib3.BaseHTTPResponse:
        """Return the response, whose content is still to be read.

        Raises:
            UntrustedBackend: to ask again would not help.
        """
        COUNTS.exchange(sent=len(body or b""))
        try:
            return self._pool.request(
                method, url, body=body, headers=self._headers(), timeout=timeout, preload_content=False
            )
        except urllib3.exceptions.SSLError as error:
            if not isinstance(cause := error.args[0], ssl.SSLCertVerificationError):
                raise
            raise UntrustedBackend(
                f"{self._url} has a certificate that this machine does not trust ({cause.verify_message}): name the "
                "file of its authority in SSL_CERT_FILE"
            ) from None

    def _headers(self) -> dict[str, str]:
        headers = {"content-type": _MSGPACK, "accept": _MSGPACK, "host": self._host}
        if token := self._token():
            headers["authorization"] = f"Bearer {token}"
        return headers


class _NoAnswer(urllib3.exceptions.HTTPError):
    """Something between here and the backend answered in its place."""


def _read(response: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    content = _content(response)
    COUNTS.exchange(received=len(content))
    try:
        answer = unpack(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise _NoAnswer(f"status {response.status} from something that is no backend server")
    return answer


def _content(response: urllib3.BaseHTTPResponse) -> Buffer:
    length = response.headers.get("content-length", "")
    if not length.isdigit() or int(length) <= _PIECE_BYTES:
        return response.read()
    content = bytearray(int(length))
    have = 0
    with memoryview(content) as view:
        while have < len(content):
            piece = response.read(min(_PIECE_BYTES, len(content) - have))
            if not piece:
                raise _NoAnswer(f"{have} of {length} bytes of the answer came")
            view[have : have + len(piece)] = piece
            have += len(piece)
    # Its end is seen by reading once more, which gives the connection back.
    response.read()
    return content


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
