"""The operator against a real API server and real backend servers."""

from __future__ import annotations

import base64
import gzip
import io
import json
from typing import Any

from qiskit import QuantumCircuit, qpy

from tests.integration.conftest import BELL, HEADER, SLOW, Lab, backend, eventually, job


def test_a_bell_pair_completes_with_one_write(served: Lab) -> None:
    served.apply(job("warm"))
    served.ended("warm")
    served.apply(job("bell", seed=4))
    served.kubectl("wait", "--for=condition=Complete", "hybridjob/bell", "--timeout=600s")
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
    entangled = "".join(f"cx q[{n}], q[{39 - n}];" for n in range(20))
    served.apply(
        job("bad", HEADER + "qubit q\nh q;"),
        job("wide", HEADER + f"qubit[40] q; bit c; ry(1) q; {entangled} c = measure q[0];"),
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


def test_circuits_come_compressed_and_as_qpy(served: Lab) -> None:
    buffer = io.BytesIO()
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    bell.measure_all()
    qpy.dump(bell, buffer)
    packed = {"bell.qasm.gz": gzip.compress(BELL.encode()), "bell.qpy": buffer.getvalue(), "bad": b"\x89PNG"}
    coded = {name: base64.b64encode(data).decode() for name, data in packed.items()}
    served.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "packed"}, "binaryData": coded},
        *(job(f"packed-{n}", program=from_key("packed", key)) for n, key in enumerate(packed)),
        job("inline", program={"circuit": {"qpy": coded["bell.qpy"]}}),
        job("text", program={"python": {"configMapKeyRef": {"name": "packed", "key": "bad"}}}),
    )
    for name in ("packed-0", "packed-1", "inline"):
        ended = served.ended(name)
        assert ended["state"] == "Complete", ended
        assert set(ended["result"]["counts"]) == {"00", "11"}
    assert served.ended("packed-2")["message"].startswith("the program is neither text nor QPY; expected OpenQASM text")
    assert "binary data" in served.ended("text")["message"]


def from_key(name: str, key: str) -> dict[str, Any]:
    return {"circuit": {"configMapKeyRef": {"name": name, "key": key}}}


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


def test_a_changed_deployment_is_put_right(served: Lab) -> None:
    patch = json.dumps({"spec": {"replicas": 7}})
    served.kubectl("patch", "deployment", "aer-qb", "--type=merge", "-p", patch)
    eventually(lambda: served.get("deployment", "aer-qb")["spec"]["replicas"] == 1, "one replica again")
    served.kubectl("scale", "qb", "aer", "--replicas=3")
    eventually(lambda: served.get("deployment", "aer-qb")["spec"]["replicas"] == 3, "three replicas")
