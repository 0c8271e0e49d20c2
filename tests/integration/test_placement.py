"""Rounds of placement, forecasts and quotas against a real API server and real backend servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from typing import Any

from qonverge.api.backend import OFFERS_LABEL
from tests.integration.conftest import Lab, backend, eventually, job, layered


def quota(name: str = "share", period: str = "8760h", **limits: Any) -> dict[str, Any]:
    return {
        "apiVersion": "qonverge.io/v1alpha1",
        "kind": "QuantumQuota",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"limits": limits, "period": period},
    }


def states(lab: Lab) -> dict[str, str]:
    return {item["metadata"]["name"]: item.get("status", {}).get("state", "") for item in lab.list("hj")}


def test_a_suspended_job_shows_a_forecast_and_resuming_approves_it(served: Lab) -> None:
    served.apply(backend("tiny", capacity={"concurrency": 1, "maxQubits": 1}))
    served.apply(job("asked", suspend=True))
    forecast = eventually(lambda: served.status("asked").get("forecast"), "a forecast")
    by_backend = {each["backend"]: each for each in forecast}
    assert set(by_backend) == {"aer", "tiny"}
    assert by_backend["aer"]["fidelity"]["mid"] == 1
    assert by_backend["aer"]["runSeconds"]["low"] <= by_backend["aer"]["runSeconds"]["high"]
    assert "tiny takes 1 qubits and the circuit has 2" in by_backend["tiny"]["rejected"]
    assert served.status("asked")["state"] == "Suspended"
    served.kubectl("patch", "hj", "asked", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    ended = served.ended("asked")
    assert ended["state"] == "Complete"
    assert ended["forecast"][0]["backend"] == "aer"
    assert ended["usage"]["shots"] == 1024


def test_a_quota_is_never_exceeded_by_200_submissions_at_once(served: Lab) -> None:
    served.apply(quota(shots=50 * 1024))
    served.apply(*(job(f"many-{number}") for number in range(200)))

    def settled() -> bool:
        found = list(states(served).values())
        return found.count("Complete") >= 50 and all(state in ("Complete", "Pending") for state in found)

    eventually(settled, "50 jobs to complete and the others to wait")
    status = eventually(
        lambda: (s := served.get("qq", "share")["status"])["used"]["shots"] == 50 * 1024 and s, "the quota's status"
    )
    assert list(states(served).values()).count("Complete") == 50
    assert next(c for c in status["conditions"] if c["type"] == "Exhausted")["status"] == "True"
    waiting = next(name for name, state in states(served).items() if state == "Pending")
    eventually(lambda: "quota" in served.status(waiting).get("message", ""), "that a job says what it waits for")
    # More than before is enough for one more, and what was used is known to the next operator.
    served.stop_operator()
    served.kubectl("patch", "qq", "share", "--type=merge", "-p", json.dumps({"spec": {"limits": {"shots": 51 * 1024}}}))
    served.start_operator()
    eventually(lambda: list(states(served).values()).count("Complete") == 51, "one more job")
    eventually(lambda: served.get("qq", "share")["status"]["used"]["shots"] == 51 * 1024, "the quota's status")
    assert list(states(served).values()).count("Complete") == 51


def test_a_job_of_a_higher_priority_class_goes_first(served: Lab) -> None:
    served.apply(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "urgent"},
            "value": 1000,
        }
    )
    served.apply(backend("one", capacity={"concurrency": 1}))
    served.serve("one", "pod-one")
    only: dict[str, Any] = {"backend": {"name": "one"}}
    served.apply(*(job(f"usual-{number}", layered(20, 20), **only) for number in range(6)))
    served.ended("usual-0")
    served.apply(job("first", priorityClassName="urgent", **only))
    assert served.ended("first")["state"] == "Complete"
    others = [state for name, state in states(served).items() if name.startswith("usual")]
    assert others.count("Complete") <= 4, "it did not wait for those that came before"
    served.kubectl("delete", "priorityclass", "urgent")


def test_terms_that_nothing_meets_are_said_with_their_numbers(served: Lab) -> None:
    served.apply(
        job("far", placement={"tiers": ["Cloud"]}),
        job("law", placement={"regions": ["eu"]}),
        job("late", deadline="2020-01-01T00:00:00Z"),
    )
    assert served.ended("far")["reason"] == "Unschedulable"
    assert "Cloud" in served.status("far")["message"]
    assert "eu" in served.ended("law")["message"]
    assert served.ended("late")["reason"] == "DeadlineExceeded"


def test_namespaces_are_admitted_by_their_labels_as_these_change(served: Lab) -> None:
    served.kubectl("create", "namespace", "chem")
    try:
        access = {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "chemists"}}}}
        served.kubectl("patch", "qb", "aer", "--type=merge", "-p", json.dumps({"spec": {"access": access}}))
        visitor = job("visitor", backend={"name": "aer", "namespace": "default"})
        visitor["metadata"]["namespace"] = "chem"
        served.apply(visitor)

        def visited() -> dict[str, Any]:
            status: dict[str, Any] = served.get("hj", "visitor", "chem").get("status", {})
            return status

        # First its own namespace must be one that may offer backends, and then the job's one that it admits.
        eventually(lambda: f"{OFFERS_LABEL}=true" in visited().get("message", ""), "a reason to wait")
        served.kubectl("label", "namespace", "default", f"{OFFERS_LABEL}=true")
        eventually(lambda: "labels its selector does not match" in visited()["message"], "another reason to wait")
        assert visited()["state"] == "Pending"
        served.kubectl("label", "namespace", "chem", "team=chemists")
        eventually(lambda: visited()["state"] == "Complete", "the end of the job")
    finally:
        served.kubectl("label", "namespace", "default", f"{OFFERS_LABEL}-")
        served.api.delete_all("hj", "chem")
        served.kubectl("delete", "namespace", "chem", "--wait=false")


def test_rounds_are_recorded_and_replay_to_the_same(served: Lab) -> None:
    served.apply(*(job(f"traced-{number}") for number in range(5)), job("wide", layered(40, 1)))
    for number in range(5):
        served.ended(f"traced-{number}")
    with urllib.request.urlopen(f"http://127.0.0.1:{served.health}/trace", timeout=60) as answer:
        trace = served.folder / "trace.jsonl"
        trace.write_bytes(answer.read())
    assert "default/traced-0" in trace.read_text()
    printed = qonverge(served, "replay", str(trace))
    assert printed.rstrip().endswith(" 0 differences"), printed


def test_a_person_can_ask_why(served: Lab) -> None:
    served.apply(job("gone"), job("far", placement={"tiers": ["Cloud"]}))
    served.ended("gone")
    served.ended("far")
    told = json.loads(qonverge(served, "why", "gone", "-o", "json"))
    assert (told["state"], told["backend"]) == ("Complete", "aer")
    assert "aer" in told["placement"]
    assert told["forecast"][0]["runSeconds"]["mid"] > 0
    printed = qonverge(served, "why", "far", "-n", "default")
    assert "aer's tier is OnPrem and the job allows Cloud" in " ".join(printed.split())


def qonverge(lab: Lab, *arguments: str) -> str:
    """Run the command line as a user of the cluster and return what it prints."""
    command = [sys.executable, "-c", "from qonverge.cli.main import main; main()", *arguments]
    environment = {**os.environ, "KUBECONFIG": str(lab.plane.kubeconfig)}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
