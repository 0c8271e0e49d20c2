"""IonQ's service: jobs by its REST API v0.4.

IonQ has no idempotency key. Each job carries ours in its metadata, and is found by it.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

from qonverge.amounts import Money
from qonverge.backend.clouds.errors import CloudError, CloudRefused, CloudUnavailable, ReplyLost
from qonverge.backend.clouds.ionq.api import IonqApi, NotThere
from qonverge.backend.clouds.ionq.device import described
from qonverge.backend.clouds.ionq.options import SERVICE, IonqOptions
from qonverge.backend.clouds.protocol import RUN_TAG, CloudConfig, CloudState, CloudTask, Device, Rates, Submission
from qonverge.backend.clouds.tags import bounded, short_name
from qonverge.wire.vendor import ENDED_STATES

KEY_FIELD = "qonverge_key"
"""Field of each job's metadata with its key."""
_STATES: Mapping[str, CloudState] = {
    "submitted": "Queued",
    "ready": "Queued",
    "started": "Running",
    "completed": "Completed",
    "failed": "Failed",
    "canceled": "Cancelled",
}
# Of failures: those that are not the program's fault.
_PASSING = frozenset(("InternalError", "QuantumComputerError", "SystemCancel"))
# Jobs that are older are not looked for.
_LOOK_BACK = 30 * 86400.0
# Between the clocks of those who say since when a job may be there, and IonQ's.
_MARGIN = 86400.0
_PAGE = 100
# Of a field of metadata.
_MOST = 400
# In the order in which jobs come into them.
_OPEN = tuple(status for status, state in _STATES.items() if state not in ENDED_STATES)
_DOLLARS = "usd"


