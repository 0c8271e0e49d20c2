"""What each operation of IonQ does."""

from __future__ import annotations

import threading
import uuid
from typing import Any

from qonverge_dev_cloud import simulation
from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.ionq.backends import NAMESPACE, Backends, moment
from qonverge_dev_cloud.ionq.catalogue import NOISE_MODELS, Backend
from qonverge_dev_cloud.ionq.circuits import counts
from qonverge_dev_cloud.ionq.errors import Refused
from qonverge_dev_cloud.ionq.jobs import CreateJob, CreateSession, EstimateQuery, Job, ListQuery, Session
from qonverge_dev_cloud.ionq.results import probabilities
from qonverge_dev_cloud.scenario import Scenario
from qonverge_dev_cloud.work import ENDED

# Whose all is.
_ACCOUNT = "dev-cloud"


class IonqService:
    """All state of the cloud, for calls from several threads."""

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self._seed, self._clock = scenario.seed, clock
        self._lock = threading.RLock()
        self.backends = Backends(scenario, clock, self._lock)
        self._jobs: dict[str, Job] = {}
        self._deleted: set[str] = set()
        self._sessions: dict[str, Session] = {}

    def whoami(self) -> dict[str, str]:
        """Return whose key it is."""
        return {"key_id": _ACCOUNT, "key_name": _ACCOUNT, "project_id": _ACCOUNT}

    # Jobs

    def create_job(self, request: CreateJob) -> dict[str, Any]:
        """Make a job.

        Raises:
            Refused: the backend, or the session, does not take it.
        """
        offered = self.backends.find(request.backend, 400)
        backend, gates = offered.backend, counts(request.input)
        if offered.scenario.retired:
            raise Refused(400, "BadRequestError", f"{backend.name} is retired")
        noisy = self._errors(backend, request) is not None
        widest = simulation.WIDEST_NOISY if noisy else simulation.WIDEST_EXACT
        if request.input.width > backend.width:
            raise Refused(400, "BadRequestError", f"{request.input.width} qubits: {backend.name} has {backend.width}")
        if request.input.width > widest:
            raise Refused(
                400,
                "BadRequestError",
                f"{request.input.width} qubits: dev-cloud simulates up to {widest}{' with errors' if noisy else ''}",
            )
        mitigated = request.settings.error_mitigation.debiasing
        estimate = backend.rates.cost(gates.single, gates.pairs, request.shots, mitigated=mitigated)
        with self._lock:
            now = self._clock.now()
            session = None if request.session_id is None else self._session(request.session_id)
            if session is not None:
                if session.request.backend != backend.name:
                    raise Refused(400, "BadRequestError", f"the session is for {session.request.backend}")
                if (refusal := session.refusal(estimate, now)) is not None:
                    raise Refused(400, "BadRequestError", refusal)
            queue = offered.queue
            number = len(queue.work) + 1
            start, end = queue.next_times(now, request.shots)
            failing = offered.scenario.failing
            failed = failing is not None and failing.selects(number, f"{self._seed}/fail/{backend.name}")
            job = Job(
                id=str(uuid.uuid5(NAMESPACE, f"{self._seed}/{backend.name}/{number}")),
                number=number,
                shots=request.shots,
                created=now,
                start=start,
                end=end,
                failure=failing.reason if failing is not None and failed else None,
                backend=backend,
                request=request,
                gates=gates,
                estimate=estimate,
            )
            queue.work.append(job)
            self._jobs[job.id] = job
            if session is not None:
                session.jobs.append(job)
        return {"id": job.id, "status": "submitted", "session_id": request.session_id}

    def job(self, job_id: str) -> dict[str, Any]:
        """Return all of a job."""
        with self._lock:
            return self._described(self._job(job_id), self._clock.now()) | {"child_job_ids": None}

    def list_jobs(self, asked: ListQuery) -> dict[str, Any]:
        """Return jobs, the newest first, in pages."""
        with self._lock:
            now, newest = self._clock.now(), list(reversed(self._jobs.values()))
            if asked.next is not None:
                # Pages go on where the last one ended, whatever became of its jobs meanwhile.
                newest = newest[newest.index(self._known(asked.next)) + 1 :]
            found = [
                own
                for own in newest
                if own.id not in self._deleted
                and (not asked.ids or own.id in asked.ids)
                and asked.status in (None, own.status(now))
                and (asked.target is None or own.backend.name in asked.target.split(","))
                and asked.session_id in (None, own.request.session_id)
            ]
            page = found[: asked.limit]
            more = page[-1].id if len(found) > asked.limit else None
            return {"jobs": [self._described(own, now) for own in page], "next": more}

    def probabilities(self, job_id: str) -> dict[str, float]:
        """Return the outcomes of a job that completed; bit k of a key is qubit k."""
        with self._lock:
            job = self._job(job_id)
            if job.status(self._clock.now()) != "completed" or job.request.dry_run:
                raise Refused(404, "NotFoundError", f"job {job_id} has no results")
            return job.probabilities

    def cost(self, job_id: str) -> dict[str, Any]:
        """Return what a job costs."""
        with self._lock:
            job = self._job(job_id)
            return {
                "dry_run": job.request.dry_run,
                "estimated_cost": {"unit": "usd", "value": job.estimate},
                "cost": {"unit": "usd", "value": job.cost(self._clock.now())},
            }

    def cancel(self, job_id: str) -> tuple[dict[str, Any], bool]:
        """Cancel a job; return the reply, and whether it changed anything."""
        with self._lock:
            job, now = self._job(job_id), self._clock.now()
            if job.phase(now) in ENDED and job.cancelled is None:
                raise Refused(409, "ConflictError", f"job {job_id} is {job.status(now)}")
            effect = job.cancelled is None
            if effect:
                self.backends.of(job).queue.cancel(job, now)
            return {"id": job.id, "status": "canceled"}, effect

    def delete(self, job_id: str) -> dict[str, Any]:
        """Forget a job; one that has not ended is cancelled."""
        with self._lock:
            job, now = self._job(job_id), self._clock.now()
            if job.phase(now) not in ENDED and job.cancelled is None:
                self.backends.of(job).queue.cancel(job, now)
            self._deleted.add(job.id)
            return {"id": job.id, "status": "deleted"}

    def estimate(self, asked: EstimateQuery) -> dict[str, Any]:
        """Return what a job would cost, and when it would run."""
        offered = self.backends.find(asked.backend, 400)
        rates, run, mitigated = offered.backend.rates, offered.scenario.run, asked.error_mitigation
        with self._lock:
            now = self._clock.now()
            start, _ = offered.queue.next_times(now, asked.shots)
        return {
            "input_values": asked.model_dump(by_alias=True, exclude={"session"}),
            "estimated_at": moment(now),
            "cost_unit": "usd",
            "rate_information": {
                "organization": _ACCOUNT,
                "job_cost_minimum": rates.least_mitigated if mitigated else rates.least,
                "cost_1q_gate": rates.single,
                "cost_2q_gate": rates.pair,
            },
            "estimated_cost": rates.cost(asked.single, asked.pairs, asked.shots, mitigated=mitigated),
            "estimated_execution_time": run.seconds + asked.shots * run.per_shot,
            "current_predicted_queue_time": start - now,
        }

    def _described(self, job: Job, now: float) -> dict[str, Any]:
        request, status = job.request, job.status(now)
        started = None if job.withdrawn or now < job.start else job.start
        done = job.ended(now) if status == "completed" else None
        waits = status == "ready"
        results = {"probabilities": {"url": f"/v0.4/jobs/{job.id}/results/probabilities"}}
        return {
            "id": job.id,
            "status": status,
            "type": request.type,
            "backend": job.backend.name,
            "dry_run": request.dry_run,
            "submitter_id": _ACCOUNT,
            "project_id": _ACCOUNT,
            "parent_job_id": None,
            "session_id": request.session_id,
            "metadata": dict(request.metadata),
            "name": request.name,
            "submitted_at": moment(job.created),
            "started_at": None if started is None else moment(started),
            "completed_at": None if done is None else moment(done),
            "predicted_execution_duration_ms": round(1000 * (job.end - job.start)),
            "predicted_wait_time_ms": round(1000 * (job.start - now)) if waits else None,
            "execution_duration_ms": None if done is None else round(1000 * (job.end - job.start)),
            "shots": job.shots,
            "noise": {"model": request.noise.model},
            "failure": {"code": "QuantumComputerError", "message": job.failure} if status == "failed" else None,
            "settings": request.settings.model_dump(),
            "stats": {
                "qubits": request.input.width,
                "circuits": 1,
                "gate_counts": {"1q": job.gates.single, "2q": job.gates.pairs},
            },
            "results": results if status == "completed" and not request.dry_run else None,
            "output": {},
        }

    def _job(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None or job_id in self._deleted:
            raise Refused(404, "NotFoundError", f"no job {job_id}")
        return job

    def _known(self, token: str) -> Job:
        if token not in self._jobs:
            raise Refused(400, "BadRequestError", f"next is none that a list gave: {token!r}")
        return self._jobs[token]

    # Sessions

    def create_session(self, request: CreateSession) -> dict[str, Any]:
        """Make a session."""
        self.backends.find(request.backend, 400)
        with self._lock:
            name = f"{self._seed}/session/{len(self._sessions) + 1}"
            session = Session(id=str(uuid.uuid5(NAMESPACE, name)), request=request, created=self._clock.now())
            self._sessions[session.id] = session
            return self._told(session)

    def session(self, session_id: str) -> dict[str, Any]:
        """Return a session."""
        with self._lock:
            return self._told(self._session(session_id))

    def sessions(self) -> dict[str, Any]:
        """Return all sessions."""
        with self._lock:
            told = [self._told(own) for own in self._sessions.values()]
        return {"organization_id": _ACCOUNT, "sessions": told}

    def end_session(self, session_id: str) -> tuple[dict[str, Any], bool]:
        """End a session; return the reply, and whether it changed anything."""
        with self._lock:
            session, now = self._session(session_id), self._clock.now()
            effect = session.active(now)
            if effect:
                session.ended = now
            return self._told(session), effect

    def _session(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise Refused(404, "NotFoundError", f"no session {session_id}")
        return session

    def _told(self, session: Session) -> dict[str, Any]:
        now, limit = self._clock.now(), session.request.settings.duration_limit_min
        active = session.active(now)
        ended = session.ended
        if not active and ended is None and limit is not None:
            ended = session.created + 60 * limit
        started = min((job.start for job in session.jobs if job.start <= now), default=None)
        return {
            "id": session.id,
            "created_at": moment(session.created),
            "organization_id": _ACCOUNT,
            "project_id": _ACCOUNT,
            "creator_id": _ACCOUNT,
            "backend": session.request.backend,
            "active": active,
            "status": "ended" if not active else "created" if started is None else "started",
            "started_at": None if started is None else moment(started),
            "ended_at": None if ended is None else moment(ended),
            "ender_id": None if session.ended is None else _ACCOUNT,
            "settings": session.request.settings.model_dump(exclude_none=True)
            | ({} if limit is None else {"expires_at": moment(session.created + 60 * limit)}),
        }

    # What the backends do

    def _errors(self, backend: Backend, request: CreateJob) -> Backend | None:
        """Return whose errors a job has."""
        if backend.kind == "QPU":
            return backend if self.backends.find(backend.name, 400).scenario.noise else None
        if request.noise.model not in NOISE_MODELS:
            known = ", ".join(NOISE_MODELS)
            raise Refused(400, "BadRequestError", f"no noise model {request.noise.model!r}: use {known}")
        return NOISE_MODELS[request.noise.model]

    def unready(self) -> list[Job]:
        """Return what has no result and was not cancelled."""
        with self._lock:
            return [own for own in self._jobs.values() if not own.ready and own.cancelled is None]

    def carry_out(self, job: Job) -> None:
        """Run a job; on a simulator without errors it has exact probabilities."""
        if job.failure is None and not job.request.dry_run:
            try:
                errors = self._errors(job.backend, job.request)
                calibrated = None if errors is None else self.backends.calibration(errors, job.start)
                job.probabilities = probabilities(job, calibrated, self._seed)
            except Exception as error:
                job.failure = f"{type(error).__name__}: {error}"
        with self._lock:
            job.ready = True

    def tasks(self) -> list[dict[str, Any]]:
        """Return what the cloud has of each job, and what it costs, as JSON has it."""
        with self._lock:
            now = self._clock.now()
            return [
                {
                    "id": own.id,
                    "device": own.backend.name,
                    "status": own.status(now),
                    "created": own.created - self._clock.start,
                    "start": own.start - self._clock.start,
                    "end": own.end - self._clock.start,
                    "shots": own.shots,
                    "cost": own.cost(now),
                    "currency": "USD",
                    "tags": dict(own.request.metadata),
                }
                for own in self._jobs.values()
            ]
