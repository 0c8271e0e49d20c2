"""What each operation of IQM Server does."""

from __future__ import annotations

import threading
import uuid
from typing import Any

from qonverge_dev_cloud import simulation
from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.iqm.catalogue import NAMESPACE
from qonverge_dev_cloud.iqm.circuits import Circuit
from qonverge_dev_cloud.iqm.computers import Computers, Offered, moment
from qonverge_dev_cloud.iqm.errors import Refused
from qonverge_dev_cloud.iqm.jobs import Job, SubmitJob
from qonverge_dev_cloud.iqm.results import counts, measurements
from qonverge_dev_cloud.scenario import Scenario
from qonverge_dev_cloud.work import ENDED

_LONGEST_TAG = 50
_SOURCE = "iqm-server"


class IqmService:
    """All state of the cloud, for calls from several threads."""

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self._seed, self._clock = scenario.seed, clock
        self._lock = threading.RLock()
        self.computers = Computers(scenario, clock, self._lock)
        self._jobs: dict[str, Job] = {}
        self._deleted: set[str] = set()

    def submit(self, name: str, kind: str, payload: bytes, tag: str | None) -> dict[str, Any]:
        """Make a job.

        Raises:
            Refused: the computer does not take it.
            ValidationError: the payload is none.
        """
        offered = self.computers.find(name)
        if kind != "circuit":
            raise Refused(400, "unsupported_job_type", f"dev-cloud has no jobs of the type {kind!r}: use circuit")
        if tag is not None and len(tag) > _LONGEST_TAG:
            raise Refused(400, "invalid_input", f"tag: at most {_LONGEST_TAG} characters")
        request = SubmitJob.model_validate_json(payload)
        circuits = self._accepted(request, offered)
        with self._lock:
            now, queue = self._clock.now(), offered.queue
            calibrated = self.computers.calibrated(offered.computer, request.calibration_set_id)
            number, shots = len(queue.work) + 1, request.shots * len(circuits)
            start, end = queue.next_times(now, shots)
            failing = offered.scenario.failing
            failed = failing is not None and failing.selects(number, f"{self._seed}/fail/{offered.computer.alias}")
            price = offered.scenario.price.per_minute
            job = Job(
                id=str(uuid.uuid5(NAMESPACE, f"{self._seed}/{offered.computer.alias}/{number}")),
                number=number,
                shots=request.shots,
                created=now,
                start=start,
                end=end,
                failure=failing.reason if failing is not None and failed else None,
                computer=offered.computer,
                circuits=circuits,
                payload=payload,
                tag=tag,
                calibration_set=calibrated,
                price=0.0 if price is None else price / 60,
            )
            queue.work.append(job)
            self._jobs[job.id] = job
            return self._described(job, now)

    def _accepted(self, request: SubmitJob, offered: Offered) -> tuple[Circuit, ...]:
        """Return the circuits with the computer's names of qubits, if it takes them."""
        own, circuits = offered.computer, request.circuits
        if request.heralding_mode != "none" or request.dd_mode != "disabled":
            raise Refused(400, "invalid_job_payload", "dev-cloud has neither heralding nor dynamical decoupling")
        if (names := request.qubit_mapping) is not None:
            if missing := sorted(set().union(*(each.qubits for each in circuits)) - names.keys()):
                raise Refused(400, "invalid_job_payload", f"qubit_mapping has no {missing[0]}")
            if len(set(names.values())) != len(names):
                raise Refused(400, "invalid_job_payload", "qubit_mapping maps two qubits to one")
            circuits = tuple(each.renamed(names) for each in circuits)
        limits = (
            (len(circuits), own.max_circuits, "circuits"),
            (request.shots, own.max_shots, "shots"),
            (len(circuits) * request.shots, own.max_executions, "executions"),
        )
        for found, most, what in limits:
            if found > most:
                raise Refused(400, "invalid_job_payload", f"{found} {what}: {own.display_name} takes at most {most}")
        noisy = offered.scenario.noise
        widest = simulation.WIDEST_NOISY if noisy else simulation.WIDEST_EXACT
        for each in circuits:
            if (problem := each.problem(own)) is not None:
                raise Refused(400, "invalid_job_payload", problem)
            # Here, not there: a computer takes more.
            if len(each.qubits) > widest:
                raise Refused(
                    400,
                    "invalid_job_payload",
                    f"{len(each.qubits)} qubits: dev-cloud simulates up to {widest}{' with errors' if noisy else ''}",
                )
        return circuits

    def job(self, job_id: str) -> dict[str, Any]:
        """Return how a job stands."""
        with self._lock:
            return self._described(self._job(job_id), self._clock.now())

    def payload(self, job_id: str) -> bytes:
        """Return what was sent to make a job."""
        with self._lock:
            return self._job(job_id).payload

    def artifact(self, job_id: str, kind: str) -> Any:
        """Return what a job gave: ``measurements`` or ``measurement_counts``."""
        with self._lock:
            job = self._job(job_id)
            if job.status(self._clock.now()) == "completed" and kind in ("measurements", "measurement_counts"):
                return job.measurements if kind == "measurements" else counts(job)
        raise Refused(404, "job_artifact_not_found", f"job {job_id} has no {kind}")

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel a job."""
        with self._lock:
            job, now = self._job(job_id), self._clock.now()
            if job.phase(now) in ENDED or job.cancelled is not None:
                raise Refused(403, "illegal_job_status", f"job {job_id} is {job.status(now)}")
            self.computers.of(job).queue.cancel(job, now)
            return self._described(job, now)

    def delete(self, job_id: str) -> None:
        """Forget a job; one that has not ended is cancelled."""
        with self._lock:
            job, now = self._job(job_id), self._clock.now()
            if job.phase(now) not in ENDED and job.cancelled is None:
                self.computers.of(job).queue.cancel(job, now)
            self._deleted.add(job_id)

    def _job(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None or job_id in self._deleted:
            raise Refused(404, "job_not_found", f"there is no job {job_id}")
        return job

    def _described(self, job: Job, now: float) -> dict[str, Any]:
        status, queue = job.status(now), self.computers.of(job).queue
        begun = not job.withdrawn and now >= job.start
        timeline = [("created", job.created)]
        if begun:
            timeline.append(("execution_started", job.start))
        if (ended := job.ended(now)) is not None:
            timeline.append((status, ended))
        done = status == "completed"
        return {
            "id": job.id,
            "type": "circuit",
            "qc": {"id": job.computer.id},
            "status": status,
            "tag": job.tag,
            "queue_position": queue.position(job, now) - 1 if status == "waiting" else None,
            "compilation": {"calibration_set_id": job.calibration_set} if begun else None,
            "execution": {"progress": {}} if begun else None,
            "runtime_ms": round(1000 * job.seconds_done(now)) if ended is not None and begun else None,
            "messages": [],
            "errors": [{"error_code": "execution_error", "message": job.failure, "source": "iqm-station-control"}]
            if status == "failed"
            else [],
            "timeline": [{"source": _SOURCE, "status": name, "timestamp": moment(at)} for name, at in timeline],
            "artifacts": [{"type": "measurements"}, {"type": "measurement_counts"}] if done else [],
        }

    def unready(self) -> list[Job]:
        """Return the jobs that have no results and were not cancelled."""
        with self._lock:
            return [job for job in self._jobs.values() if not job.ready and not job.withdrawn]

    def carry_out(self, job: Job) -> None:
        """Run a job, and keep what it gave or why it failed."""
        if job.failure is None and job.cancelled is None:
            try:
                noisy = self.computers.of(job).scenario.noise
                found = self.computers.calibration(job.computer, job.start) if noisy else None
                job.measurements = measurements(job, found, self._seed)
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
                    "device": own.computer.alias,
                    "status": own.status(now),
                    "created": own.created - self._clock.start,
                    "start": own.start - self._clock.start,
                    "end": own.end - self._clock.start,
                    "shots": own.shots,
                    "cost": own.cost(now),
                    "currency": "USD",
                    "tags": {} if own.tag is None else {"tag": own.tag},
                }
                for own in self._jobs.values()
            ]
