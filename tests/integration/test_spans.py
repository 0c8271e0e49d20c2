"""One trace from apply to result, over operator, backend pod, proxy, vendor and program, received as OTLP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.clouds.running import Service, provider, vendor
from tests.integration.conftest import Lab, backend, eventually, job
from tests.integration.test_tokens import Program, program
from tests.span_collector import Collector, Received, collecting

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TURN = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; x q[0]; cx q[0], q[1]; c = measure q;'
OPERATOR, POD, PROGRAM = "qonverge-operator", "qonverge-backend", "qonverge-program"
SECRET = "not-for-attributes"
SCRIPT = """
from qiskit import QuantumCircuit
from qonverge.client import SamplerV2
bell = QuantumCircuit(2)
bell.h(0)
bell.cx(0, 1)
bell.measure_all()
SamplerV2().run([bell], shots=10).result()
"""


class Site:
    """A lab whose operator sends its spans, with a simulator and a device elsewhere."""

    def __init__(self, lab: Lab, collector: Collector, service: Service) -> None:
        self.lab, self.collector, self.service = lab, collector, service

    def start(self) -> None:
        self.lab.start_operator(
            OTEL_EXPORTER_OTLP_ENDPOINT=self.collector.url, OTEL_EXPORTER_OTLP_HEADERS=f"api-key={SECRET}"
        )
        self.lab.ready()

    def one(self, trace: str, name: str, service: str, **attributes: Any) -> Received:
        """Return the one span of this name of a trace, once it has arrived."""

        def found() -> list[Received]:
            return [
                span
                for span in self.collector.trace(trace)
                if (span.name, span.service) == (name, service) and attributes.items() <= span.attributes.items()
            ]

        spans: list[Received] = eventually(found, f"the span {name} of {service}")
        (span,) = spans
        return span


def capable(lab: Lab, name: str) -> bool:
    return bool(lab.get("qb", name)["status"].get("capabilities"))


@pytest.fixture
def site(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with collecting() as collector, vendor() as service, provider(tmp_path / "site"):
        service.control(settings={"seconds": 600}, device={"num_qubits": 5})
        site = Site(lab, collector, service)
        section = {"provider": "Tagged", "options": {"endpoint": service.url}}
        acme = backend("acme", plugin=section, capacity={"concurrency": 4})
        del acme["spec"]["simulator"]
        lab.apply(backend("aer"), acme)
        site.start()
        lab.serve("aer")
        lab.serve("acme", "pod-1")
        for name in ("aer", "acme"):
            eventually(partial(capable, lab, name), name)
        yield site


def test_one_trace_joins_operator_pod_vendor_and_program(site: Site) -> None:
    a_task_elsewhere_whose_operator_was_killed(site)
    a_circuit_of_a_caller_who_has_a_trace(site)
    a_program(site)
    ids = [span.id for span in site.collector.spans]
    assert len(ids) == len(set(ids))
    assert all(span.start <= span.end for span in site.collector.spans)
    assert {each["api-key"] for each in site.collector.headers} == {SECRET}
    for secret in (SECRET, "OPENQASM", "cx q", "Bearer"):
        assert secret.encode() not in site.collector.raw


def a_circuit_of_a_caller_who_has_a_trace(site: Site) -> None:
    manifest = job("bell", backend={"name": "aer"})
    manifest["metadata"]["annotations"] = {"qonverge.io/traceparent": CALLER}
    site.lab.apply(manifest)
    status = site.lab.ended("bell")
    _, trace, caller, _ = CALLER.split("-")
    assert status["traceId"] == trace
    root = site.one(trace, "HybridJob", OPERATOR)
    assert (root.parent, root.attributes["qonverge.job.state"]) == (caller, "Complete")
    assert (root.attributes["k8s.namespace.name"], root.attributes["qonverge.job.name"]) == ("default", "bell")
    place = site.one(trace, "place", OPERATOR)
    assert any("aer" in said for said in place.events)
    sent = site.one(trace, "task", OPERATOR)
    served = site.one(trace, "task", POD)
    for span in (place, sent, *(site.one(trace, name, OPERATOR) for name in ("check", "forecast", "result"))):
        assert span.parent == root.id, span
    assert (served.parent, served.attributes["qonverge.job"]) == (sent.id, "default/bell")
    assert (sent.kind, served.kind) == (3, 2)
    for name in ("queue", "run"):
        assert site.one(trace, name, POD).parent == served.id
    assert len(site.collector.trace(trace)) == 9


def a_task_elsewhere_whose_operator_was_killed(site: Site) -> None:
    lab = site.lab
    lab.apply(job("turn", TURN, shots=100, backend={"name": "acme"}))
    before = eventually(lambda: found if (found := lab.status("turn")).get("cloudTasks") else None, "its task")
    lab.stop_operator(signal.SIGKILL)
    site.start()
    site.service.control(settings={"seconds": 0.0})
    status = lab.ended("turn")
    assert (status["state"], status["attempts"], status["traceId"]) == ("Complete", 1, before["traceId"]), status
    trace = status["traceId"]
    root, sent = site.one(trace, "HybridJob", OPERATOR), site.one(trace, "task", OPERATOR)
    assert (root.parent, sent.parent) == ("", root.id)
    served = site.one(trace, "task", POD)
    assert served.parent == sent.id
    identity = status["cloudTasks"][0]["id"]
    submit = site.one(trace, "submit", POD)
    for span in (submit, site.one(trace, "cloud task", POD), site.one(trace, "result", POD)):
        assert (span.parent, span.attributes["qonverge.cloud.task.id"]) == (served.id, identity)
    assert site.one(trace, "translate", POD).parent == submit.id


def a_program(site: Site) -> None:
    lab = site.lab
    lab.apply(program("loop", backend={"name": "aer"}))
    run = Program(lab, "loop")
    trace = run.placed()["traceId"]
    (container,) = lab.get("job", run.object())["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each.get("value", "") for each in container["env"]}
    (header,) = [each for each in container["env"] if each["name"] == "OTEL_EXPORTER_OTLP_HEADERS"]
    assert header["valueFrom"]["secretKeyRef"] == {"name": run.object(), "key": "otlp-headers"}
    token, script = lab.folder / "token", lab.folder / "loop.py"
    token.write_text(run.token())
    script.write_text(SCRIPT)
    own = {
        "QONVERGE_BACKEND_URL": lab.url("pod-0"),
        "QONVERGE_TOKEN_FILE": str(token),
        "QONVERGE_REPORT_URL": "",
        "QONVERGE_TERMINATION_LOG": str(lab.folder / "termination"),
        "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={SECRET}",
    }
    command = [sys.executable, "-m", "qonverge.client.program.run", str(script)]
    subprocess.run(command, env={**os.environ, **given, **own}, check=True, timeout=600)
    run.end()
    assert lab.ended("loop")["traceId"] == trace
    root, attempt = site.one(trace, "HybridJob", OPERATOR), site.one(trace, "program", OPERATOR)
    process = site.one(trace, "program", PROGRAM)
    assert (attempt.parent, process.parent) == (root.id, attempt.id)
    sent = site.one(trace, "task", PROGRAM)
    served = site.one(trace, "task", POD)
    assert (sent.parent, served.parent) == (process.id, sent.id)
    assert served.attributes["qonverge.job"] == "default/loop"
    assert not process.failed
