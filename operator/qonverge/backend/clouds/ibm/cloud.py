"""IBM Quantum's service: jobs, batches and sessions by its REST API.

IBM has no key that makes a repeated request safe. A job's tags have its key, by which it is found.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from qonverge.backend.clouds.errors import CloudBusy, CloudRefused, CloudUnavailable, ReplyLost
from qonverge.backend.clouds.ibm.access import Access, NotThere
from qonverge.backend.clouds.ibm.device import described
from qonverge.backend.clouds.ibm.options import IBMOptions
from qonverge.backend.clouds.protocol import RUN_TAG, CloudConfig, CloudState, CloudTask, Device, Rates, Submission
from qonverge.backend.clouds.tags import bounded, short_name
from qonverge.wire.vendor import ENDED_STATES

TAG = "qonverge"
"""Tag of all jobs. The second one is the key, and the others say for whom a job runs, such as ``run-5f0c.1``."""
# IBM publishes no limit for tags: none is longer than the key, and they have letters of Kubernetes' names only.
_TAG_LENGTH = 64
_PAGE = 200
_STATES: Mapping[str, CloudState] = {
    "queued": "Queued",
    "initializing": "Queued",
    "running": "Running",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
# Of a job that ran for longer than it may.
_TOO_LONG = 1305
# What IBM says where the fault was not the program's.
_PASSING = re.compile(r"internal|temporar|try again|unavailable|offline|maintenance", re.IGNORECASE)
# A session that is about to end takes no more jobs.
_LEAST_LEFT = 30.0


class IBMCloud:
    """One device of IBM Quantum, with the rights of one instance."""

    # IBM publishes no limits of its API; those are what people report as safe.
    rates: ClassVar[Rates] = Rates(submit=1, read=5, batch=1)
    idempotent: ClassVar[bool] = False
    # How far the list of jobs lags is not published.
    settle_seconds: ClassVar[float] = 30.0

    def __init__(self, config: CloudConfig, clock: Callable[[], float] = time.time) -> None:
        """Set it up; nothing is sent yet.

        Raises:
            LookupError: the options are none, or no instance is known.
        """
        options = self._options = IBMOptions.read(config.options)
        self._access, self._clock = Access(options, config.credentials, clock, config.answered), clock
        self._backend = f"/backends/{options.backend}"
        self._console = "" if urlsplit(options.endpoint or "https:").hostname else "https://quantum.cloud.ibm.com"
        self._opening = threading.Lock()
        self._session, self._session_until = "", 0.0

    def device(self) -> Device:
        """Return how the device is; see ``Cloud.device``."""
        name, read = self._options.backend, self._access.read_json
        status = read("the status", f"{self._backend}/status")
        configuration = read("the configuration", f"{self._backend}/configuration")
        properties = read("the properties", f"{self._backend}/properties")
        try:
            return described(name, status, configuration, properties)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CloudRefused(f"IBM's description of {name} cannot be read: {error!r}") from None

    def submit(self, key: str, submission: Submission) -> str:
        """Begin a job and return its id; see ``Cloud.submit``."""
        options = self._options
        head: dict[str, Any] = {
            "backend": options.backend,
            "tags": [TAG, key, *(_tag(name, value) for name, value in submission.tags.items())],
        }
        if options.max_execution_time is not None:
            head["cost"] = options.max_execution_time
        session = "" if options.mode == "Job" else self._in_session()
        if session:
            head["session_id"] = session
        # The program is an object too, and long: it is neither read nor written anew here.
        body = f"{json.dumps(head)[:-1]}, {submission.program.lstrip()[1:]}"
        try:
            reply = self._access.send("POST", "a new job", "/jobs", body)
        except CloudRefused as error:
            if session and self._has_ended(session):
                raise CloudBusy(f"the {options.mode.lower()} has ended, and another one begins: {error}") from None
            raise
        if not reply.get("id"):
            raise ReplyLost("IBM Quantum, a new job: the answer has no id")
        return str(reply["id"])

    def find(self, keys: Sequence[str], since: float = 0.0) -> Mapping[str, str]:
        """Return the ids of the jobs of these keys; see ``Cloud.find``."""
        found: dict[str, str] = {}
        for key in keys:
            for job in self._jobs(key, limit="2"):
                # A service that passes over the filter must not give another task's job.
                if key in (job.get("tags") or ()):
                    found.setdefault(key, str(job["id"]))
        return found

    def of_run(self, run: str) -> Sequence[str]:
        """Return the ids of an attempt's jobs; see ``TaggingCloud.of_run``.

        Where jobs end while pages are read, the others move up, and the next call finds those that were passed over.
        """
        tag, listed, found = _tag(RUN_TAG, run), set[str](), list[str]()
        while True:
            page = self._jobs(tag, pending="true", limit=str(_PAGE), offset=str(len(listed)))
            new = {str(job["id"]): job for job in page if str(job["id"]) not in listed}
            if not new:
                return found
            listed |= new.keys()
            for identity, job in new.items():
                if tag in (job.get("tags") or ()) and _task(job, {}).state not in ENDED_STATES:
                    found.append(identity)

    def _jobs(self, tag: str, **query: str) -> Sequence[Mapping[str, Any]]:
        """Return a page of the jobs with a tag, the oldest first."""
        reply = self._access.read_json("the jobs", "/jobs", tags=tag, sort="ASC", exclude_params="true", **query)
        jobs = reply.get("jobs")
        if not isinstance(jobs, Sequence):
            raise ReplyLost("IBM Quantum, the jobs: the answer has no jobs")
        return jobs

    def tasks(self, ids: Sequence[str]) -> Mapping[str, CloudTask]:
        """Return how jobs stand; see ``Cloud.tasks``."""
        found = {}
        for identity in ids:
            job = self._job(identity)
            if job is not None:
                task = _task(job, {})
                queued = task.state == "Queued"
                found[identity] = _task(job, self._metrics(identity)) if queued else task
        return found

    def result(self, identity: str) -> str:
        """Return the result of a job, in the SDK's JSON; see ``Cloud.result``."""
        text = self._access.read("the result", f"/jobs/{quote(identity, safe='')}/results")
        if not text.strip():
            raise ReplyLost(f"IBM Quantum: job {identity} has no result yet")
        return text

    def cancel(self, identity: str) -> None:
        """Ask for a job to end; see ``Cloud.cancel``."""
        try:
            self._access.send("POST", "cancelling", f"/jobs/{quote(identity, safe='')}/cancel")
        except CloudRefused:
            # As it does of one that has ended.
            job = self._job(identity)
            if job is not None and _task(job, {}).state not in ENDED_STATES:
                raise

    def link(self, identity: str) -> str:
        """Return the job's place in the console; empty where the API is none of IBM's."""
        return self._console and f"{self._console}/workloads?search={quote(identity, safe='')}"

    def _job(self, identity: str) -> Mapping[str, Any] | None:
        try:
            return self._access.read_json("a job", f"/jobs/{quote(identity, safe='')}", exclude_params="true")
        except NotThere:
            return None

    def _metrics(self, identity: str) -> Mapping[str, Any]:
        """Return what IBM says of a job's place in the queue."""
        try:
            return self._access.read_json("a job's metrics", f"/jobs/{quote(identity, safe='')}/metrics")
        except CloudRefused:
            return {}

    def _in_session(self) -> str:
        """Return the batch or session for the next job: the one that is open, or a new one."""
        with self._opening:
            if self._session and self._clock() < self._session_until:
                return self._session
            options = self._options
            mode = "batch" if options.mode == "Batch" else "dedicated"
            asked: dict[str, Any] = {"mode": mode, "backend": options.backend, "instance": self._access.instance}
            if options.max_ttl is not None:
                asked["max_ttl"] = options.max_ttl
            try:
                reply = self._access.send("POST", f"a new {options.mode.lower()}", "/sessions", json.dumps(asked))
            except ReplyLost as error:
                # No job was sent, and a session without jobs costs nothing and ends by itself.
                raise CloudUnavailable(str(error)) from None
            if not reply.get("id"):
                raise CloudUnavailable(f"IBM Quantum, a new {options.mode.lower()}: the answer has no id")
            told = reply.get("max_ttl")
            lasts = told if isinstance(told, int | float) else options.max_ttl
            self._session = str(reply["id"])
            # Its time begins with its first job, so this is no later than its end.
            self._session_until = float("inf") if lasts is None else self._clock() + max(0.0, lasts - _LEAST_LEFT)
            return self._session

    def _has_ended(self, session: str) -> bool:
        """Say whether a session takes no more jobs, and forget it then."""
        try:
            reply = self._access.read_json("a session", f"/sessions/{quote(session, safe='')}")
            ended = not reply.get("accepting_jobs", True) or reply.get("state") == "closed"
        except NotThere:
            ended = True
        with self._opening:
            if ended and self._session == session:
                self._session = ""
        return ended


