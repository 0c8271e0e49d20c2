"""Attempts at programs that fail or are interrupted: what follows, what is told of them, and what is left of them.

The Job controller and the garbage collector are real; the tests do what a kubelet does.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.cluster import ControlPlane
from e2e.cluster.errors import CommandFailed
from e2e.layers import require
from tests.integration.conftest import Lab, backend, eventually, job, running_plane
from tests.integration.program_kubelet import Kubelet
from tests.unit.test_retry_policy import BAD_RULES

RULES = [
    {"action": "Fail", "onExitCodes": {"operator": "In", "values": [42]}},
    {"action": "Retry", "onExitCodes": {"operator": "NotIn", "values": [0, 42]}},
]
CONTROLLERS = ("job-controller", "garbage-collector-controller", "resourcequota-controller")


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server beside the controllers of Jobs, owners and ResourceQuotas."""
    require("integration")
    with running_plane(tmp_path_factory.mktemp("plane"), *CONTROLLERS) as plane:
        yield plane


@pytest.fixture
def kubelet(lab: Lab) -> Iterator[Kubelet]:
    """A node's kubelet."""
    with Kubelet(lab, "worker-1") as kubelet:
        yield kubelet


def program(name: str, **spec: Any) -> dict[str, Any]:
    made = job(name, program={"python": {"source": "pass"}}, **spec)
    del made["spec"]["shots"]
    return made


def retried(name: str, **policy: Any) -> dict[str, Any]:
    return program(name, retryPolicy={"rules": RULES, "backoffSeconds": 0, **policy})


def attempt(lab: Lab, name: str, number: int) -> str:
    """Wait for an attempt, and return the name of its objects."""

    def begun() -> bool:
        status = lab.status(name)
        return status.get("state") in ("Placed", "Running") and status.get("attempts") == number

    eventually(begun, f"attempt {number} at {name}")
    return f"{name}-{lab.get('hj', name)['metadata']['uid'][:5]}-{number}"


def everything(lab: Lab) -> set[str]:
    """Return the names of all objects of the namespace but its events, whatever their kinds."""
    kinds = lab.kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
    asked = ",".join(kind for kind in kinds if not kind.startswith("events"))
    return set(lab.kubectl("get", asked, "-o", "name", "--ignore-not-found").split())


@contextlib.contextmanager
def forbidden(lab: Lab, allowed: str) -> Iterator[None]:
    """Let the API server refuse statuses of HybridJobs for which a CEL expression is not true."""
    api = "admissionregistration.k8s.io/v1"
    rule = {
        "apiGroups": ["qonverge.io"],
        "apiVersions": ["v1alpha1"],
        "operations": ["UPDATE"],
        "resources": ["hybridjobs/status"],
    }
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": allowed}]}
    policy = {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "no-attempts"}, "spec": spec}
    binding = {**policy, "kind": "ValidatingAdmissionPolicyBinding"}
    lab.apply(policy, {**binding, "spec": {"policyName": "no-attempts", "validationActions": ["Deny"]}})
    try:
        eventually(lambda: not _may_write_attempts(lab), "the policy in force")
        yield
    finally:
        for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            lab.kubectl("delete", kind, "no-attempts")
    eventually(lambda: _may_write_attempts(lab), "the end of the policy")


def _may_write_attempts(lab: Lab) -> bool:
    change = json.dumps({"status": {"attempts": 99}})
    try:
        lab.kubectl("patch", "hj", "lost", "--subresource=status", "--type=merge", "-p", change, "--dry-run=server")
    except CommandFailed:
        return False
    return True


def cleared(lab: Lab, before: set[str]) -> None:
    eventually(lambda: everything(lab) == before, "that nothing is left")


