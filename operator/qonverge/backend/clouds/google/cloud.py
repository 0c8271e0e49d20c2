"""Google's Quantum Engine: programs and their jobs, by its API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import urlsplit

from qonverge.backend.clouds.errors import CloudRefused, CredentialsRefused
from qonverge.backend.clouds.google.api import AlreadyThere, Api, NotThere
from qonverge.backend.clouds.google.device import described, moment
from qonverge.backend.clouds.google.options import GoogleOptions
from qonverge.backend.clouds.protocol import RUN_TAG, CloudConfig, CloudState, CloudTask, Device, Rates, Submission
from qonverge.backend.clouds.tags import bounded, short_name
from qonverge.wire.vendor import ENDED_STATES

_STATES: Mapping[str, CloudState] = {
    "STATE_UNSPECIFIED": "Queued",
    "READY": "Queued",
    "RUNNING": "Running",
    "CANCELLING": "Queued",
    "CANCELLED": "Cancelled",
    "SUCCESS": "Completed",
    "FAILURE": "Failed",
}
# Failures that are not for the program's sake.
_PASSING = frozenset(("SYSTEM_ERROR",))
_RUN_CONTEXT = "type.googleapis.com/cirq.google.api.v2.RunContext"
# 160 bits of the key. With all of it an id would have more than the 63 characters that Google's rules for ids allow.
_DIGITS = 40
_LABEL_LENGTH = 63


class GoogleCloud:
    """One processor, for one project."""

    # Google publishes no limits of the engine: these are Qonverge's own choice. To send a job takes two calls.
    rates: ClassVar[Rates] = Rates(submit=5, read=10, batch=1)
    # Programs and jobs have ids of the caller's choice, and each is taken once.
    idempotent: ClassVar[bool] = True
    settle_seconds: ClassVar[float] = 0.0

    def __init__(self, config: CloudConfig, clock: Callable[[], float] = time.time) -> None:
        """Send nothing yet.

        Raises:
            LookupError: the options are none.
        """
        options = self._options = GoogleOptions.read(config.options)
        self._api, self._clock = Api(options.endpoint, config.credentials, config.answered), clock
        host = urlsplit(options.endpoint).hostname or ""
        self._console = "https://console.cloud.google.com/quantum" if host.endswith(".googleapis.com") else ""

    def device(self) -> Device:
        """Return how the processor is; see ``Cloud.device``."""
        options, now = self._options, self._clock()
        processor = self._api.get("GetQuantumProcessor", options.processor_name)
        slots: list[Mapping[str, Any]] = []
        # Who may send jobs may not always see the schedule.
        with suppress(CredentialsRefused, NotThere):
            found = self._api.get(
                "ListQuantumTimeSlots", f"{options.processor_name}/timeSlots", filter=f"end_time > {int(now)}"
            )
            slots = found.get("timeSlots") or []
        try:
            if options.configuration:
                config = self._api.get("GetQuantumProcessorConfig", options.configuration)
                specification, metrics = config["deviceSpecification"], config.get("characterization")
            else:
                specification, metrics = processor["deviceSpec"], self._metrics()
            return described(processor, specification, metrics, slots, options, now)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise CloudRefused(f"Google's description of {options.processor} cannot be read: {error!r}") from None

    def submit(self, key: str, submission: Submission) -> str:
        """Begin a job, in a program of its own, and return its name; see ``Cloud.submit``."""
        options, parent = self._options, f"projects/{self._options.project}"
        program, job = self._names(key)
        with suppress(AlreadyThere):
            # The translator wrote the code as JSON.
            body = f'{{"name": {json.dumps(program)}, "code": {submission.program}}}'
            self._api.post("CreateQuantumProgram", f"{parent}/programs", body)
        selector: dict[str, Any] = {"processor": options.processor_name}
        if options.device_config_name is not None:
            revision = {"snapshotId": options.snapshot_id} if options.snapshot_id else {"runName": options.run_name}
            selector["deviceConfigSelector"] = {**revision, "configAlias": options.device_config_name}
        context = {"@type": _RUN_CONTEXT, "parameterSweeps": [{"repetitions": submission.shots}]}
        with suppress(AlreadyThere):
            asked = {"name": job, "schedulingConfig": {"processorSelector": selector}, "runContext": context}
            if submission.tags:
                asked["labels"] = {_label(name): _value(value) for name, value in submission.tags.items()}
            self._api.post("CreateQuantumJob", f"{program}/jobs", json.dumps(asked))
        return job

    def find(self, keys: Sequence[str], since: float = 0.0) -> Mapping[str, str]:
        """Return the jobs of these keys; see ``Cloud.find``."""
        names = {key: self._names(key)[1] for key in keys}
        return {key: job for key, job in names.items() if self._job(job) is not None}

    def of_run(self, run: str) -> Sequence[str]:
        """Return the names of an attempt's jobs; see ``TaggingCloud.of_run``."""
        label, value, found = _label(RUN_TAG), _value(run), list[str]()
        asked = {"filter": f"labels.{label}:{value}"}
        while True:
            page = self._api.get("ListQuantumJobs", f"projects/{self._options.project}/programs/-/jobs", **asked)
            found += [
                str(job["name"])
                for job in page.get("jobs") or []
                if (job.get("labels") or {}).get(label) == value and _task(job).state not in ENDED_STATES
            ]
            if not page.get("nextPageToken"):
                return found
            asked["pageToken"] = str(page["nextPageToken"])

    def tasks(self, ids: Sequence[str]) -> Mapping[str, CloudTask]:
        """Return how jobs stand; see ``Cloud.tasks``."""
        return {name: _task(job) for name in ids if (job := self._job(name)) is not None}

    def result(self, identity: str) -> str:
        """Return the result of a job, as JSON; see ``Cloud.result``."""
        return json.dumps(self._api.get("GetQuantumResult", f"{identity}/result"))

    def cancel(self, identity: str) -> None:
        """Ask for a job to end; see ``Cloud.cancel``."""
        try:
            self._api.post("CancelQuantumJob", f"{identity}:cancel", "{}")
        except CloudRefused:
            # As it does of one that has ended.
            job = self._job(identity)
            if job is not None and _task(job).state not in ENDED_STATES and _state(job) != "CANCELLING":
                raise

    def link(self, identity: str) -> str:
        """Return the job's page in the console; empty where the API is none of Google's."""
        path = identity.removeprefix(f"projects/{self._options.project}/")
        return self._console and f"{self._console}/{path}?project={self._options.project}"

    def _metrics(self) -> Mapping[str, Any] | None:
        try:
            name = f"{self._options.processor_name}/calibrations/current"
            found: Mapping[str, Any] | None = self._api.get("GetQuantumCalibration", name).get("data")
        except NotThere:
            return None
        return found

    def _job(self, name: str) -> Mapping[str, Any] | None:
        try:
            return self._api.get("GetQuantumJob", name)
        except NotThere:
            return None

    def _names(self, key: str) -> tuple[str, str]:
        """Return the names of the program and of the job of a key."""
        identity = f"qonverge-{key[:_DIGITS]}"
        program = f"projects/{self._options.project}/programs/{identity}"
        return program, f"{program}/jobs/{identity}"


def _label(tag: str) -> str:
    return f"qonverge-{short_name(tag)}"


def _value(text: str) -> str:
    """Return the value of a label: of what Kubernetes' names have, Google allows no dots there."""
    return bounded(text.replace(".", "_"), _LABEL_LENGTH)


def _state(job: Mapping[str, Any]) -> str:
    return str((job.get("executionStatus") or {}).get("state") or "STATE_UNSPECIFIED")


def _task(job: Mapping[str, Any]) -> CloudTask:
    told, status = _state(job), job.get("executionStatus") or {}
    failure, timing = status.get("failure") or {}, status.get("timing") or {}
    state = _STATES.get(told, "Queued")
    words = ": ".join(str(failure[key]) for key in ("errorCode", "errorMessage") if failure.get(key))
    if told not in _STATES or told == "CANCELLING":
        words = f"Google says that it is {told}"
    try:
        started, completed = moment(timing.get("startedTime")), moment(timing.get("completedTime"))
    except ValueError:
        started = completed = None
    return CloudTask(
        state=state,
        message=words,
        retryable=state == "Failed" and failure.get("errorCode") in _PASSING,
        run_seconds=None if started is None or completed is None else max(0.0, completed - started),
    )
