"""Amazon Braket's service: tasks by its API, results from S3.

It is called through botocore, which boto3's clients are made of. The SDK of Braket would take 198 MiB and 1.6 s of CPU
in the server for the same five requests, where the two clients take 38 MiB and 0.3 s (measured); the documents of
amazon-braket-schemas are read as plain JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import urlsplit

from botocore.config import Config

from qonverge.amounts import Money
from qonverge.backend.clouds.braket.credentials import SecretFolder, session_with
from qonverge.backend.clouds.braket.device import described, number
from qonverge.backend.clouds.braket.errors import RAISED, NotThere, cloud_error
from qonverge.backend.clouds.braket.options import BraketOptions
from qonverge.backend.clouds.braket.program_sets import read_set
from qonverge.backend.clouds.errors import CloudError, CloudRefused, ReplyLost
from qonverge.backend.clouds.protocol import (
    RUN_TAG,
    CloudConfig,
    CloudState,
    CloudTask,
    Device,
    ProgramFailure,
    Rates,
    Submission,
)
from qonverge.wire.vendor import ENDED_STATES

KEY_TAG = "qonverge.io/key"
"""Tag of each task with its key, so that it can be found by it."""
_PROGRAM = {"name": "braket.ir.openqasm.program", "version": "1"}
_PROGRAM_SET = {"name": "braket.ir.openqasm.program_set", "version": "1"}
_STATES: Mapping[str, CloudState] = {
    "CREATED": "Queued",
    "QUEUED": "Queued",
    "RUNNING": "Running",
    "COMPLETED": "Completed",
    "FAILED": "Failed",
    "CANCELLING": "Queued",
    "CANCELLED": "Cancelled",
}
# What Braket says where the fault was not the program's.
_PASSING = re.compile(r"internal|temporar|try again|unavailable|offline|timed? ?out", re.IGNORECASE)
# Tasks that are older are not looked for.
_LOOK_BACK = timedelta(days=30)
# Of tasks whose results nobody reads, such as those that ended before they were cancelled, some are kept.
_MOST_FOLDERS = 10_000
_AMAZON = (".amazonaws.com", ".api.aws")


class BraketCloud:
    """One device of Amazon Braket, with the rights of one account."""

    # Half of what an account may call in a region by default, since others use it too: CreateQuantumTask 20 a second,
    # GetQuantumTask 100, CancelQuantumTask 2 ("Amazon Braket Quotas" of the developer guide, read on 2026-11-30).
    # GetQuantumTask is taken for each task, since SearchQuantumTasks takes ten ids in a call, five times a second, and
    # tells neither a task's place in the queue nor why it failed.
    rates: ClassVar[Rates] = Rates(submit=10, read=50, batch=1, cancel=1)
    idempotent: ClassVar[bool] = True
    # SearchQuantumTasks lists a task somewhat after it was created.
    settle_seconds: ClassVar[float] = 60.0

    def __init__(self, config: CloudConfig, clock: Callable[[], float] = time.time) -> None:
        """Set the clients up; nothing is sent yet.

        Raises:
            LookupError: the options are none, or no region is known.
        """
        options = self._options = BraketOptions.read(config.options)
        self._clock, self._answered = clock, config.answered
        folder = SecretFolder(config.credentials) if config.credentials else None
        session = session_with(folder)
        given = options.region or options.device_region or (folder and folder.region)
        self._region = str(given or os.environ.get("AWS_REGION") or session.get_config_variable("region") or "")
        if not self._region:
            raise LookupError(
                f"the region of {options.device_name} is not known: its ARN names none, so say it in region"
            )
        # That of the service that gives a workload identity its credentials.
        session.set_config_variable("region", self._region)
        self._session = session
        self._connect()
        host = urlsplit(self._braket.meta.endpoint_url).hostname or ""
        self._console = f"https://{self._region}.console.aws.amazon.com" if host.endswith(_AMAZON) else ""
        # Where the results are of tasks that a poll found complete, until they are read.
        self._folders: dict[str, tuple[str, str]] = {}

    def _connect(self) -> None:
        """Make the clients, with the credentials that there are: without a Secret, none may be there yet."""
        self._credentials = self._session.get_credentials()
        options = self._options
        common = Config(
            # The executor knows what may be sent again.
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=16,
            region_name=self._region,
            user_agent_extra="qonverge",
        )
        self._braket = self._session.create_client("braket", endpoint_url=options.endpoint, config=common)
        # Servers under an address of their own know no host for each bucket.
        style = {"addressing_style": "path"} if options.s3_endpoint else {}
        self._s3 = self._session.create_client(
            "s3", endpoint_url=options.s3_endpoint, config=common.merge(Config(s3=style))
        )

    def device(self) -> Device:
        """Return how the device is; see ``Cloud.device``."""
        if self._credentials is None:
            self._connect()
        reply = self._call("GetDevice", self._braket.get_device, "deviceCapabilities", deviceArn=self._options.device)
        try:
            return described(reply, self._options, self._clock())
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise CloudRefused(f"Braket's description of {self._options.device} cannot be read: {error!r}") from None

    def submit(self, key: str, submission: Submission) -> str:
        """Begin a task and return its ARN; see ``Cloud.submit``."""
        return self._create(key, submission.shots, submission.tags, _program(submission))

    def submit_set(self, key: str, submissions: Sequence[Submission]) -> str:
        """Begin a task of several programs and return its ARN; see ``ProgramSetCloud.submit_set``.

        Source: ``braket.ir.openqasm.program_set``, version 1, of amazon-braket-schemas. The shots of a task are those
        of all its programs, and are divided equally.
        """
        shots = {each.shots for each in submissions}
        if len(shots) != 1:
            raise CloudRefused(f"the programs of a set have as many shots each, and these have {sorted(shots)}")
        action = {"braketSchemaHeader": _PROGRAM_SET, "programs": list(_programs(submissions))}
        return self._create(key, shots.pop() * len(submissions), submissions[0].tags, action)

    def _create(self, key: str, shots: int, tags: Mapping[str, str], action: Mapping[str, Any]) -> str:
        options = self._options
        request: dict[str, Any] = {
            "clientToken": key,
            "deviceArn": options.device,
            "shots": shots,
            "outputS3Bucket": options.bucket,
            "outputS3KeyPrefix": options.prefix,
            "action": json.dumps(action),
            "tags": {KEY_TAG: key, **tags},
        }
        if options.reservation:
            request["associations"] = [{"arn": options.reservation, "type": "RESERVATION_TIME_WINDOW_ARN"}]
        reply = self._call("CreateQuantumTask", self._braket.create_quantum_task, "quantumTaskArn", **request)
        return str(reply["quantumTaskArn"])

    def find(self, keys: Sequence[str], since: float = 0.0) -> Mapping[str, str]:
        """Return the ARNs of tasks of these keys, of the last 30 days; see ``Cloud.find``."""
        wanted, found = frozenset(keys), dict[str, str]()
        for task in self._search():
            if (key := _tag(task, KEY_TAG)) in wanted:
                found[key] = task["quantumTaskArn"]
                if len(found) == len(wanted):
                    break
        return found

    def of_run(self, run: str) -> Sequence[str]:
        """Return the ARNs of an attempt's tasks, of the last 30 days; see ``TaggingCloud.of_run``."""
        return [
            task["quantumTaskArn"]
            for task in self._search()
            if _tag(task, RUN_TAG) == run and _STATES.get(str(task["status"]), "Queued") not in ENDED_STATES
        ]

    def _search(self) -> Iterator[Mapping[str, Any]]:
        """Yield the device's tasks of the last 30 days, as Braket lists them."""
        since = datetime.fromtimestamp(self._clock(), UTC) - _LOOK_BACK
        filters = [
            {"name": "deviceArn", "operator": "EQUAL", "values": [self._options.device]},
            {"name": "createdAt", "operator": "GTE", "values": [since.strftime("%Y-%m-%dT%H:%M:%SZ")]},
        ]
        more = dict[str, str]()
        while True:
            search = self._braket.search_quantum_tasks
            reply = self._call("SearchQuantumTasks", search, "quantumTasks", filters=filters, maxResults=100, **more)
            yield from reply["quantumTasks"]
            if "nextToken" not in reply:
                return
            more = {"nextToken": reply["nextToken"]}

    def tasks(self, ids: Sequence[str]) -> Mapping[str, CloudTask]:
        """Return how tasks stand; see ``Cloud.tasks``."""
        found = {}
        for arn in ids:
            reply = self._task(arn, "QueueInfo")
            if reply is not None:
                found[arn] = _task(reply)
                if found[arn].state == "Completed" and len(self._folders) < _MOST_FOLDERS:
                    self._folders[arn] = _folder(reply)
        return found

    def result(self, identity: str) -> str:
        """Return the ``results.json`` of a task; see ``Cloud.result``."""
        return self._object(self._folder(identity), "results.json")

    def results(self, identity: str) -> Sequence[str | ProgramFailure]:
        """Return the result of each program of a set with each of its inputs; see ``ProgramSetCloud.results``."""
        bucket, folder = found = self._folder(identity)
        try:
            return read_set(lambda name: self._object(found, name))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CloudRefused(f"the results in s3://{bucket}/{folder} cannot be read: {error!r}") from None

    def _folder(self, identity: str) -> tuple[str, str]:
        """Return the bucket and the folder in which a task's results are: Braket is asked where no poll told."""
        if (known := self._folders.pop(identity, None)) is not None:
            return known
        task = self._task(identity)
        if task is None:
            raise CloudRefused(f"Braket knows no task {identity}")
        return _folder(task)

    def _object(self, folder: tuple[str, str], name: str) -> str:
        bucket, key = folder[0], f"{folder[1]}/{name}"
        doing = f"the result s3://{bucket}/{key}"
        reply = self._call(doing, self._s3.get_object, Bucket=bucket, Key=key)
        text: bytes = self._call(doing, reply["Body"].read)
        return text.decode("utf-8", "replace")

    def cancel(self, identity: str) -> None:
        """Ask for a task to end; see ``Cloud.cancel``."""
        try:
            self._call("CancelQuantumTask", self._braket.cancel_quantum_task, quantumTaskArn=identity)
        except CloudRefused:
            # As it does of one that has ended.
            task = self._task(identity)
            if task is not None and _task(task).state not in ENDED_STATES and task["status"] != "CANCELLING":
                raise

    def link(self, identity: str) -> str:
        """Return the task's page in the console; empty where the API is none of Amazon's."""
        return self._console and f"{self._console}/braket/home?region={self._region}#/tasks/{identity}"

    def _task(self, arn: str, *attributes: str) -> Mapping[str, Any] | None:
        """Return what Braket says of a task; None where there is none."""
        more = {"additionalAttributeNames": list(attributes)} if attributes else {}
        try:
            reply: Mapping[str, Any] = self._call(
                "GetQuantumTask", self._braket.get_quantum_task, "status", quantumTaskArn=arn, **more
            )
        except NotThere:
            return None
        return reply

    def _call(self, doing: str, call: Callable[..., Any], needed: str = "", **given: Any) -> Any:
        """Return what a call returns, and raise what it raises as a fault of the cloud.

        Args:
            doing: what it is called in messages.
            call: of botocore.
            needed: what the reply must have. botocore takes any text with a good status for an answer, such as the
                page of a proxy in between.
            given: what to call with.
        """
        began = time.monotonic()
        try:
            reply = call(**given)
            if not needed:
                return reply
            if needed in reply:
                # Braket has, and not S3.
                self._answered(time.monotonic() - began)
                return reply
            found: CloudError = ReplyLost(f"Braket, {doing}: the answer has no {needed}")
        except RAISED as error:
            found = cloud_error(error, f"Braket, {doing}", self._secrets())
        # Outside of the handler, so that no traceback shows the request that was signed.
        raise found

    def _secrets(self) -> tuple[str, ...]:
        with suppress(*RAISED):
            frozen = self._credentials and self._credentials.get_frozen_credentials()
            return tuple(value for value in frozen or () if value)
        return ()


