"""What each operation of Braket does."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable
from typing import Any

from qonverge_dev_cloud import simulation
from qonverge_dev_cloud.braket import results
from qonverge_dev_cloud.braket.actions import Action, checked
from qonverge_dev_cloud.braket.api import Refused
from qonverge_dev_cloud.braket.calls import Call, Reply
from qonverge_dev_cloud.braket.offers import Offered, Offers, moment
from qonverge_dev_cloud.braket.search import matches, page
from qonverge_dev_cloud.braket.storage import ACCOUNT, Storage
from qonverge_dev_cloud.braket.tasks import Task
from qonverge_dev_cloud.calibration import Calibration
from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.scenario import Scenario
from qonverge_dev_cloud.simulation import Qasm
from qonverge_dev_cloud.work import ENDED

_NAMESPACE = uuid.UUID("5b1c8f3e-5d0c-4f5e-9a55-1f0a7f3a3b10")


class BraketService:
    """All state of the cloud, for calls from several threads."""

    def __init__(self, scenario: Scenario, clock: Clock, storage: Storage) -> None:
        self._scenario, self._clock, self._storage = scenario, clock, storage
        self._lock = threading.RLock()
        self._offers = Offers(scenario, clock, self._lock)
        self._tasks: dict[str, Task] = {}
        self._tokens: dict[tuple[str, str], Task] = {}
        self._operations: dict[str, Callable[[Call], Reply]] = {
            "GetDevice": self._offers.get_device,
            "SearchDevices": self._offers.search_devices,
            "CreateQuantumTask": self._create,
            "GetQuantumTask": self._get_task,
            "SearchQuantumTasks": self._search_tasks,
            "CancelQuantumTask": self._cancel,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
        }

    def call(self, call: Call) -> Reply:
        """Do what is asked.

        Raises:
            Refused: it cannot be done.
        """
        operation = self._operations.get(call.operation)
        if operation is None:
            raise Refused(
                "ValidationException",
                f"dev-cloud does not do {call.operation}: it does {', '.join(sorted(self._operations))}",
            )
        return operation(call)

    def _create(self, call: Call) -> Reply:
        request = {name: value for name, value in call.members.items() if name != "clientToken"} | {
            "region": call.region
        }
        token = call.members["clientToken"]
        with self._lock:
            known = self._known(token, request)
        if known is not None:
            return Reply({"quantumTaskArn": known.arn}, task=known.arn)
        offered = self._offers.find(request["deviceArn"], call.region, "ValidationException")
        action = self._action(offered, request)
        reservation = self._offers.reservation(offered, call.region, request.get("associations", ()))
        if not self._storage.has_bucket(request["outputS3Bucket"]):
            raise Refused("ValidationException", f"the bucket {request['outputS3Bucket']} does not exist")
        with self._lock:
            # Another call with the same token may have come meanwhile.
            if (known := self._known(token, request)) is not None:
                return Reply({"quantumTaskArn": known.arn}, task=known.arn)
            now = self._clock.now()
            if offered.queue.closed(now):
                raise Refused("DeviceOfflineException", f"{offered.device.name} is offline for maintenance")
            number = len(offered.queue.work) + 1
            start, end = _times(offered, now, request["shots"], reservation)
            name = uuid.uuid5(_NAMESPACE, f"{self._scenario.seed}/{offered.device.arn}/{number}")
            arn = f"arn:aws:braket:{call.region}:{ACCOUNT}:quantum-task/{name}"
            failing = offered.scenario.failing
            failed = failing is not None and failing.selects(
                number, f"{self._scenario.seed}/fail/{offered.device.name}"
            )
            task = Task(
                arn=arn,
                number=number,
                shots=request["shots"],
                request=request,
                action=action,
                created=now,
                start=start,
                end=end,
                tags=dict(request.get("tags", {})),
                failure=failing.reason if failing is not None and failed and not action.is_set else None,
                reservation=reservation,
            )
            if action.is_set:
                whole = failing.reason if failing is not None and failed else None
                task.failures, task.failures_pass = self._failures(offered, action.count, whole)
            offered.queue.work.append(task)
            self._tasks[arn] = self._tokens[call.region, token] = task
        return Reply({"quantumTaskArn": arn}, effect=True, task=arn)

    def _known(self, token: str, request: dict[str, Any]) -> Task | None:
        found = self._tokens.get((request["region"], token))
        if found is not None and found.request != request:
            different = sorted(name for name in found.request | request if found.request.get(name) != request.get(name))
            raise Refused(
                "ValidationException",
                f"the client token was used for a task with other parameters: {', '.join(different)}",
            )
        return found

    def _failures(self, offered: Offered, count: int, whole: str | None) -> tuple[dict[int, str], bool]:
        """Return which executables of a new program set fail and why, and whether another try may succeed."""
        if whole is not None:
            return dict.fromkeys(range(count), whole), True
        failing, name = offered.scenario.failing_executables, offered.device.name
        if failing is None:
            return {}, True
        before = sum(own.action.count for own in offered.queue.work if own.action.is_set)
        draw = f"{self._scenario.seed}/executables/{name}"
        chosen = [index for index in range(count) if failing.selects(before + index + 1, draw)]
        return dict.fromkeys(chosen, failing.reason), failing.retryable

    def _action(self, offered: Offered, request: dict[str, Any]) -> Action:
        device = offered.device
        if offered.scenario.retired:
            raise Refused("DeviceRetiredException", f"{device.name} is retired")
        for name in ("jobToken", "experimentalCapabilities"):
            if request.get(name):
                raise Refused("ValidationException", f"dev-cloud takes no {name}")
        return checked(device, request, noisy=device.mixed or (device.kind == "QPU" and offered.scenario.noise))

    def _get_task(self, call: Call) -> Reply:
        with self._lock:
            task, now = self._task(call, "quantumTaskArn"), self._clock.now()
            values = self._task_summary(task, now) | {"deviceParameters": results.parameters(task)}
            status = values["status"]
            if status == "FAILED":
                values["failureReason"] = task.failure
            if status == "COMPLETED":
                values["numSuccessfulShots"] = task.successful_shots
            if associations := task.request.get("associations"):
                values["associations"] = associations
            values["actionMetadata"] = {"actionType": task.action.type, "executableCount": task.action.count}
            if task.action.is_set:
                values["actionMetadata"]["programCount"] = len(task.action.programs)
            if "QueueInfo" in call.members.get("additionalAttributeNames", ()):
                values["queueInfo"] = self._queue_info(task, status, now)
        return Reply(values)

    def _queue_info(self, task: Task, status: str, now: float) -> dict[str, str]:
        info = {"queue": "QUANTUM_TASKS_QUEUE", "queuePriority": "Normal"}
        if status == "QUEUED" and task.reservation:
            return info | {"position": "None", "message": "A task of a reservation is in no queue."}
        if status == "QUEUED":
            return info | {"position": str(self._offers.of(task).queue.position(task, now))}
        return info | {
            "position": "None",
            "message": f"Task is in {status} status. QueueInfo is for QUEUED tasks only.",
        }

    def _search_tasks(self, call: Call) -> Reply:
        with self._lock:
            now = self._clock.now()
            newest = sorted(self._tasks.values(), key=lambda own: -own.created)
            found = [
                self._task_summary(own, now)
                for own in newest
                if own.request["region"] == call.region
                and all(matches(own, condition, now) for condition in call.members["filters"])
            ]
        tasks, token = page(found, call.members)
        return Reply({"quantumTasks": tasks} | token)

    def _task_summary(self, task: Task, now: float) -> dict[str, Any]:
        values = {
            "quantumTaskArn": task.arn,
            "status": task.status(now),
            "deviceArn": task.request["deviceArn"],
            "shots": task.shots,
            "outputS3Bucket": task.request["outputS3Bucket"],
            "outputS3Directory": task.directory,
            "createdAt": moment(task.created),
            "tags": dict(task.tags),
        }
        if (ended := task.ended(now)) is not None:
            values["endedAt"] = moment(ended)
        return values

    def _cancel(self, call: Call) -> Reply:
        token = call.members["clientToken"]
        with self._lock:
            task, now = self._task(call, "quantumTaskArn"), self._clock.now()
            status = task.status(now)
            effect = False
            if task.cancelled is None:
                if task.phase(now) in ENDED:
                    raise Refused("ConflictException", f"the task is {status}: it cannot be cancelled any more")
                self._offers.of(task).queue.cancel(task, now)
                task.cancel_token, effect = token, True
            elif task.cancel_token != token and status == "CANCELLED":
                raise Refused("ConflictException", "the task is CANCELLED: it cannot be cancelled any more")
            answered = "CANCELLED" if task.status(now) == "CANCELLED" else "CANCELLING"
        return Reply({"quantumTaskArn": task.arn, "cancellationStatus": answered}, effect=effect, task=task.arn)

    def _tag(self, call: Call) -> Reply:
        with self._lock:
            self._task(call, "resourceArn").tags.update(call.members["tags"])
        return Reply({}, effect=True)

    def _untag(self, call: Call) -> Reply:
        with self._lock:
            tags = self._task(call, "resourceArn").tags
            for key in call.members["tagKeys"]:
                tags.pop(key, None)
        return Reply({}, effect=True)

    def _list_tags(self, call: Call) -> Reply:
        with self._lock:
            return Reply({"tags": dict(self._task(call, "resourceArn").tags)})

    def _task(self, call: Call, member: str) -> Task:
        arn = call.members[member]
        task = self._tasks.get(arn)
        if task is None or task.request["region"] != call.region:
            raise Refused("ResourceNotFoundException", f"no quantum task {arn} in {call.region}")
        return task

    # What the devices do

    def unready(self) -> list[Task]:
        """Return what has no result and was not cancelled."""
        with self._lock:
            return [own for own in self._tasks.values() if not own.ready and own.cancelled is None]

    def carry_out(self, task: Task) -> None:
        """Run a task, and put its result into its bucket."""
        if task.failure is None:
            offered = self._offers.of(task)
            found = self._offers.calibration(offered, task.start) if offered.scenario.noise else None
            try:
                outcomes = [
                    self._outcome(task, offered, index, program, found)
                    for index, program in enumerate(itertools.chain.from_iterable(task.action.executables))
                ]
                for name, body in results.files(task, outcomes, frequencies=offered.device.returns_probabilities):
                    self._storage.put(task.request["outputS3Bucket"], f"{task.directory}/{name}", body)
                if len(task.failures) == task.action.count:
                    # The results say of each executable why.
                    task.failure = f"all {task.action.count} executables failed: {task.failures[0]}"
            except Exception as error:
                task.failure = f"{type(error).__name__}: {error}"
        with self._lock:
            task.ready = True

    def _outcome(
        self, task: Task, offered: Offered, index: int, program: Qasm, calibration: Calibration | None
    ) -> dict[str, Any] | None:
        """Return what an executable of a task measured; None: it fails."""
        if index in task.failures:
            return None
        name = f"{self._scenario.seed}/{task.arn}" + (f"/{index}" if task.action.is_set else "")
        shots, seed = task.shots // task.action.count, uuid.uuid5(_NAMESPACE, name).int
        return simulation.run(offered.device, program, shots, calibration=calibration, seed=seed)

    def tasks(self) -> list[dict[str, Any]]:
        """Return what the cloud has of each task, and what it costs, as JSON has it."""
        with self._lock:
            now = self._clock.now()
            return [
                {
                    "arn": own.arn,
                    "device": self._offers.of(own).device.name,
                    "status": own.status(now),
                    "created": own.created - self._clock.start,
                    "start": own.start - self._clock.start,
                    "end": own.end - self._clock.start,
                    "shots": own.shots,
                    "cost": self._cost(own, now),
                    "currency": "USD",
                    "tags": dict(own.tags),
                }
                for own in self._tasks.values()
            ]

    def _cost(self, task: Task, now: float) -> float:
        """Return what it cost by now. What was cancelled in the queue, failed or ran in a reservation costs nothing."""
        if task.reservation or task.withdrawn or now < task.start or task.status(now) == "FAILED":
            return 0.0
        tariff = self._offers.of(task).tariff
        return tariff.cost(min(task.shots_done(now), task.successful_shots), task.seconds_done(now))


def _times(offered: Offered, now: float, shots: int, reservation: str) -> tuple[float, float]:
    if not reservation:
        return offered.queue.next_times(now, shots)
    times = offered.queue.reserved_times(now, shots, reservation)
    if times is None:
        raise Refused("ValidationException", f"the task would not end before the reservation {reservation} does")
    return times
