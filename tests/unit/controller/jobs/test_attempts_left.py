"""What stands in the cluster of former attempts, of an operator that was killed, and of jobs that have ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qonverge.controller.jobs.actions import Stop
from qonverge.controller.jobs.decisions import decide
from qonverge.controller.jobs.kinds.pod_actions import Launch, TryAgain
from qonverge.controller.jobs.leftovers import leftovers
from qonverge.controller.kube.client import KubeError
from qonverge.controller.objects import object_names
from qonverge.controller.store.resources import Finished
from qonverge.controller.store.state import State
from qonverge.execution.transitions import timestamp
from tests.unit.controller.jobs.test_decisions import AER, batch, job, planned, pod, program, source, view
from tests.unit.controller.jobs.test_reconciler import Desk

RETRIED = {"rules": [{"action": "Retry", "onReasons": ["ProgramFailed"]}], "backoffSeconds": 0}


def test_an_attempt_that_was_made_and_not_recorded_is_gone_on_with() -> None:
    ready = planned(job(python=True), source(), AER)
    (launch,) = decide(view(job(python=True), ready, unrecorded={"backends": ["default/aer"]}))
    assert isinstance(launch, Launch)
    assert (launch.attempt, launch.status.attempts) == (1, 1)


def test_one_for_another_backend_is_passed_over() -> None:
    ready = planned(job(python=True), source(), AER)
    (launch,) = decide(view(job(python=True), ready, unrecorded={"backends": ["default/other"]}))
    assert isinstance(launch, Launch)
    assert (launch.attempt, launch.status.attempts) == (2, 2)


def test_one_of_a_job_that_is_suspended_is_ended() -> None:
    held = job({"state": "Pending"}, python=True, suspend=True)
    assert decide(view(held, source(), unrecorded={"backends": ["default/aer"]}))[0] == Stop(program=True)


def test_what_the_failed_attempt_told_is_not_the_next_one_s() -> None:
    told = {"progress": "40%", "result": {"value": 1}, "startedAt": timestamp(1), "metrics": {"energy": -1.0}}
    before = job({**program().status.to_dict(), **told}, python=True, retryPolicy=RETRIED)
    again, *_ = decide(view(before, source(), batch=batch("Failed"), pod=pod(1)))
    assert isinstance(again, TryAgain)
    status = again.status
    assert (status.progress, status.result, status.started_at, status.metrics) == (None, None, None, {"energy": -1.0})


class Cluster(Desk):
    """A desk with a program on its backend, whose server tells of deletions and has a log."""

    def __init__(self, **status: Any) -> None:
        super().__init__()
        self.deleted: list[str] = []
        self.log: str | None = "step 1\nstep 2\n"
        self.server.delete = self._delete  # type: ignore[method-assign]
        self.server.log = self._log  # type: ignore[method-assign]
        self.world.backend("a")
        placed = {"state": "Running", "backend": "lab/a", "attempts": 1, "observedGeneration": 1}
        placed |= {"placedAt": timestamp(self.world.now), **status}
        program = {"python": {"source": "x"}}
        self.job = self.world.job("j", status=placed, program=program, retryPolicy=RETRIED)

    async def _delete(self, kind: str, namespace: str, name: str, uid: str | None = None) -> None:
        self.deleted.append(f"{kind} {name}")

    async def _log(self, namespace: str, pod: str, *, lines: int, limit_bytes: int) -> str:
        if self.log is None:
            raise KubeError(404, "the pod is gone")
        return self.log

    def attempt(self, number: int, *, ended: bool, **seen: Any) -> str:
        """Show an attempt's batch Job with its pod, and return their name."""
        name = object_names.program_name(self.job, number)
        known = {"uid": "batch-uid", "owner": "chem/j", "backends": ["lab/a"]}
        self.world.state.batch_jobs[f"chem/{name}"] = {**(batch("Failed") if ended else {}), **known}
        self.world.state.program_pods[f"chem/{name}"] = {
            f"chem/{name}-x": {"rank": 0, **pod(1), "node": "worker-1", **seen}
        }
        return name


async def test_the_log_of_a_failed_attempt_is_kept_and_its_objects_go_with_the_next() -> None:
    cluster = Cluster()
    first = cluster.attempt(1, ended=True)
    await cluster.jobs.reconcile("chem/j")
    written = cluster.server.written[-1]
    (failed,) = written["failedAttempts"]
    assert (written["state"], failed["log"], failed["node"]) == ("Pending", "step 1\nstep 2", "worker-1")
    assert cluster.deleted == [], "who looks at the pod finds it until the next attempt begins"
    await cluster.jobs.reconcile("chem/j")
    await cluster.world.rounds.once()
    await cluster.jobs.reconcile("chem/j")
    assert cluster.deleted == [f"{kind} {first}" for kind in ("Job", "Secret")]
    second = object_names.program_name(cluster.job, 2)
    assert [obj["metadata"]["name"] for obj in cluster.server.applied] == [second] * 2
    assert cluster.server.written[-1]["attempts"] == 2


async def test_the_log_of_a_pod_that_is_about_to_go_is_read_in_time() -> None:
    cluster = Cluster()
    cluster.world.flight("j").renew(float("inf"))
    going = {"phase": "Running", "endsBy": timestamp(cluster.world.now + 30), "containerStatuses": []}
    cluster.attempt(1, ended=False, **going)
    await cluster.jobs.reconcile("chem/j")
    cluster.log = None
    cluster.attempt(1, ended=True, **going)
    await cluster.jobs.reconcile("chem/j")
    (failed,) = cluster.server.written[-1]["failedAttempts"]
    assert (failed["reason"], failed["log"]) == ("PodLost", "step 1\nstep 2")


async def test_a_log_that_nobody_has_is_said_to_be_lost() -> None:
    cluster = Cluster()
    cluster.log = None
    cluster.attempt(1, ended=True)
    await cluster.jobs.reconcile("chem/j")
    (failed,) = cluster.server.written[-1]["failedAttempts"]
    assert failed["log"] == "(the log could not be read: the API server answered 404: the pod is gone)"


def test_what_still_runs_of_a_job_that_has_ended_is_found() -> None:
    state, finished = State(), Finished("12345678-uid", None, attempts=2)
    names = [object_names.batch_name("j", finished.uid, number, 0, indexed=False) for number in (1, 2, 3)]
    assert leftovers(state, "default/j", finished) == []
    for name in names:
        state.batch_jobs[f"default/{name}"] = {"uid": name}
    assert leftovers(state, "default/j", finished) == names[1:]
    state.batch_jobs[f"default/{names[1]}"] = batch("Complete")
    assert leftovers(state, "default/j", finished) == names[2:]
    # Kubernetes ends what is left of it, and its pods stay for their logs.
    state.batch_jobs[f"default/{names[2]}"] = batch("FailureTarget")
    assert leftovers(state, "default/j", finished) == []
    parallel = object_names.batch_name("j" * 60, finished.uid, 2, 0, indexed=True)
    state.batch_jobs[f"default/{parallel}"] = {"uid": parallel}
    assert leftovers(state, f"default/{'j' * 60}", finished) == [parallel]
    paused = object_names.batch_name("j", finished.uid, 2, 1, indexed=False)
    state.batch_jobs[f"default/{paused}"] = {"uid": paused}
    assert leftovers(state, "default/j", replace(finished, pauses=1)) == [paused]
