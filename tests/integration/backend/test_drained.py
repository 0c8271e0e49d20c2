"""A server that takes no new tasks for a while, as before it is removed: real processes, and clients of programs."""

from __future__ import annotations

import json
import threading
from typing import Any

from qiskit import QuantumCircuit

from qonverge.client import SamplerV2
from qonverge.client.transport.connection import Connection
from qonverge.wire.tokens import OPERATOR_SUBJECT

PODS = ["127.0.0.1", "127.0.0.2"]


def drain(backend: Any, on: object, subject: str = OPERATOR_SUBJECT) -> Any:
    body = json.dumps({"on": on}).encode()
    return backend.ask("PUT", "/v1/drain", body, subject=subject, content_type="application/json")


def completed(pod: Any) -> float:
    return float(pod.metric('qonverge_backend_tasks_total{state="Completed"}'))


def test_a_drained_server_does_what_it_has_and_takes_nothing_else(
    kit: Any, bell: QuantumCircuit, endless: QuantumCircuit
) -> None:
    with kit.serving("--concurrency", "1") as backend:
        done, running = kit.task(bell, "done"), kit.task(endless, "running")
        counts = backend.send(done).body["results"]
        backend.send(running, wait=0)
        backend.send(kit.task(bell, "waiting"), wait=0)
        kit.until(lambda: backend.info()["running"] == 1, "it runs")
        for nobody in (None, 1, "true"):
            assert drain(backend, nobody).error["code"] == "InvalidTask"
        assert drain(backend, True, "chem/job").error["code"] == "NotFound"
        assert not backend.info()["draining"]
        told = drain(backend, True)
        assert [told.body[name] for name in ("draining", "running", "queued")] == [True, 1, 1]
        assert backend.ask("GET", "/readyz").status == 200
        refused = backend.send(kit.task(bell, "new"), wait=0)
        assert (refused.status, refused.error["code"], refused.error["retryable"]) == (503, "Draining", True)
        # What it has by its id is no new task, and what the operator sent before it asked may come later.
        assert backend.send(done).body["results"] == counts
        assert backend.send(running, wait=0).body["state"] == "Running"
        assert backend.send(kit.task(bell, "of-the-operator"), wait=0, subject=OPERATOR_SUBJECT).status == 202
        backend.ask("DELETE", "/v1/tasks/running")
        assert backend.ask("GET", "/v1/tasks/waiting?wait=60").body["state"] == "Completed"
        assert not drain(backend, False).body["draining"]
        assert backend.send(kit.task(bell, "new")).body["state"] == "Completed"


def test_loops_move_to_a_pod_that_is_only_starting(kit: Any, bell: QuantumCircuit) -> None:
    """The pod that drains is the only one at first; its program goes on without an error, and the loop moves."""
    there, port = PODS[:1], kit.free_port()
    with kit.serving("--concurrency", "1", port=port, host=PODS[0], tokens=False) as first:
        connection = Connection(f"http://{PODS[0]}:{port}", resolve=lambda *_: there)
        sampler = SamplerV2(connection)
        stop, results, errors = threading.Event(), list[int](), list[BaseException]()

        def loop() -> None:
            try:
                while not stop.is_set():
                    results.append(sampler.run([bell], shots=100).result()[0].data.c.num_shots)
            except BaseException as error:
                errors.append(error)

        program = threading.Thread(target=loop)
        program.start()
        try:
            kit.until(lambda: len(results) >= 3, "the loop runs")
            drain(first, True, "anybody")
            kit.until(lambda: first.info()["running"] == 0, "the pod is free")
            before = completed(first)
            with kit.serving("--concurrency", "1", port=port, host=PODS[1], tokens=False) as second:
                there.append(PODS[1])
                kit.until(lambda: completed(second) >= 3 or errors, "the loop goes on elsewhere")
                assert completed(first) == before
                assert (first.info()["draining"], connection.info().draining) == (True, False)
                drain(second, True, "anybody")
                drain(first, False, "anybody")
                kit.until(lambda: completed(first) >= before + 3 or errors, "and comes back")
                stop.set()
                program.join(60)
        finally:
            stop.set()
            program.join(60)
        assert not errors
        assert set(results) == {100}
