"""What each operation of IBM Quantum does."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.ibm.backends import Backends, moment
from qonverge_dev_cloud.ibm.errors import Refused
from qonverge_dev_cloud.ibm.jobs import CreateJob, CreateSession, Job, ListQuery, Session
from qonverge_dev_cloud.scenario import Scenario
from qonverge_dev_cloud.work import ENDED

NAMESPACE = uuid.UUID("d2b0a7d1-3f0e-4b7e-9f3c-6f0a3f4f9a51")


class IBMService:
    """All state of the cloud, for calls from several threads."""

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self._seed, self._clock = scenario.seed, clock
        self._lock = threading.RLock()
        self.backends = Backends(scenario, clock, self._lock)
        self._jobs: dict[str, Job] = {}
        self._deleted: set[str] = set()
        self._sessions: dict[str, Session] = {}

    # Jobs

    def create_job(self, request: CreateJob) -> dict[str, Any]:
        """Make a job.

        Raises:
            Refused: the device, or the session, does not take it.
        """
        # Qiskit takes a second, which programs of other clouds do not wait for.
        from qonverge_dev_cloud.ibm.programs import check, read

        offered = self.backends.find(request.backend, 400)
        if offered.scenario.retired:
            raise Refused(400, f"{request.backend} is retired", 1233)
        program = read(request.program_id, request.params)
        check(program, offered.device.configuration, noisy=offered.scenario.noise)
        with self._lock:
            now = self._clock.now()
            session = None if request.session_id is None else self._session(request.session_id, 400)
            if session is not None:
                if session.request.backend != request.backend:
                    raise Refused(400, f"the session is for {session.request.backend}", 1216)
                if not session.accepts(now):
                    raise Refused(409, "the session is closed", 1217)
            queue = offered.queue
            number = len(queue.work) + 1
            start, end = queue.next_times(now, program.shots)
            too_long = request.cost is not None and end - start > request.cost
            if too_long and request.cost is not None:
                end = start + request.cost
            failing = offered.scenario.failing
            failed = failing is not None and failing.selects(number, f"{self._seed}/fail/{request.backend}")
            job = Job(
                id=uuid.uuid5(NAMESPACE, f"{self._seed}/{request.backend}/{number}").hex[:20],
                number=number,
                shots=program.shots,
                created=now,
                start=start,
                end=end,
                failure=failing.reason if failing is not None and failed else None,
                request=request,
                program=program,
                tags=list(request.tags),
                too_long=too_long,
            )
            queue.work.append(job)
            self._jobs[job.id] = job
            if session is not None:
                session.jobs.append(job)
        return {"id": job.id, "backend": request.backend, "session_id": request.session_id, "private": request.private}

    def job(self, job_id: str, *, params: bool) -> dict[str, Any]:
        """Return a job, with what was sent or without."""
        with self._lock:
            found = self._job(job_id)
            more = {"params": found.request.params} if params else {}
            return self._described(found, self._clock.now()) | more

    def list_jobs(self, asked: ListQuery, tags: Sequence[str]) -> dict[str, Any]:
        """Return jobs that have all these tags, in pages."""
        with self._lock:
            now = self._clock.now()
            found = [
                own
                for own in self._jobs.values()
                if own.id not in self._deleted
                and set(tags) <= set(own.tags)
                and asked.backend in (None, own.request.backend)
                and asked.program in (None, own.request.program_id)
                and asked.session_id in (None, own.request.session_id)
                and (asked.pending is None or asked.pending == (own.status(now) in ("Queued", "Running")))
                and (asked.created_after is None or own.created >= _seconds(asked.created_after))
                and (asked.created_before is None or own.created <= _seconds(asked.created_before))
            ]
            if asked.sort == "DESC":
                found.reverse()
            page = found[asked.offset : asked.offset + asked.limit]
            jobs = [self._described(own, now) for own in page]
        return {"jobs": jobs, "count": len(found), "limit": asked.limit, "offset": asked.offset}

    def result(self, job_id: str) -> str:
        """Return what a job gave: its result, or why there is none; empty while it has not ended."""
        with self._lock:
            job, now = self._job(job_id), self._clock.now()
            status = job.status(now)
            if status == "Completed":
                return job.result
            return job.reason(now)[0] or status if status in ("Failed", "Cancelled") else ""

    def metrics(self, job_id: str) -> dict[str, Any]:
        """Return times and usage of a job, and its place in the queue while it waits."""
        with self._lock:
            job, now = self._job(job_id), self._clock.now()
            ended, busy = job.ended(now), round(job.seconds_done(now), 6)
            waits = job.status(now) == "Queued"
            offered = self.backends.find(job.request.backend)
            return {
                "timestamps": {
                    "created": moment(job.created),
                    "running": moment(job.start) if now >= job.start and not job.withdrawn else None,
                    "finished": None if ended is None else moment(ended),
                },
                "bss": {"seconds": busy},
                "usage": {
                    "status": "pending" if ended is None else "final",
                    "quantum_seconds": busy,
                    "seconds": busy,
                    "qpu_charge_time_seconds": busy,
                },
                "position_in_queue": offered.queue.position(job, now) if waits else None,
                "estimated_start_time": moment(job.start) if waits else None,
                "estimated_completion_time": moment(job.end) if waits else None,
            }

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; return whether it changed anything.

        Raises:
            Refused: it has ended.
        """
        with self._lock:
            job, now = self._job(job_id), self._clock.now()
            if job.status(now) not in ("Queued", "Running"):
                raise Refused(409, f"job {job_id} is {job.status(now)}", 1238)
            self.backends.find(job.request.backend).queue.cancel(job, now)
            return True

    def delete(self, job_id: str) -> bool:
        """Forget a job; one that has not ended is cancelled."""
        with self._lock:
            job, now = self._job(job_id), self._clock.now()
            if job.phase(now) not in ENDED and job.cancelled is None:
                self.backends.find(job.request.backend).queue.cancel(job, now)
            self._deleted.add(job_id)
            return True

    def set_tags(self, job_id: str, tags: Sequence[str]) -> bool:
        """Give a job other tags."""
        with self._lock:
            self._job(job_id).tags = list(tags)
            return True

    def _described(self, job: Job, now: float) -> dict[str, Any]:
        request, (reason, code) = job.request, job.reason(now)
        status, busy = job.status(now), round(job.seconds_done(now), 6)
        return {
            "id": job.id,
            "backend": request.backend,
            "status": status,
            "state": {"status": status, "reason": reason, "reason_code": code},
            "program": {"id": request.program_id},
            "created": moment(job.created),
            "usage": {"quantum_seconds": busy, "seconds": busy},
            "estimated_running_time_seconds": round(job.end - job.start, 6),
            "cost": request.cost,
            "session_id": request.session_id,
            "tags": job.tags,
            "private": request.private,
        }

    def _job(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None or job_id in self._deleted:
            raise Refused(404, f"no job {job_id}", 1291)
        return job

    # Sessions and batches

    def create_session(self, request: CreateSession) -> dict[str, Any]:
        """Make a session or a batch."""
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

    def close(self, session_id: str, *, cancel: bool) -> bool:
        """Let a session take no more jobs, and cancel those that have not ended if wanted."""
        with self._lock:
            session, now = self._session(session_id), self._clock.now()
            session.closed = now if session.closed is None else session.closed
            for job in session.jobs if cancel else ():
                if job.status(now) in ("Queued", "Running"):
                    self.backends.find(job.request.backend).queue.cancel(job, now)
            return True

    def _session(self, session_id: str, status: int = 404) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise Refused(status, f"no session {session_id}", 1218)
        return session

    def _told(self, session: Session) -> dict[str, Any]:
        now, request = self._clock.now(), session.request
        begun, accepts = session.begun, session.accepts(now)
        open_ = any(job.status(now) in ("Queued", "Running") for job in session.jobs)
        begun = begun if begun is not None and begun <= now else None
        return {
            "id": session.id,
            "mode": request.mode,
            "backend_name": request.backend,
            "state": "closed" if not accepts and not open_ else "open" if begun is None else "active",
            "state_reason": None,
            "accepting_jobs": accepts,
            "max_ttl": request.max_ttl,
            "active_ttl": request.max_ttl if begun is None else max(0, int(begun + request.max_ttl - now)),
            "interactive_ttl": 60,
            "started_at": None if begun is None else moment(begun),
            "activated_at": None if begun is None else moment(begun),
            "closed_at": None if session.closed is None else moment(session.closed),
            "last_job_started": None,
            "last_job_completed": None,
            "elapsed_time": 0 if begun is None else int((session.closed or now) - begun),
        }

    # What the devices do

    def unready(self) -> list[Job]:
        """Return what has no result and was not cancelled."""
        with self._lock:
            return [own for own in self._jobs.values() if not own.ready and own.cancelled is None]

    def carry_out(self, job: Job) -> None:
        """Run a job."""
        from qonverge_dev_cloud.ibm.programs import run

        if job.failure is None and not job.too_long:
            name = job.request.backend
            noisy = self.backends.find(name).scenario.noise
            seed = uuid.uuid5(NAMESPACE, f"{self._seed}/{job.id}").int % 2**31
            try:
                job.result = run(job.program, self.backends.properties_at(name, job.start) if noisy else None, seed)
            except Exception as error:
                # Aer and the SDK raise whatever Python does.
                job.failure = f"{type(error).__name__}: {error}"
        with self._lock:
            job.ready = True

    def seconds_used(self) -> float:
        """Return for how long devices were busy with jobs."""
        with self._lock:
            now = self._clock.now()
            return round(sum(own.seconds_done(now) for own in self._jobs.values()), 6)

    def tasks(self) -> list[dict[str, Any]]:
        """Return what the cloud has of each job, and what it costs, as JSON has it."""
        with self._lock:
            now, start = self._clock.now(), self._clock.start
            return [
                {
                    "id": own.id,
                    "device": own.request.backend,
                    "status": own.status(now),
                    "created": own.created - start,
                    "start": own.start - start,
                    "end": own.end - start,
                    "shots": own.shots,
                    "cost": round(own.seconds_done(now) * self.backends.find(own.request.backend).per_second, 6),
                    "currency": "USD",
                    "program": own.request.program_id,
                    "session": own.request.session_id,
                    "tags": own.tags,
                }
                for own in self._jobs.values()
            ]


def _seconds(text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(400, f"no time: {text!r}") from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
