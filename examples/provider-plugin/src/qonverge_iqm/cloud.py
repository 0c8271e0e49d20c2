"""IQM's service: jobs by the API of IQM Server, version 1.

It is called by HTTP: iqm-client pins other versions of Qiskit and pydantic than Qonverge runs with. What is sent and
read is what its models say. The API has no idempotency key, and no call that lists jobs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

import urllib3

from qonverge.backend.clouds.errors import (
    CannotFind,
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    CredentialsRefused,
    ReplyLost,
)
from qonverge.backend.clouds.protocol import CloudConfig, CloudState, CloudTask, Device, Rates, Submission
from qonverge.wire.vendor import ENDED_STATES
from qonverge_iqm.device import Facts, described
from qonverge_iqm.options import IqmOptions

TOKEN = "IQM_TOKEN"  # noqa: S105 - the name of a variable
_STATES: Mapping[str, CloudState] = {
    "waiting": "Queued",
    "processing": "Running",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
_LONGEST_TAG = 50
_MOST_WORDS = 1000
# No connection came about, so that nothing was sent.
_NOT_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
    urllib3.exceptions.SSLError,
)


class NotThere(CloudRefused):
    """IQM knows no such job or document."""


class IqmCloud:
    """One quantum computer, with the rights of one token."""

    # IQM publishes no figures; it answers 429 beyond its limit.
    rates: ClassVar[Rates] = Rates(submit=2, read=5, batch=1)
    idempotent: ClassVar[bool] = False
    # Nothing is found, however long one waits.
    settle_seconds: ClassVar[float] = 0.0

    def __init__(self, config: CloudConfig, clock: Callable[[], float] = time.time) -> None:
        """Set the client up; nothing is sent yet.

        Raises:
            LookupError: the options are none.
        """
        self._options = IqmOptions.read(config.options)
        self._folder = Path(config.credentials) if config.credentials else None
        self._clock, self._answered = clock, config.answered
        self._computer = quote(self._options.quantum_computer, safe="")
        timeout = urllib3.Timeout(connect=10, read=60)
        self._pool = urllib3.PoolManager(retries=False, maxsize=16, timeout=timeout)
        self._settings: tuple[str, Mapping[str, Any]] = ("", {})

    def device(self) -> Device:
        """Return how the quantum computer is; see ``Cloud.device``."""
        own, name = f"quantum-computers/{self._computer}", self._options.quantum_computer
        health, limits, queue = (
            self._read("GET", f"{own}/{path}") for path in ("health", "limits", "queue-availability")
        )
        sets = f"calibration-sets/{self._computer}"
        gates = self._read("GET", f"{sets}/default/dynamic-quantum-architecture")
        try:
            identity = str(gates["calibration_set_id"])
            settings = self._calibration_set(identity)
            try:
                metrics = self._read("GET", f"{sets}/{quote(identity, safe='')}/metrics")
            except NotThere:
                # They are measured after it was calibrated.
                metrics = None
            facts = Facts(name, health, limits, queue, gates, metrics, settings)
            return described(facts, self._clock(), in_timeslots=self._options.use_timeslot)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CloudRefused(f"IQM's description of {name} cannot be read: {error!r}") from None

    def _calibration_set(self, identity: str) -> Mapping[str, Any]:
        """Return a calibration set, which is large and never changes."""
        if self._settings[0] != identity:
            path = f"calibration-sets/{self._computer}/{quote(identity, safe='')}"
            self._settings = (identity, self._read("GET", path))
        return self._settings[1]

    def submit(self, key: str, submission: Submission) -> str:
        """Begin a job and return its id; see ``Cloud.submit``."""
        asked = {"tag": _tag(key)} | ({"use_timeslot": "true"} if self._options.use_timeslot else {})
        path = f"jobs/{self._computer}/circuit?{urlencode(asked)}"
        reply = self._read("POST", path, submission.program.encode())
        if not isinstance(reply.get("id"), str):
            raise ReplyLost("IQM's reply to a new job has no id")
        return str(reply["id"])

    def find(self, keys: Sequence[str], since: float = 0.0) -> Mapping[str, str]:
        """Raise: the API has no call that lists jobs; see ``Cloud.find``."""
        tags = ", ".join(map(_tag, keys))
        raise CannotFind(
            f"IQM's API does not list jobs: look in its dashboard for the job of {self._options.quantum_computer} with "
            f"the tag {tags}"
        )

    def tasks(self, ids: Sequence[str]) -> Mapping[str, CloudTask]:
        """Return how jobs stand; see ``Cloud.tasks``."""
        found = {}
        for identity in ids:
            try:
                found[identity] = _task(self._read("GET", f"jobs/{quote(identity, safe='')}"))
            except NotThere:
                continue
        return found

    def result(self, identity: str) -> str:
        """Return the measurements of a job; see ``Cloud.result``."""
        return self._ask("GET", f"jobs/{quote(identity, safe='')}/artifacts/measurements").decode("utf-8", "replace")

    def cancel(self, identity: str) -> None:
        """Ask for a job to end; see ``Cloud.cancel``."""
        try:
            self._ask("POST", f"jobs/{quote(identity, safe='')}/cancel")
        except CloudRefused:
            # As it does of one that has ended.
            task = self.tasks([identity]).get(identity)
            if task is not None and task.state not in ENDED_STATES:
                raise

    def link(self, identity: str) -> str:
        """Return nothing: IQM does not document where its dashboard shows a job."""
        return ""

    def _read(self, method: str, path: str, body: bytes | None = None) -> Mapping[str, Any]:
        """Return the object that a call answers with."""
        try:
            told = json.loads(self._ask(method, path, body))
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise ReplyLost(f"IQM, {_shown(method, path)}: the answer is no JSON object")
        return told

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Return what a call answers, and raise what goes wrong as a fault of the cloud."""
        token, doing = self._token(), f"IQM, {_shown(method, path)}"
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", "User-Agent": "qonverge-iqm"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        began = time.monotonic()
        try:
            response = self._pool.request(
                method, f"{self._options.server}/api/v1/{path}", body=body, headers=headers, redirect=False
            )
            status, data = response.status, response.data
        except _NOT_SENT as error:
            raised: CloudError = CloudUnavailable(f"{doing}: no connection: {type(error).__name__}")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raised = ReplyLost(f"{doing}: no reply: {type(error).__name__}")
        else:
            if status < 300:
                self._answered(time.monotonic() - began)
                return data
            raised = _refusal(status, data, response.headers.get("retry-after", ""), doing, token)
        # Outside of the handler, so that no traceback shows the request.
        raise raised

    def _token(self) -> str:
        """Return the token as it is now."""
        if self._folder is None:
            found = os.environ.get(TOKEN, "")
            where = "the pod's environment"
        else:
            where = "the Secret"
            try:
                found = (self._folder / TOKEN).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                found = ""
        if not found or not found.isprintable():
            raise CredentialsRefused(f"{where} has no {TOKEN}: IQM's dashboard gives API tokens")
        return found