def _tag(name: str, value: str) -> str:
    return bounded(f"{short_name(name)}-{value}", _TAG_LENGTH)


def _task(job: Mapping[str, Any], metrics: Mapping[str, Any]) -> CloudTask:
    told = job.get("state") or {}
    status = str(told.get("status") or job.get("status") or "")
    words = str(told.get("reason") or "")
    code = told.get("reason_code") or told.get("reasonCode")
    state = _STATES.get(status.split(" ", maxsplit=1)[0].lower(), "Queued")
    if status.split(" ", maxsplit=1)[0].lower() not in _STATES:
        words = f"IBM says that it is {status}"
    if state == "Cancelled" and code == _TOO_LONG:
        state, words = "Failed", words or "it ran for longer than it may"
    busy, expected = (job.get("usage") or {}).get("quantum_seconds"), job.get("estimated_running_time_seconds")
    return CloudTask(
        state=state,
        message=f"{code}: {words}" if code and words else words,
        retryable=state == "Failed" and code != _TOO_LONG and bool(_PASSING.search(words)),
        queue_position=_whole(metrics.get("position_in_queue")) if state == "Queued" else None,
        expected_start=_moment(metrics.get("estimated_start_time")) if state == "Queued" else None,
        run_seconds=float(busy) if state in ENDED_STATES and isinstance(busy, int | float) else None,
        expected_seconds=float(expected) if isinstance(expected, int | float) else None,
    )


def _whole(given: Any) -> int | None:
    return int(given) if isinstance(given, int | float) and given >= 0 else None


def _moment(given: Any) -> float | None:
    """Return Unix seconds of a time, which is UTC where it names no zone."""
    try:
        time_ = datetime.fromisoformat(str(given))
    except ValueError:
        return None
    return (time_ if time_.tzinfo is not None else time_.replace(tzinfo=UTC)).timestamp()
