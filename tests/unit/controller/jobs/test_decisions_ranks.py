"""What is decided about parallel programs, whose attempts have a pod for each rank."""

from __future__ import annotations

from typing import Any

from qonverge.api import HybridJob
from qonverge.controller.jobs.actions import RequestPlacement, SetStatus
from qonverge.controller.jobs.decisions import decide
from qonverge.controller.jobs.kinds.pod_actions import Finish, Launch, TryAgain
from qonverge.controller.jobs.view import View
from qonverge.controller.store.flights import Flight
from qonverge.execution.transitions import timestamp
from qonverge.scheduling import Backend, Decision
from qonverge.scheduling.model import Part
from tests.unit.controller.jobs.test_decisions import CREATED, batch, source
from tests.unit.controller.jobs.test_decisions import job as job_of

FAILING = {"conditions": [{"type": "FailureTarget", "status": "True"}]}


def parallel(state: str = "Running", ranks: int = 3, **status: Any) -> HybridJob:
    given = {"state": state, "reason": state, "attempts": 1, "placedAt": timestamp(CREATED), "observedGeneration": 1}
    alone = job_of({**given, "backend": "aer", "placement": "only aer fits", **status}, python=True).to_dict()
    alone["spec"]["program"]["parallelism"] = ranks
    return HybridJob.model_validate(alone)


def pod(rank: int, phase: str = "Running", **fields: Any) -> dict[str, Any]:
    return {"name": f"j-{rank}", "uid": f"uid-{rank}", "rank": rank, "phase": phase, **fields}


def ended(rank: int, code: int, second: int = 0, **fields: Any) -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "finishedAt": timestamp(CREATED + second)}}
    phase = "Failed" if code else "Succeeded"
    return pod(rank, phase, containerStatuses=[{"name": "program", "state": state}], **fields)


def view(job: HybridJob, *pods: dict[str, Any], flight: Flight | None = None, **fields: Any) -> View:
    return View(job, flight or source(), CREATED + 1, pods=pods, **{"batch": {}, **fields})


def finish(*args: Any, **fields: Any) -> Finish:
    (found,) = [action for action in decide(view(*args, **fields)) if isinstance(action, Finish)]
    return found


def shown(*args: Any) -> list[Any]:
    return [action.status for action in decide(view(*args)) if isinstance(action, SetStatus)]


def test_it_runs_when_all_ranks_do() -> None:
    placed = parallel("Placed")
    assert shown(placed, pod(0), pod(1)) == []
    assert shown(placed, pod(0), pod(1), pod(2, "Pending")) == []
    (status,) = shown(placed, pod(0), pod(1), pod(2))
    assert (status.state, status.pod) == ("Running", "j-0")


def test_the_rank_that_does_not_start_is_named() -> None:
    unbound = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    (status,) = shown(parallel("Placed"), pod(0), pod(1, "Pending"), pod(2, "Pending", conditions=[unbound]))
    assert status.reason == "PodPending"
    assert status.message == "the pod j-2 has not started: Unschedulable: 0/1 nodes"


def test_it_completes_with_the_log_of_rank_0() -> None:
    done = finish(parallel(), *(ended(rank, 0) for rank in range(3)), batch=batch("Complete"))
    assert (done.status.state, done.pod) == ("Complete", "j-0")


def test_a_rank_that_fails_ends_the_job_before_the_others_are_gone() -> None:
    """Kubernetes ends them first, and says that the Job has failed when they are."""
    others = {"endsBy": timestamp(CREATED + 30)}
    done = finish(parallel(), pod(0, **others), ended(1, 3), ended(2, 143, 1, **others), batch=FAILING)
    assert (done.status.state, done.status.reason, done.status.exit_code) == ("Failed", "ProgramFailed", 3)
    assert done.status.message == "rank 1 of 3 ended with exit code 3; its last lines are in status.log"
    assert (done.pod, done.status.pod) == ("j-1", "j-1")


def test_of_several_that_failed_it_is_the_first() -> None:
    done = finish(parallel(), ended(0, 1, 5), ended(1, 2, 4), ended(2, 3, 6), batch=batch("Failed"))
    assert done.status.exit_code == 2