def test_each_attempt_is_told_with_its_reason_and_its_words(served: Lab, kubelet: Kubelet) -> None:
    """Failures count, and what the node, the API or the backend did to the program does not."""
    served.apply(retried("tried", maxAttempts=3))
    batch = attempt(served, "tried", 1)
    kubelet.end(kubelet.start(batch), 7, log="".join(f"line {number}\n" for number in range(500)))
    second = attempt(served, "tried", 2)
    pressure = [{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}]
    words = "The node was low on resource: memory. "
    kubelet.end(kubelet.start(second), 137, log="step 2\n", pod_says=("Evicted", words), conditions=pressure)
    third = attempt(served, "tried", 3)
    kubelet.evict(kubelet.start(third), "step 3\n")
    fourth = attempt(served, "tried", 4)
    left = "BackendUnreachable: the backend has not answered for 120 s"
    kubelet.end(kubelet.start(fourth), 1, message=left, log="step 4\n")
    fifth = attempt(served, "tried", 5)
    kubelet.end(kubelet.start(fifth), 42, log="that is no molecule\n")
    ended = served.ended("tried")
    assert (ended["reason"], ended["failures"], ended["interruptions"], ended["attempts"]) == ("ProgramFailed", 2, 3, 5)
    assert ended["message"] == (
        "the program ended with exit code 42; its last lines are in status.log; rules[0] of retryPolicy ends the job"
    )
    assert (ended["exitCode"], ended["log"]) == (42, "that is no molecule")
    told = [(each["reason"], each["exitCode"], each["counts"], each["node"]) for each in ended["failedAttempts"]]
    assert told == [
        ("ProgramFailed", 7, True, "worker-1"),
        ("Evicted", 137, False, "worker-1"),
        ("Evicted", 143, False, "worker-1"),
        ("BackendUnreachable", 1, False, "worker-1"),
        ("ProgramFailed", 42, True, "worker-1"),
    ]
    logs = [each.get("log") for each in ended["failedAttempts"]]
    assert logs[0].endswith("line 498\nline 499")
    assert len(logs[0]) <= 1024
    assert logs[1:] == ["step 2", "step 3", "step 4", None]
    # Of former attempts nothing stands in the cluster; the last one's pod is there for who looks at it.
    for kind in ("job", "secret"):
        names = {obj["metadata"]["name"] for obj in served.list(kind)}
        assert not names & {batch, second, third, fourth}
        assert fifth in names
    why = [sys.executable, "-c", "from qonverge.cli.main import main; main()", "why", "tried"]
    printed = subprocess.run(why, env=served.environment(), capture_output=True, text=True, check=True).stdout
    assert "attempts: 5 begun, 2 failed (maxAttempts is 3), 3 interrupted (maxInterruptions is 20)" in printed
    assert "last lines of attempt 5:\n  that is no molecule" in printed
    described = served.kubectl("describe", "hj", "tried")
    assert "the program's pod was evicted from worker-1" in described
    assert "line 499" in described
    reasons = {event["reason"] for event in served.list("events") if event["type"] == "Warning"}
    assert {"ProgramFailed", "Evicted", "BackendUnreachable"} <= reasons


def test_a_pause_is_kept_by_the_operator_that_follows(served: Lab, kubelet: Kubelet) -> None:
    served.apply(program("paused", retryPolicy={"rules": RULES, "backoffSeconds": 3600, "maxBackoffSeconds": 3600}))
    kubelet.end(kubelet.start(attempt(served, "paused", 1)), 7)
    waiting = eventually(lambda: (s := served.status("paused")).get("state") == "Pending" and s, "the pause")
    assert (waiting["reason"], waiting["failures"]) == ("ProgramFailed", 1)
    assert ", 3600 s later" in waiting["message"]
    served.stop_operator(signal.SIGKILL)
    served.start_operator()
    served.ready()
    served.apply(job("meanwhile"))
    assert served.ended("meanwhile")["state"] == "Complete"
    assert served.status("paused")["attempts"] == 1
    # Whoever cannot wait says so.
    served.patch("hj", "paused", {"spec": {"retryPolicy": {"backoffSeconds": 0}}})
    attempt(served, "paused", 2)