def _program(submission: Submission) -> dict[str, Any]:
    own = {"braketSchemaHeader": _PROGRAM, "source": submission.program}
    return {**own, "inputs": dict(submission.inputs)} if submission.inputs else own


def _programs(submissions: Sequence[Submission]) -> Iterator[dict[str, Any]]:
    """Yield the programs of a set: one for those beside each other that differ in their inputs alone."""
    for (_, has_inputs), alike in itertools.groupby(submissions, lambda each: (each.program, bool(each.inputs))):
        own = list(alike)
        if has_inputs:
            inputs = {name: [each.inputs[name] for each in own] for name in own[0].inputs}
            yield {**_program(own[0]), "inputs": inputs}
        else:
            yield from map(_program, own)


def _folder(task: Mapping[str, Any]) -> tuple[str, str]:
    return str(task["outputS3Bucket"]), str(task["outputS3Directory"])


def _tag(task: Mapping[str, Any], name: str) -> str:
    return str((task.get("tags") or {}).get(name, ""))


def _task(reply: Mapping[str, Any]) -> CloudTask:
    status, queue = str(reply["status"]), reply.get("queueInfo") or {}
    state, words = _STATES.get(status, "Queued"), str(reply.get("failureReason") or "")
    if status not in _STATES or status == "CANCELLING":
        words = f"Braket says that it is {status}"
    return CloudTask(
        state=state,
        message=words,
        retryable=state == "Failed" and bool(_PASSING.search(words)),
        queue_position=number(queue.get("position")) if state == "Queued" else None,
        # As the cost tracking of Braket's SDK has it; of what completed, Braket does not tell the cost.
        billed=Money(Decimal(0)) if state in ("Failed", "Cancelled") else None,
    )
