"""Programs on a real API server: their slots, their admission by Kueue, and pods that are given back.

No Job controller, kubelet or Kueue runs here: the tests do their parts.
"""

from __future__ import annotations

import signal
from functools import partial
from typing import Any

from tests.integration.conftest import BELL, SOME_SECONDS, Lab, eventually
from tests.integration.test_tokens import Program, ask, code, program, send


def state(lab: Lab, name: str) -> tuple[str, str]:
    """Return a job's state and reason."""
    status = lab.status(name)
    return status.get("state", ""), status.get("reason", "")


def is_in(lab: Lab, name: str, *wanted: str) -> bool:
    return state(lab, name) == wanted


def batch_jobs(lab: Lab) -> list[str]:
    """Return the names of the batch Jobs that have not ended."""
    return sorted(
        each["metadata"]["name"] for each in lab.list("job") if not each.get("status", {}).get("completionTime")
    )


def restarted(lab: Lab) -> None:
    """Kill the operator, and start another."""
    lab.stop_operator(signal.SIGKILL)
    lab.start_operator()
    lab.ready()


def test_a_program_has_a_pod_only_with_a_slot_and_the_next_one_gets_it_at_its_end(served: Lab) -> None:
    names = [f"p{number}" for number in range(4)]
    served.apply(program(names[0]))
    first = Program(served, names[0])
    first.placed()
    for name in names[1:]:
        served.apply(program(name))
        eventually(partial(is_in, served, name, "Pending", "WaitingForSlot"), f"that {name} waits")
    assert batch_jobs(served) == [first.object()]

    def says(name: str, place: int) -> bool:
        return (
            f"place {place} of 3 in the queue for the program slot of aer, start in" in served.status(name)["message"]
        )

    eventually(partial(says, names[1], 1), "the first place")
    assert served.status(names[1])["forecast"][0]["waitSeconds"]["mid"] > 0
    # Another operator finds the reservation in the job.
    restarted(served)
    eventually(partial(says, names[1], 1), "the first place")
    assert batch_jobs(served) == [first.object()]
    first.end()
    second = Program(served, names[1])
    second.placed()
    assert batch_jobs(served) == [second.object()]
    served.kubectl("delete", "hj", names[1], "--wait=false")
    Program(served, names[2]).placed()


def test_kueue_admits_a_program_that_has_a_slot_and_nobody_suspends_it_again(served: Lab) -> None:
    served.apply(program("queued", queueName="research"))
    queued = Program(served, "queued")
    eventually(partial(is_in, served, "queued", "Placed", "WaitingForAdmission"), "that it waits for Kueue")
    served.apply(program("next"))
    batch = served.get("job", queued.object())
    assert batch["spec"]["suspend"] is True
    assert batch["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    assert "to the LocalQueue research" in served.status("queued")["message"]
    eventually(partial(is_in, served, "next", "Pending", "WaitingForSlot"), "that the slot is held")

    def admit(*, suspend: bool) -> None:
        served.patch("job", queued.object(), {"spec": {"suspend": suspend}})

    admit(suspend=False)
    eventually(partial(is_in, served, "queued", "Placed", "Placed"), "the admission")
    restarted(served)
    served.apply(program("later"))
    eventually(partial(is_in, served, "later", "Pending", "WaitingForSlot"), "that the new operator works")
    assert served.get("job", queued.object())["spec"]["suspend"] is False
    admit(suspend=True)
    eventually(partial(is_in, served, "queued", "Placed", "WaitingForAdmission"), "the eviction")
    assert served.status("queued")["attempts"] == 1


def test_a_program_that_gave_its_pod_back_gets_another_when_its_task_has_ended(served: Lab) -> None:
    pausing: dict[str, Any] = program("pausing")
    pausing["spec"]["program"]["python"]["pauseAfterSeconds"] = 1
    served.apply(pausing)
    each = Program(served, "pausing")
    each.placed()
    port, token, uid = served.port("pod-0"), each.token(), served.get("hj", "pausing")["metadata"]["uid"]
    task, former = f"{uid}-1-step-1", each.object()
    eventually(lambda: code(send(port, token, "bell", BELL)) == "Completed", "that the pod knows the program")
    assert send(port, token, task, SOME_SECONDS, wait=0)[0] == 202
    kept = {"values": {"first": 0.5}, "tasks": {}}
    report = {"pause": {"tasks": [task], "state": kept}}
    assert ask(served.reports, token, "/v1/jobs/default/pausing/report", report)[0] == 204
    status = served.status("pausing")
    assert (status["state"], status["reason"], status["paused"]["tasks"]) == ("Running", "Paused", [task])
    assert '"first":0.5' in served.get("configmap", f"pausing-{uid[:5]}-steps")["data"]["steps.json"]
    each.end()
    served.apply(program("next"))
    eventually(partial(is_in, served, "next", "Pending", "WaitingForSlot"), "that the slot is its own still")
    restarted(served)
    again = f"{former}-1"
    eventually(lambda: again in batch_jobs(served), "its next pod")
    status = served.status("pausing")
    assert (status["state"], status["attempts"], status["pauses"]) == ("Placed", 1, 1)
    assert "paused" not in status
    eventually(lambda: not served.get("job", former), "the end of the pod that it gave back")
    # Its next process finds the task by its id.
    token = each.token()
    eventually(lambda: code(ask(port, token, f"/v1/tasks/{task}")) == "Completed", "the result")
    assert batch_jobs(served) == [again]


def test_a_program_gives_its_slot_to_one_of_higher_priority_where_it_allows_that(served: Lab) -> None:
    urgent = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "soon"}, "value": 9}
    served.apply(program("stays"))
    stays = Program(served, "stays")
    stays.placed()
    served.apply(program("yields", placement={"preemption": "Running"}))
    eventually(partial(is_in, served, "yields", "Pending", "WaitingForSlot"), "that it waits")
    served.apply(urgent, program("first", priorityClassName="soon"))
    eventually(partial(is_in, served, "first", "Pending", "WaitingForSlot"), "that nobody makes room")
    stays.end()
    # It goes before those that came earlier.
    Program(served, "first").placed()
    Program(served, "first").end()
    yields = Program(served, "yields")
    yields.placed()
    served.apply(program("second", priorityClassName="soon"))
    Program(served, "second").placed()
    eventually(lambda: not served.get("job", yields.object()), "the end of its pod")
    status = served.status("yields")
    (taken,) = status["failedAttempts"]
    assert (status["state"], taken["reason"], taken["counts"]) == ("Pending", "Preempted", False)
    assert (status["failures"], status["interruptions"]) == (0, 0)
    assert served.status("stays")["attempts"] == 1
    Program(served, "second").end()
    yields.placed(attempt=2)