@pytest.mark.parametrize("how", ["succeeds", "fails", "is deleted", "is suspended and deleted", "is too late"])
def test_nothing_is_left_of_a_job_that(how: str, served: Lab, kubelet: Kubelet) -> None:
    before = everything(served)
    served.apply({**retried("gone"), "spec": {**retried("gone")["spec"], "ttlSecondsAfterFinished": 1}})
    first = kubelet.start(attempt(served, "gone", 1))
    assert len(everything(served)) == len(before) + 4, "the job, its batch Job, pod and Secret"
    kubelet.end(first, 7)
    pod = kubelet.start(attempt(served, "gone", 2))
    if how in ("succeeds", "fails"):
        kubelet.end(pod, 0 if how == "succeeds" else 42)
    elif how == "is suspended and deleted":
        served.patch("hj", "gone", {"spec": {"suspend": True}})
        kubelet.let_go(pod)
        eventually(lambda: len(everything(served)) == len(before) + 1, "that the job is all there is")
    elif how == "is too late":
        served.patch("hj", "gone", {"spec": {"activeDeadlineSeconds": 1}})
    if "deleted" in how:
        served.kubectl("delete", "hj", "gone")
    kubelet.let_go(pod)
    cleared(served, before)


def test_nothing_is_left_where_the_operator_is_killed_before_it_made_the_batch_job(served: Lab) -> None:
    """A ResourceQuota lets it make the Secret only."""
    before = everything(served)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    served.apply({**quota, "spec": {"hard": {"count/jobs.batch": "0"}}})
    try:
        eventually(lambda: "hard" in served.get("resourcequota", "none").get("status", {}), "the quota in force")
        served.apply(program("half"), program("whole"))
        both = ("half", "whole")
        refused = ["ApplyFailed"] * len(both)
        eventually(lambda: [served.status(name).get("reason") for name in both] == refused, "the refusal of their Jobs")
        served.stop_operator(signal.SIGKILL)
        assert len(everything(served)) == len(before) + 5, "the quota, and each job with a Secret"
        served.kubectl("delete", "hj", "half")
    finally:
        served.kubectl("delete", "resourcequota", "none")
    eventually(lambda: len(everything(served)) == len(before) + 2, "that what the deleted job had is gone")
    served.start_operator()
    assert served.get("job", attempt(served, "whole", 1))
    served.kubectl("delete", "hj", "whole")
    cleared(served, before)


def test_what_was_made_for_a_backend_that_is_gone_meanwhile_is_not_run(lab: Lab, kubelet: Kubelet) -> None:
    """Nobody knew of the attempt but the operator that was killed before it could write so."""
    small = {"capacity": {"concurrency": 1}, "template": {"resources": {"limits": {"memory": "900Mi"}}}}
    lab.apply(backend("one", **small))
    lab.start_operator()
    lab.ready()
    lab.serve("one", "one-0")
    lab.apply(program("lost", suspend=True))
    eventually(lambda: lab.status("lost").get("state") == "Suspended", "suspension")
    with forbidden(lab, "!has(object.status.attempts)"):
        lab.patch("hj", "lost", {"spec": {"suspend": False}})
        first = f"lost-{lab.get('hj', 'lost')['metadata']['uid'][:5]}-1"
        eventually(lambda: lab.get("job", first), "the batch Job that is not recorded")
        pod = kubelet.start(first)
        lab.stop_operator(signal.SIGKILL)
    assert "attempts" not in lab.status("lost")
    lab.kubectl("delete", "qb", "one", "--wait=false")
    lab.apply(backend("two", **small))
    lab.start_operator()
    lab.serve("two", "two-0")
    second = attempt(lab, "lost", 2)
    assert lab.status("lost")["backend"] == "two"
    eventually(lambda: not lab.get("job", first) and not lab.get("secret", first), "the end of the former attempt")
    kubelet.let_go(pod)
    kubelet.end(kubelet.start(second), 0)
    assert lab.ended("lost")["state"] == "Complete"


@pytest.mark.parametrize(("rule", "message"), BAD_RULES)
def test_the_api_server_refuses_rules_with_the_same_sentence(
    plane: ControlPlane, rule: dict[str, Any], message: str
) -> None:
    bad = program("bad", retryPolicy={"rules": [rule]})
    with pytest.raises(CommandFailed) as caught:
        plane.kubectl("apply", "--dry-run=server", "--server-side", "-f", "-", stdin=json.dumps(bad))
    assert message in caught.value.output