def _refusal(status: int, data: bytes, after: str, doing: str, token: str) -> CloudError:
    """Return what an answer without success means."""
    code, words = "", data.decode("utf-8", "replace")
    try:
        told = json.loads(data)
        code, words = str(told.get("error_code") or ""), str(told.get("message") or told.get("detail") or words)
    except (ValueError, AttributeError):
        pass
    said = f"{doing}: {code or status}: {words}".replace(token, "***")[:_MOST_WORDS]
    if status == 429:
        return CloudBusy(said, float(after) if after.isdigit() else None)
    if status == 401 or (status == 403 and code in ("forbidden", "not_enough_credits", "")):
        return CredentialsRefused(said)
    if code == "quota_exceeded":
        return CloudBusy(said)
    if code == "no_booked_timeslots":
        return CloudUnavailable(said)
    if status == 404:
        return NotThere(said)
    # A server that fails, or one in front of it, may have done it before.
    return ReplyLost(said) if status >= 500 or status == 408 else CloudRefused(said)


def _task(job: Mapping[str, Any]) -> CloudTask:
    status = str(job.get("status"))
    errors = [str(own.get("message")) for own in job.get("errors") or ()]
    known = _STATES.get(status)
    place, milliseconds = job.get("queue_position"), job.get("runtime_ms")
    return CloudTask(
        state=known or "Queued",
        message="; ".join(errors) if known else f"IQM says that it is {status}",
        # It counts the jobs before this one.
        queue_position=place + 1 if known == "Queued" and isinstance(place, int) else None,
        run_seconds=milliseconds / 1000 if isinstance(milliseconds, int) else None,
    )


def _tag(key: str) -> str:
    return key[:_LONGEST_TAG]


def _shown(method: str, path: str) -> str:
    return f"{method} {path.partition('?')[0]}"