def test_a_rank_that_ran_out_of_memory_is_named() -> None:
    killed = ended(2, 137)
    killed["containerStatuses"][0]["state"]["terminated"]["reason"] = "OOMKilled"
    done = finish(parallel(), pod(0), pod(1), {**killed, "memoryLimit": "1Gi"}, batch=FAILING)
    assert done.status.reason == "OOMKilled"
    assert (done.status.message or "").startswith("rank 2 of 3 used more memory than its limit of 1Gi: ")


def test_a_lost_pod_of_any_rank_begins_another_attempt() -> None:
    moved = {"type": "DisruptionTarget", "status": "True"}
    pods = [pod(0, endsBy=timestamp(CREATED + 30)), ended(1, 143, conditions=[moved]), ended(2, 0)]
    again, *_ = decide(view(parallel(), *pods, batch=batch("Failed")))
    assert isinstance(again, TryAgain)
    (failed,) = again.status.failed_attempts or []
    assert (failed.reason, failed.message, failed.pod) == ("PodLost", "the pod of rank 1 was lost", "j-1")
    assert (again.pod, failed.counts) == ("j-1", False)


def test_what_others_did_to_a_rank_is_not_taken_for_what_followed_in_another() -> None:
    moved = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    evicted = ended(1, 143, 9, conditions=[{**moved, "lastTransitionTime": timestamp(CREATED + 2)}])
    again, *_ = decide(view(parallel(), ended(0, 1, 3), evicted, ended(2, 0), batch=batch("Failed")))
    assert isinstance(again, TryAgain)
    (failed,) = again.status.failed_attempts or []
    assert (failed.reason, failed.message) == ("Evicted", "the pod of rank 1 was evicted")


def test_ranks_that_somebody_deleted_are_told_by_the_first() -> None:
    pods = [pod(rank, endsBy=timestamp(CREATED + 30 - rank)) for rank in range(2)]
    again, *_ = decide(view(parallel(), *pods, ended(2, 0), batch=batch("Failed")))
    assert isinstance(again, TryAgain)
    assert again.pod == "j-1"


def test_a_rank_whose_failure_is_not_seen_yet_is_waited_for() -> None:
    actions = decide(view(parallel(), pod(0), pod(1), pod(2), batch=FAILING))
    assert not any(isinstance(action, Finish | RequestPlacement) for action in actions)


def test_ranks_on_several_backends_have_them_in_the_status() -> None:
    waiting = parallel("Pending", 4, attempts=None, backend=None)
    one, two = Backend("aer", waiting.metadata.namespace, True), Backend("stim", "lab", True)
    decision = Decision("j", one, "aer is best", parts=(Part(one, 0, "Ranks"), Part(two, 0, "Ranks")))
    flight = source()
    flight.await_placement()
    flight.propose(decision, (), tried_at=0.0)
    (launch,) = decide(view(waiting, flight=flight, batch=None))
    assert isinstance(launch, Launch)
    assert (launch.status.backend, launch.status.backends) == ("aer", ["aer", "lab/stim"])


def fetched(rank: int, code: int, message: str, phase: str = "Running") -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "message": message}}
    return pod(rank, phase, initContainerStatuses=[{"name": "qonverge-fetch", "state": state}])


def test_a_rank_that_could_not_be_brought_ends_the_job_with_the_reason() -> None:
    done = finish(parallel(), pod(0), pod(1), fetched(2, 1, "there is no revision v9", "Failed"), batch=FAILING)
    assert (done.status.reason, done.status.message) == ("ProgramNotFetched", "there is no revision v9")


def test_ranks_with_different_commits_begin_again_with_that_of_the_first() -> None:
    pods = [fetched(0, 0, "a" * 40), fetched(1, 0, "b" * 40), fetched(2, 0, "a" * 40)]
    actions = decide(view(parallel("Placed"), *pods))
    ((status, remove),) = [(action.status, action.remove) for action in actions if isinstance(action, TryAgain)]
    assert status.provenance is not None
    assert (status.state, status.provenance.commit, remove) == ("Pending", "a" * 40, True)
    alike = [fetched(rank, 0, "a" * 40) for rank in range(3)]
    (running,) = shown(parallel("Placed"), *alike)
    assert running.state == "Running"
