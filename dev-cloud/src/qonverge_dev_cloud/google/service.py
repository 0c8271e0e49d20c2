"""What the operations of the API mean: programs, jobs, processors, calibrations and the schedule."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from cirq_google.cloud import quantum
from google.protobuf import empty_pb2

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.google import simulation
from qonverge_dev_cloud.google.errors import Refused
from qonverge_dev_cloud.google.filters import matching
from qonverge_dev_cloud.google.jobs import Job, Stored, moment
from qonverge_dev_cloud.google.processors import Processors, check_configuration
from qonverge_dev_cloud.scenario import Scenario
from qonverge_dev_cloud.work import ENDED

_NAMESPACE = uuid.UUID("9b1de5f0-52f9-4c35-9c7b-0a4c7d1f6e2a")
_PAGE = 100


class GoogleService:
    """All state of the engine, for calls from several threads. An operation is the method of its name."""

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        """Args: how processors behave, and the time."""
        self._seed, self._clock = scenario.seed, clock
        self._lock = threading.RLock()
        self._processors = Processors(scenario, clock)
        self._programs: dict[str, Stored] = {}
        self._numbers = 0

    def operation(self, name: str) -> Callable[[Any], Any]:
        """Return what carries an operation out: takes its request, returns its reply.

        Raises:
            Refused: dev-cloud does not have it.
        """
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
        for part in (self, self._processors):
            found: Callable[[Any], Any] | None = getattr(part, snake, None)
            if found is not None:
                return found
        raise Refused("UNIMPLEMENTED", f"dev-cloud does not do {name}")

    # Programs

    def create_quantum_program(self, request: Any) -> Any:
        """Store a program; a name is taken once."""
        with self._lock:
            program = quantum.QuantumProgram(request.quantum_program)
            program.name = program.name or f"{request.parent}/programs/prog-{self._unique()}"
            if not program.name.startswith(f"{request.parent}/programs/"):
                raise Refused("INVALID_ARGUMENT", f"{program.name} is no program of {request.parent}")
            if program.name in self._programs:
                raise Refused("ALREADY_EXISTS", f"program {program.name} exists")
            program.create_time = program.update_time = moment(self._clock.now())
            self._programs[program.name] = Stored(program)
            return _without_code(program)

    def get_quantum_program(self, request: Any) -> Any:
        """Return a program, with its code where that is asked for."""
        with self._lock:
            program = self._program(request.name).message
            return quantum.QuantumProgram(program) if request.return_code else _without_code(program)

    def list_quantum_programs(self, request: Any) -> Any:
        """Return the programs of a project, in pages."""
        with self._lock:
            own = [stored.message for name, stored in self._programs.items() if name.startswith(f"{request.parent}/")]
            found, more = _page(request, own, _of_program)
        return quantum.ListQuantumProgramsResponse(programs=[_without_code(one) for one in found], next_page_token=more)

    def update_quantum_program(self, request: Any) -> Any:
        """Set description or labels."""
        with self._lock:
            program = self._program(request.name).message
            _update(program, request.quantum_program, request.update_mask.paths)
            return _without_code(program)

    def delete_quantum_program(self, request: Any) -> Any:
        """Forget a program, with its jobs where that is asked for."""
        with self._lock:
            stored = self._program(request.name)
            if stored.jobs and not request.delete_jobs:
                raise Refused("FAILED_PRECONDITION", f"{request.name} has {len(stored.jobs)} jobs: delete them first")
            for job in stored.jobs.values():
                self._cancel(job)
            del self._programs[request.name]
            return empty_pb2.Empty()

    # Jobs

    def create_quantum_job(self, request: Any) -> Any:
        """Begin a job; a name is taken once within its program."""
        with self._lock:
            stored, sent = self._program(request.parent), quantum.QuantumJob(request.quantum_job)
            sent.name = sent.name or f"{request.parent}/jobs/job-{self._unique()}"
            if not sent.name.startswith(f"{request.parent}/jobs/"):
                raise Refused("INVALID_ARGUMENT", f"{sent.name} is no job of {request.parent}")
            if sent.name in stored.jobs:
                raise Refused("ALREADY_EXISTS", f"job {sent.name} exists")
            selector = sent.scheduling_config.processor_selector
            named = selector.processor or next(iter(selector.processor_names), "")
            offered, now = self._processors.find(named), self._clock.now()
            check_configuration(offered.name, selector.device_config_selector)
            if offered.scenario.retired:
                raise Refused("FAILED_PRECONDITION", f"{offered.name} is inactive")
            number = len(offered.queue.work) + 1
            shots = simulation.repetitions(sent.run_context)
            start, end = offered.queue.next_times(now, shots)
            failing = offered.scenario.failing
            failed = failing is not None and failing.selects(number, f"{self._seed}/fail/{offered.name}")
            job = Job(
                number=number,
                shots=shots,
                created=now,
                start=start,
                end=end,
                failure=failing.reason if failing is not None and failed else None,
                name=sent.name,
                processor=offered.name,
                code=stored.message.code,
                sent=sent,
            )
            offered.queue.work.append(job)
            stored.jobs[job.name] = job
            return job.message(now)

    def get_quantum_job(self, request: Any) -> Any:
        """Return a job."""
        with self._lock:
            return self._job(request.name).message(self._clock.now(), context=request.return_run_context)

    def list_quantum_jobs(self, request: Any) -> Any:
        """Return the jobs of a program, or with ``-`` in its place of all of the project, in pages."""
        project, _, program = request.parent.partition("/programs/")
        with self._lock:
            now = self._clock.now()
            if program == "-":
                own = [job for job in self._jobs() if job.name.startswith(f"{project}/")]
            else:
                own = list(self._program(request.parent).jobs.values())
            found, more = _page(request, own, lambda job: _of_job(job, now))
            return quantum.ListQuantumJobsResponse(jobs=[job.message(now) for job in found], next_page_token=more)

    def update_quantum_job(self, request: Any) -> Any:
        """Set description or labels."""
        with self._lock:
            job = self._job(request.name)
            _update(job.sent, request.quantum_job, request.update_mask.paths)
            return job.message(self._clock.now())

    def cancel_quantum_job(self, request: Any) -> Any:
        """Cancel a job that has not ended."""
        with self._lock:
            job = self._job(request.name)
            if job.phase(self._clock.now()) in ENDED:
                raise Refused("FAILED_PRECONDITION", f"job {job.name} has ended")
            self._cancel(job)
            return empty_pb2.Empty()

    def delete_quantum_job(self, request: Any) -> Any:
        """Forget a job; one that has not ended is cancelled."""
        with self._lock:
            job = self._job(request.name)
            self._cancel(job)
            del self._programs[_program_of(job.name)].jobs[job.name]
            return empty_pb2.Empty()

    def get_quantum_result(self, request: Any) -> Any:
        """Return the result of a job that succeeded."""
        with self._lock:
            job = self._job(request.parent)
            if job.phase(self._clock.now()) != "Completed":
                raise Refused("NOT_FOUND", f"job {job.name} has no result")
            return quantum.QuantumResult(parent=job.name, result=job.result)

    def ended(self, name: str) -> Any | None:
        """Return a job that has ended, or None; for the stream of results."""
        with self._lock:
            job, now = self._job(name), self._clock.now()
            return job.message(now) if job.phase(now) in ENDED else None

    # What the processors do

    def unready(self) -> list[Job]:
        """Return what has no result and was not cancelled."""
        with self._lock:
            return [job for job in self._jobs() if not job.ready and job.cancelled is None]

    def carry_out(self, job: Job) -> None:
        """Run a job, and keep its result or why it failed."""
        if job.failure is None:
            try:
                snapshot = self._processors.noise(job.processor, job.start)
                drawn = uuid.uuid5(_NAMESPACE, f"{self._seed}/{job.processor}/{job.number}").int
                job.result = simulation.run(job.processor, job.code, job.sent.run_context, snapshot, drawn)
            except simulation.BadProgram as error:
                job.failure, job.failure_code = str(error), "INVALID_PROGRAM"
            except Exception as error:
                job.failure = f"{type(error).__name__}: {error}"
        with self._lock:
            job.ready = True

    def tasks(self) -> list[dict[str, Any]]:
        """Return all jobs as JSON has them."""
        with self._lock:
            now, began = self._clock.now(), self._clock.start
            return [
                {
                    "id": job.name,
                    "device": job.processor,
                    "status": job.state(now).name,
                    "created": job.created - began,
                    "start": job.start - began,
                    "end": job.end - began,
                    "shots": job.shots,
                    "tags": dict(job.sent.labels),
                }
                for job in self._jobs()
            ]

    def _jobs(self) -> list[Job]:
        return [job for stored in self._programs.values() for job in stored.jobs.values()]

    def _cancel(self, job: Job) -> None:
        now = self._clock.now()
        if job.phase(now) not in ENDED and job.cancelled is None:
            self._processors.find(job.processor).queue.cancel(job, now)

    def _program(self, name: str) -> Stored:
        if name not in self._programs:
            raise Refused("NOT_FOUND", f"program {name} does not exist")
        return self._programs[name]

    def _job(self, name: str) -> Job:
        stored = self._program(_program_of(name))
        if name not in stored.jobs:
            raise Refused("NOT_FOUND", f"job {name} does not exist")
        return stored.jobs[name]

    def _unique(self) -> str:
        self._numbers += 1
        return uuid.uuid5(_NAMESPACE, f"{self._seed}/{self._numbers}").hex[:16]


def _program_of(job: str) -> str:
    return job.partition("/jobs/")[0]


def _without_code(program: Any) -> Any:
    told = quantum.QuantumProgram(program)
    quantum.QuantumProgram.pb(told).ClearField("code")
    return told


def _update(message: Any, given: Any, paths: Iterable[str]) -> None:
    for path in paths:
        if path not in ("description", "labels"):
            raise Refused("INVALID_ARGUMENT", f"{path} cannot be changed")
        setattr(message, path, dict(given.labels) if path == "labels" else given.description)


def _of_program(program: Any) -> dict[str, Any]:
    return {"create_time": program.create_time.timestamp(), "labels": dict(program.labels)}


def _of_job(job: Job, now: float) -> dict[str, Any]:
    started = not job.withdrawn and now >= job.start
    return {
        "create_time": job.created,
        "labels": dict(job.sent.labels),
        "execution_status.state": job.state(now).name,
        "executed_processor_id": job.processor if started else "",
        "scheduled_processor_ids": (job.processor,),
    }


def _page(request: Any, items: list[Any], values: Callable[[Any], dict[str, Any]]) -> tuple[list[Any], str]:
    """Return a page of what passes the filter, the newest first, and the token of the next one."""
    passing = [item for item in reversed(items) if matching(request.filter, values(item))]
    if not (request.page_token or "0").isdigit():
        raise Refused("INVALID_ARGUMENT", f"page_token is none that a list gave: {request.page_token!r}")
    first = int(request.page_token or 0)
    last = first + (request.page_size or _PAGE)
    return passing[first:last], str(last) if last < len(passing) else ""
