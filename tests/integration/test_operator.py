"""The operator against a real API server and real backend servers."""

from __future__ import annotations

import json
import time
import urllib.request

from tests.integration.conftest import BELL, HEADER, SLOW, Lab, backend, eventually, job


def test_a_bell_pair_completes_with_one_write(served: Lab) -> None:
    served.apply(job("warm"))
    served.ended("warm")
    served.apply(job("bell", seed=4))
    served.kubectl("wait", "--for=condition=Complete", "hybridjob/bell", "--timeout=30s")
    obj = served.get("hj", "bell")
    status = obj["status"]
    assert set(status["result"]["counts"]) == {"00", "11"}
    assert sum(status["result"]["counts"].values()) == 1024
    assert status["backend"] == "aer"
    assert status["attempts"] == 1
    assert status["provenance"]["seed"] == 4
    managers = [m for m in obj["metadata"].get("managedFields", []) if m["manager"] == "qonverge"]
    assert len(managers) <= 1
    printed = served.kubectl("get", "hj,qb")
    assert "STATE" in printed
    assert "Complete" in printed
    assert "1/1" in printed


def test_bad_programs_fail_with_their_place(served: Lab) -> None:
    served.apply(
        job("bad", HEADER + "qubit q\nh q;"), job("wide", HEADER + "qubit[40] q; bit c; ry(1) q; c = measure q[0];")
    )
    bad = served.ended("bad")
    assert (bad["reason"], bad["message"]) == ("InvalidProgram", "line 4, column 1: unexpected 'h'; expected ';'")
    wide = served.ended("wide")
    assert wide["reason"] == "Unschedulable"
    assert "a statevector of 40 qubits needs 16 TiB" in wide["message"]
    events = served.list("events")
    assert any(e["reason"] == "InvalidProgram" and e["involvedObject"]["name"] == "bad" for e in events)


def test_a_job_waits_for_its_backend_and_says_so(lab: Lab) -> None:
    lab.start_operator()
    lab.ready()
    lab.apply(job("early", backend={"name": "late"}))
    waiting = eventually(lambda: lab.status("early").get("message"), "a reason to wait")
    assert waiting == "waiting for a QuantumBackend named late; there is none that this namespace may use"
    lab.apply(backend("late"))
    lab.serve("late")
    assert lab.ended("early")["state"] == "Complete"


def test_programs_come_from_config_maps(served: Lab) -> None:
    program = {"circuit": {"configMapKeyRef": {"name": "programs", "key": "bell.qasm"}}}
    served.apply(job("mapped", program=program))
    message = eventually(lambda: served.status("mapped").get("message"), "a reason to wait")
    assert message == "waiting for the ConfigMap programs"
    metadata = {"name": "programs", "namespace": "default"}
    served.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"bell.qasm": BELL}})
    assert served.ended("mapped")["state"] == "Complete"


def running_tasks(lab: Lab) -> int:
    value: int = lab.get("qb", "aer")["status"].get("running", 0)
    return value


def test_a_deleted_job_frees_its_worker(served: Lab) -> None:
    served.apply(job("slow", SLOW))
    eventually(lambda: served.status("slow").get("state") == "Running", "the start of slow")
    eventually(lambda: running_tasks(served) == 1, "a running task")
    served.kubectl("delete", "hj", "slow")
    eventually(lambda: running_tasks(served) == 0, "the end of the task", 20)
    served.apply(job("next"))
    assert served.ended("next")["state"] == "Complete"


def test_suspending_and_resuming(served: Lab) -> None:
    served.apply(job("held", suspend=True))
    eventually(lambda: served.status("held").get("state") == "Suspended", "suspension")
    served.kubectl("patch", "hj", "held", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    ended = served.ended("held")
    assert ended["state"] == "Complete"
    truths = {c["type"]: c["status"] for c in ended["conditions"]}
    assert truths["Suspended"] == "False"


def test_deadline_and_ttl(served: Lab) -> None:
    served.apply(job("late", SLOW, activeDeadlineSeconds=2, ttlSecondsAfterFinished=3))
    assert served.ended("late")["reason"] == "DeadlineExceeded"
    eventually(lambda: not served.get("hj", "late"), "the deletion of late")


def test_a_lost_pod_costs_an_attempt(served: Lab) -> None:
    served.apply(job("slow", SLOW, shots=10))
    eventually(lambda: served.status("slow").get("state") == "Running", "the start of slow")
    served.kill_pod("pod-0")
    served.serve("aer", "pod-1")
    ended = served.ended("slow", 240)
    assert ended["state"] == "Complete"
    assert ended["attempts"] == 2


def test_the_operator_is_killed_with_jobs_in_every_stage(served: Lab) -> None:
    names = [f"job-{n}" for n in range(200)]
    watch = served.folder / "watch.json"
    served.apply(*(job(name) for name in names[:150]))
    served.stop_operator(9)
    served.apply(*(job(name) for name in names[150:]))
    served.start_operator()
    eventually(
        lambda: sum(1 for o in served.list("hj") if o.get("status", {}).get("state") == "Complete") == 200,
        "200 ends",
        180,
    )
    for obj in served.list("hj"):
        assert sum(obj["status"]["result"]["counts"].values()) == 1024
    assert not watch.exists()


def test_an_api_server_that_goes_away(served: Lab) -> None:
    served.plane.kill_api_server()
    eventually(lambda: served.readiness()[0] == 503, "unreadiness")
    assert served.operator is not None
    time.sleep(20)
    assert served.operator.poll() is None
    served.plane.start_api_server()
    served.ready()
    served.apply(job("after"))
    assert served.ended("after", 90)["state"] == "Complete"


def test_what_vanished_while_the_operator_was_down(served: Lab) -> None:
    served.apply(job("slow", SLOW))
    eventually(lambda: served.status("slow").get("state") == "Running", "the start of slow")
    served.stop_operator(9)
    served.kubectl("delete", "hj", "slow")
    served.start_operator()
    served.ready()
    served.apply(job("next"))
    assert served.ended("next")["state"] == "Complete"
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{served.health}/metrics", timeout=5).read().decode()
    assert "qonverge_operator_jobs_in_flight 0.0" in metrics


def test_a_changed_deployment_is_put_right(served: Lab) -> None:
    patch = json.dumps({"spec": {"replicas": 7}})
    served.kubectl("patch", "deployment", "aer-qb", "--type=merge", "-p", patch)
    eventually(lambda: served.get("deployment", "aer-qb")["spec"]["replicas"] == 1, "one replica again")
    served.kubectl("scale", "qb", "aer", "--replicas=3")
    eventually(lambda: served.get("deployment", "aer-qb")["spec"]["replicas"] == 3, "three replicas")