class IonqCloud:
    """One device of IonQ, with the rights of one API key."""

    # IonQ publishes no limits. A call of ``tasks`` is one request, and one more for each QPU job that has just ended.
    rates: ClassVar[Rates] = Rates(submit=5, read=10, batch=25)
    idempotent: ClassVar[bool] = False
    settle_seconds: ClassVar[float] = 30.0

    def __init__(self, config: CloudConfig, clock: Callable[[], float] = time.time) -> None:
        """Nothing is sent yet.

        Raises:
            LookupError: the options are none.
        """
        self._options = options = IonqOptions.read(config.options)
        self._clock = clock
        self._api = IonqApi(options.endpoint, config.credentials, config.answered)
        self._known = _KnownJobs()
        self._characterization: Mapping[str, Any] | None = None

    def device(self) -> Device:
        """Return how the device is; see ``Cloud.device``."""
        options = self._options
        backend = self._api.get("backend", f"/backends/{options.backend}", "status", "qubits")
        session = None
        if options.session is None:
            # Backends are public: this tells whether the key is good.
            self._api.get("whoami", "/whoami", "key_id")
        else:
            session = self._api.get("session", f"/sessions/{options.session}", "active")
        identity = backend.get("characterization_id")
        if identity is None:
            self._characterization = None
        elif self._characterization is None or self._characterization.get("id") != identity:
            path = f"/backends/{options.backend}/characterizations/{identity}"
            self._characterization = self._api.get("characterization", path, "id")
        try:
            return described(backend, self._characterization, session, options)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CloudRefused(f"IonQ's description of {options.backend} cannot be read: {error!r}") from None

    def submit(self, key: str, submission: Submission) -> str:
        """Begin a job and return its id; see ``Cloud.submit``."""
        options, tags = self._options, {_field(name): bounded(value, _MOST) for name, value in submission.tags.items()}
        body = self._job_of(submission) | {"name": f"qonverge {key[:12]}", "metadata": {KEY_FIELD: key, **tags}}
        if options.session is not None:
            body["session_id"] = options.session
        return self._create(body)

    def rehearse(self, submission: Submission) -> Money | None:
        """Have IonQ check and price a job that it does not run; see ``RehearsingCloud.rehearse``.

        Source: ``dry_run`` of ``POST /jobs`` and ``GET /jobs/{id}/cost`` of API v0.4.
        """
        if self._options.simulated:
            # The simulator takes no notice of dry_run: it would run the job, which is free.
            return Money(Decimal(0))
        identity = self._create(self._job_of(submission) | {"name": "qonverge validate", "dry_run": True})
        try:
            (job,) = self._api.get("job", "/jobs", "jobs", query=[("ids", identity), ("limit", "1")])["jobs"] or [{}]
            if failure := job.get("failure"):
                raise CloudRefused(f"IonQ would not run it: {_words(failure)}")
            return self._cost(identity, "estimated_cost")
        finally:
            # It is of no use to anybody, and lists are read page by page.
            with contextlib.suppress(CloudError):
                self._api.delete("delete job", f"/jobs/{identity}")

    def _job_of(self, submission: Submission) -> dict[str, Any]:
        options = self._options
        body: dict[str, Any] = {
            "type": "ionq.circuit.v1",
            "backend": options.backend,
            "shots": submission.shots,
            "input": json.loads(submission.program),
        }
        if options.noise_model is not None:
            body["noise"] = {"model": options.noise_model}
        if options.debiasing is not None:
            body["settings"] = {"error_mitigation": {"debiasing": options.debiasing}}
        return body

    def _create(self, body: Mapping[str, Any]) -> str:
        if self._options.limit is not None:
            self._keep_to(self._options.limit, body)
        return str(self._api.post("create job", "/jobs", body, "id")["id"])

    def find(self, keys: Sequence[str], since: float = 0.0) -> Mapping[str, str]:
        """Return the ids of jobs of these keys, of the last 30 days; see ``Cloud.find``.

        IonQ lists jobs, the newest first, and has no filter by metadata or time. So no more is listed than may have
        them, what was listed is remembered, and only what may have come since is asked for.
        """
        with self._known.lock:
            began = self._clock()
            oldest = max(since - _MARGIN, began - _LOOK_BACK)
            complete = self._known.since <= oldest
            first = max(self._known.until - 2 * self.settle_seconds, oldest) if complete else oldest
            heard: dict[str, tuple[str, float]] = {}
            for job in self._listed():
                made = _moment(job)
                if made < first:
                    break
                if (key := _metadata(job).get(KEY_FIELD)) is not None:
                    heard[key] = (str(job["id"]), made)
            self._known.add(heard, min(oldest, self._known.since), began, began - _LOOK_BACK)
            return self._known.of(keys)

    def of_run(self, run: str) -> Sequence[str]:
        """Return the ids of an attempt's jobs; see ``TaggingCloud.of_run``."""
        wanted, found = bounded(run, _MOST), dict[str, None]()
        for status in _OPEN:
            for job in self._listed(status=status):
                if _metadata(job).get(_field(RUN_TAG)) == wanted and job["status"] in _OPEN:
                    found[str(job["id"])] = None
        return list(found)

    def _listed(self, **query: str) -> Iterator[Mapping[str, Any]]:
        """Yield the device's jobs, the newest first."""
        asked = {"target": self._options.backend, "limit": str(_PAGE), **query}
        while True:
            page = self._api.get("list jobs", "/jobs", "jobs", "next", query=list(asked.items()))
            yield from page["jobs"]
            if not page["next"]:
                return
            asked["next"] = str(page["next"])

    def tasks(self, ids: Sequence[str]) -> Mapping[str, CloudTask]:
        """Return how jobs stand; see ``Cloud.tasks``."""
        query = [*(("ids", identity) for identity in ids), ("limit", str(len(ids)))]
        jobs = self._api.get("jobs", "/jobs", "jobs", query=query)["jobs"]
        wanted = frozenset(ids)
        return {str(job["id"]): self._task(job) for job in jobs if str(job["id"]) in wanted}

    def result(self, identity: str) -> str:
        """Return a job's relative frequencies, with its id; see ``Cloud.result``."""
        found = self._api.get("result", f"/jobs/{identity}/results/probabilities")
        return json.dumps({"id": identity, "probabilities": found})

    def cancel(self, identity: str) -> None:
        """Ask for a job to end; see ``Cloud.cancel``."""
        try:
            self._api.put("cancel job", f"/jobs/{identity}/status/cancel")
        except CloudRefused:
            # As it does of one that has ended.
            task = self.tasks((identity,)).get(identity)
            if task is not None and task.state not in ENDED_STATES:
                raise

    def link(self, identity: str) -> str:
        """Return the job's page in IonQ's console; empty where the API is none of IonQ's."""
        return f"https://cloud.ionq.com/jobs/{identity}" if self._options.endpoint == SERVICE else ""

    def _task(self, job: Mapping[str, Any]) -> CloudTask:
        status, failure = str(job["status"]), job.get("failure") or {}
        state, wait = _STATES.get(status, "Queued"), job.get("predicted_wait_time_ms")
        ran = job.get("execution_duration_ms")
        words = _words(failure)
        return CloudTask(
            state,
            words if status in _STATES else f"IonQ says that it is {status}",
            retryable=state == "Failed" and failure.get("code") in _PASSING,
            expected_start=self._clock() + wait / 1000 if wait is not None and state == "Queued" else None,
            billed=self._billed(str(job["id"])) if state in ENDED_STATES else None,
            run_seconds=ran / 1000 if ran is not None and state in ENDED_STATES else None,
        )

    def _billed(self, identity: str) -> Money | None:
        """Return what a job that has ended costs; None: IonQ does not tell, or not yet."""
        return Money(Decimal(0)) if self._options.simulated else self._cost(identity, "cost")

    def _cost(self, identity: str, which: str) -> Money | None:
        try:
            cost = self._api.get("job cost", f"/jobs/{identity}/cost").get(which)
        except NotThere:
            return None
        # Some contracts count credits, which are no money.
        return _dollars(cost["value"]) if cost and str(cost["unit"]).lower() == _DOLLARS else None

    def _keep_to(self, limit: Decimal, body: Mapping[str, Any]) -> None:
        """Refuse a job that would cost more, by IonQ's estimate, before it is sent.

        Raises:
            CloudRefused: it would, or the estimate is not in dollars.
        """
        gates = body["input"]["circuit"]
        pairs = sum("targets" in gate or "control" in gate for gate in gates)
        query = [
            ("backend", body["backend"]),
            ("type", body["type"]),
            ("qubits", str(body["input"]["qubits"])),
            ("shots", str(body["shots"])),
            ("1q_gates", str(len(gates) - pairs)),
            ("2q_gates", str(pairs)),
            # With fewer shots than it takes IonQ leaves it out: the higher price is no harm.
            ("error_mitigation", str(self._options.debiasing is not False).lower()),
        ]
        try:
            found = self._api.get("estimate", "/jobs/estimate", query=query)
        except ReplyLost as error:
            # The job was not sent.
            raise CloudUnavailable(str(error)) from None
        unit = str(found.get("estimated_unit", found.get("cost_unit"))).lower()
        cost = found.get("estimated_total_cost", found.get("estimated_cost"))
        estimate = None if cost is None else _dollars(cost)
        if unit != _DOLLARS or estimate is None:
            raise CloudRefused(
                f"IonQ estimates what a job costs in {unit}, and costLimit is in US dollars: leave costLimit out"
            )
        if estimate.amount > limit:
            raise CloudRefused(
                f"IonQ estimates {estimate} for this task of {body['shots']} shots, {len(gates) - pairs} gates on one "
                f"qubit and {pairs} on two, and costLimit is {Money(limit)}: give fewer shots, or raise the limit"
            )


class _KnownJobs:
    """Jobs with keys that were listed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.since, self.until = math.inf, 0.0
        """All jobs are known that were made between: ``until`` is when jobs were last listed."""
        self._ids: dict[str, tuple[str, float]] = {}

    def add(self, heard: Mapping[str, tuple[str, float]], since: float, until: float, oldest: float) -> None:
        """Add ids, with when their jobs were made, and drop those that are older than wanted."""
        kept = {key: known for key, known in self._ids.items() if known[1] >= oldest}
        self._ids, self.since, self.until = {**kept, **heard}, since, until

    def of(self, keys: Sequence[str]) -> dict[str, str]:
        return {key: self._ids[key][0] for key in keys if key in self._ids}


def _words(failure: Mapping[str, Any]) -> str:
    return ": ".join(str(failure[name]) for name in ("code", "message") if failure.get(name))


def _field(tag: str) -> str:
    return f"qonverge_{short_name(tag)}"


def _metadata(job: Mapping[str, Any]) -> Mapping[str, Any]:
    return job.get("metadata") or {}


def _moment(job: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(str(job["submitted_at"])).timestamp()


def _dollars(value: Any) -> Money | None:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return Money(amount) if amount.is_finite() and amount >= 0 else None
