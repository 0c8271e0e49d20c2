"""Programs from repositories and volumes: the pods that they get, and what becomes of those that cannot be brought."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from qonverge.api import HybridJob, QuantumBackend
from qonverge.controller.jobs.decisions import decide
from qonverge.controller.jobs.kinds.pod_actions import Finish, TryAgain
from qonverge.controller.jobs.kinds.python import PythonJobs
from qonverge.controller.settings import Settings
from qonverge.execution.transitions import timestamp
from qonverge.programs.policy import ProgramPolicy
from tests.unit.controller.jobs.test_decisions import CREATED, batch, job, pod, program, source, view, written

GIT = {"url": "https://git.example.org/lab/vqe.git", "revision": "v1", "path": "solve/main.py"}


def pod_of(
    python: dict[str, Any], status: dict[str, Any] | None = None, settings: Settings | None = None
) -> dict[str, Any]:
    given = {"metadata": {"name": "j", "uid": "uid"}, "spec": {"program": {"python": python}}, "status": status or {}}
    backend = QuantumBackend.model_validate({"metadata": {"name": "aer", "uid": "u"}, "spec": {"simulator": {}}})
    job = HybridJob.model_validate(given)
    secret, made = PythonJobs().objects(job, backend, settings or Settings(), attempt=1, tokens=["t"])
    assert made["kind"] == "Job"
    assert secret["stringData"] == {"token": "t", **({"program.py": python["source"]} if "source" in python else {})}
    found: dict[str, Any] = made["spec"]["template"]["spec"]
    return found


def mounted(container: dict[str, Any], path: str) -> dict[str, Any]:
    (found,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == path]
    return dict(found)


def test_a_program_is_brought_before_it_runs() -> None:
    env = [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]
    made = pod_of({"git": {**GIT, "credentials": {"name": "git"}}, "template": {"env": env}})
    (first,), (container,) = made["initContainers"], made["containers"]
    assert first["args"] == [GIT["url"], "v1", "/program"]
    # Only the first one writes there, and it is no more than the program is.
    assert "readOnly" not in mounted(first, "/program")
    assert mounted(container, "/program")["readOnly"] is True
    assert mounted(first, "/program")["name"] == mounted(container, "/program")["name"]
    assert first["securityContext"] == container["securityContext"]
    assert first["env"][-1] == env[0]
    secrets = [each["valueFrom"]["secretKeyRef"] for each in first["env"] if "valueFrom" in each]
    assert [(each["name"], each["key"]) for each in secrets] == [("git", "username"), ("git", "password")]
    # The program itself does not get them.
    assert "git" not in str(container["env"])
    assert container["command"][-1] == "/program/solve/main.py"
    assert container["workingDir"] == "/program"


def test_a_further_attempt_runs_the_commit_of_the_first() -> None:
    again = pod_of({"git": GIT}, {"provenance": {"commit": "a" * 40}})
    assert again["initContainers"][0]["args"][1] == "a" * 40


def test_a_program_on_a_volume_is_run_from_there() -> None:
    made = pod_of({"volume": {"claimName": "code", "path": "vqe.py"}})
    assert "initContainers" not in made
    name = mounted(made["containers"][0], "/program")["name"]
    (volume,) = [each for each in made["volumes"] if each["name"] == name]
    assert volume["persistentVolumeClaim"] == {"claimName": "code", "readOnly": True}
    assert made["containers"][0]["command"][-1] == "/program/vqe.py"


@pytest.mark.parametrize(("policy", "image"), [({}, {}), ({"pullPolicy": "Always"}, {"pullPolicy": "Always"})])
def test_a_program_in_an_artifact_is_run_from_there(policy: dict[str, str], image: dict[str, str]) -> None:
    made = pod_of({"artifact": {"reference": "registry.example/lab/vqe:1.4", "path": "solve/main.py", **policy}})
    assert "initContainers" not in made
    container = made["containers"][0]
    name = mounted(container, "/program")["name"]
    (volume,) = [each for each in made["volumes"] if each["name"] == name]
    assert volume["image"] == {"reference": "registry.example/lab/vqe:1.4", **image}
    assert (container["command"][-1], container["workingDir"]) == ("/program/solve/main.py", "/program")


@pytest.mark.parametrize(
    "git",
    [
        {**GIT, "path": "../etc/passwd"},
        {**GIT, "path": "/etc/passwd"},
        {**GIT, "path": "a//b"},
        {**GIT, "url": "https://me:hush@git.example.org/lab"},
        {**GIT, "url": "file:///etc"},
        {**GIT, "revision": "--upload-pack=x"},
    ],
)
def test_what_leads_elsewhere_is_refused(git: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="String should match pattern"):
        pod_of({"git": git})


def test_requirements_are_installed_once_for_a_list_and_an_image() -> None:
    env = [{"name": name, "value": "mine"} for name in ("HOME", "PYTHONPATH", "PIP_INDEX_URL")]
    asked: dict[str, Any] = {"source": "pass", "requirements": ["qiskit-nature==0.7.2", "pyscf"], "image": "lab:1"}
    asked["template"] = {"env": env}
    made = pod_of(asked, settings=Settings(requirements_claim="requirements"))
    (first,), (container,) = made["initContainers"], made["containers"]
    folder, *packages = first["args"]
    assert packages == asked["requirements"]
    # By the program's own image, whose packages they go with.
    assert first["image"] == container["image"] == "lab:1"
    assert "readOnly" not in mounted(first, "/requirements")
    assert mounted(container, "/requirements")["readOnly"] is True
    name = mounted(container, "/requirements")["name"]
    (volume,) = [each for each in made["volumes"] if each["name"] == name]
    assert volume["persistentVolumeClaim"] == {"claimName": "requirements"}
    assert {"name": "PYTHONPATH", "value": f"{folder}/site-packages"} in container["env"]
    # No name is there twice, which the API server would refuse, and what Qonverge sets stays.
    for each, theirs in ((first, {"PYTHONPATH", "PIP_INDEX_URL"}), (container, {"HOME", "PIP_INDEX_URL"})):
        names = [variable["name"] for variable in each["env"]]
        assert len(names) == len(set(names))
        assert {variable["name"] for variable in each["env"] if variable.get("value") == "mine"} == theirs
    other = pod_of({**asked, "image": "lab:2"}, settings=Settings(requirements_claim="requirements"))
    assert other["initContainers"][0]["args"][0] != folder


def test_a_policy_bounds_credentials_claims_and_artifacts_too() -> None:
    policy = ProgramPolicy.parse([{"secrets": [], "persistentVolumeClaims": [], "images": ["lab/*"]}])

    def violations(python: dict[str, Any]) -> list[str]:
        given = {"metadata": {"name": "j"}, "spec": {"program": {"python": python}}}
        return policy.violations(HybridJob.model_validate(given), {})

    (secret,) = violations({"git": {**GIT, "credentials": {"name": "root"}}})
    assert secret.startswith("spec.program.python.git.credentials.name is root: of secrets")
    (claim,) = violations({"volume": {"claimName": "code", "path": "a.py"}})
    assert claim.startswith("spec.program.python.volume.claimName is code: of persistent volume claims")
    assert violations({"artifact": {"reference": "lab/vqe:1", "path": "a.py"}}) == []
    (artifact,) = violations({"artifact": {"reference": "else/vqe:1", "path": "a.py"}})
    assert artifact.startswith("spec.program.python.artifact.reference is else/vqe:1: of images")


def fetched(code: int, message: str, name: str = "qonverge-fetch") -> dict[str, Any]:
    terminated = {"exitCode": code, "message": message}
    return {"initContainerStatuses": [{"name": name, "state": {"terminated": terminated}}]}


def test_the_commit_is_recorded_while_the_program_runs_and_at_its_end() -> None:
    running = {"name": "p", "phase": "Running", **fetched(0, "c" * 40)}
    shown = written(decide(view(program("Placed"), source(), batch={}, pod=running)))
    assert shown.provenance is not None
    assert (shown.state, shown.provenance.commit) == ("Running", "c" * 40)
    # The pod may be gone by then.
    known = program(provenance={"commit": "c" * 40})
    for given, seen in ((program(), pod(0, **fetched(0, "c" * 40))), (known, pod(0))):
        (ended,) = decide(view(given, source(), batch=batch("Complete"), pod=seen))
        assert isinstance(ended, Finish)
        assert ended.status.provenance is not None
        assert ended.status.provenance.commit == "c" * 40


@pytest.mark.parametrize(
    ("name", "reason", "says"),
    [
        ("qonverge-fetch", "ProgramNotFetched", "https://git.example.org/a.git has no revision v9: it has HEAD, main"),
        ("qonverge-install", "RequirementsNotInstalled", "No matching distribution found for qiskit-natur"),
    ],
)
def test_what_is_not_there_fails_the_job_with_the_words_of_who_looked(name: str, reason: str, says: str) -> None:
    seen = {"name": "p", "node": "n1", **fetched(1, says, name)}
    (ended,) = decide(view(program(), source(), batch=batch("Failed"), pod=seen))
    assert isinstance(ended, Finish)
    assert (ended.status.state, ended.status.reason, ended.status.message) == ("Failed", reason, says)
    assert ended.status.failed_attempts is not None
    (last,) = ended.status.failed_attempts
    assert (last.reason, last.pod, last.node) == (reason, "p", "n1")
    # The program's container never ran: it has no log.
    assert ended.pod is None


@pytest.mark.parametrize(
    ("name", "code", "action", "goes_on"),
    [
        ("qonverge-fetch", 1, "Retry", True),
        ("qonverge-fetch", 75, "Fail", False),
        ("qonverge-install", 1, "Ignore", True),
    ],
)
def test_a_rule_says_what_follows_a_program_that_is_not_there(name: str, code: int, action: str, goes_on: bool) -> None:
    rule = {"action": action, "onReasons": ["ProgramNotFetched", "RequirementsNotInstalled"]}
    status = {"state": "Placed", "attempts": 1, "backend": "aer", "placedAt": timestamp(CREATED)}
    given = job(status, python=True, retryPolicy={"rules": [rule]})
    first, *_ = decide(view(given, source(), batch=batch("Failed"), pod={"name": "p", **fetched(code, "no", name)}))
    assert isinstance(first, TryAgain if goes_on else Finish)
    assert (first.status.failures, first.status.interruptions) == ((0, 1) if action == "Ignore" else (1, 0))


@pytest.mark.parametrize(
    ("said", "reason"),
    [("DeadlineExceeded", "DeadlineExceeded"), ("Evicted", "Evicted"), ("Terminated", "NodeShutdown")],
)
def test_what_a_node_ends_while_it_is_installed_failed_of_that(said: str, reason: str) -> None:
    seen = {"name": "p", "phase": "Failed", "reason": said, **fetched(137, "", "qonverge-install")}
    first, *_ = decide(view(program(), source(), batch=batch("Failed"), pod=seen))
    assert isinstance(first, Finish | TryAgain)
    assert first.status.reason == reason


def test_a_server_that_did_not_answer_is_tried_again_for_as_many_attempts_as_there_are() -> None:
    seen: dict[str, Any] = {"batch": batch("Failed"), "pod": {"name": "p", **fetched(75, "could not be read")}}
    again, *_ = decide(view(program(), source(), **seen))
    assert isinstance(again, TryAgain)
    assert (again.status.state, again.status.failures) == ("Pending", 1)
    (last,) = decide(view(program(attempts=3, failures=2), source(), **seen))
    assert isinstance(last, Finish)
    assert (last.status.reason, last.status.message) == ("ProgramNotFetched", "after 3 attempts: could not be read")
