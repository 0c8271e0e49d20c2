"""A backend that stands for a server elsewhere: a proxy, a link over TLS that may be cut, and an edge server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qiskit import QuantumCircuit

from bench import remote
from bench.remote import Ends, ends, until
from qonverge.backend.executors.protocol import Request
from qonverge.devices.noise import noise_named
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.messages import Pub, Task, TaskResult
from qonverge.wire.tokens import Caller


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ends]:
    with ends(tmp_path_factory.mktemp("remote")) as running:
        yield running


def key_of(identity: str) -> str:
    """Return the id that a task of the proxy has at the edge: callers without a token are ``local``."""
    return Request(Task(identity, ()), 0, Caller("local")).key


def stands(both: Ends, identity: str, wait: float = 0.0) -> TaskResult:
    return TaskResult.from_dict(both.proxy.ask("GET", f"/v1/tasks/{identity}?wait={wait:g}"))


def run(both: Ends, task: Task) -> TaskResult:
    result = TaskResult.from_dict(both.proxy.ask("POST", "/v1/tasks?wait=60", task.to_dict()))
    assert result.done, result
    return result


def info(both: Ends) -> BackendInfo:
    return BackendInfo.from_dict(both.proxy.ask("GET", "/v1/backend"))


def edge_info(both: Ends) -> BackendInfo:
    return BackendInfo.from_dict(both.edge.ask("GET", "/v1/backend"))


def test_results_are_those_of_the_other_server(both: Ends, kit: Any) -> None:
    circuit = QuantumCircuit(3, 3)
    circuit.x(0)
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.measure([0, 1, 2], [2, 0, 1])
    digest, data = kit.travelling(circuit)
    open_circuit = circuit.remove_final_measurements(inplace=False)
    open_digest, open_data = kit.travelling(open_circuit)
    pubs = (Pub(digest, shots=50), Pub(open_digest, observables=((("ZII", 1.0),), (("XXZ", 0.5), ("IIZ", 1.0)))))
    circuits = {digest: data, open_digest: open_data}
    for memory in (False, True):
        identity = f"same-{memory}"
        result = run(both, Task(identity, pubs, circuits, 7, memory))
        there = TaskResult.from_dict(
            both.edge.ask("POST", "/v1/tasks?wait=60", Task(identity, pubs, circuits, 7, memory).to_dict())
        )
        assert json.dumps(result.to_dict()["results"], default=_plain) == json.dumps(
            there.to_dict()["results"], default=_plain
        )
        assert (result.engine, result.seed, result.calibration) == (there.engine, 7, "")
        # X on qubit 0, which is read into bit 2, and Z of qubits 0 and 2: -1, 0, and 0.5 <XX> <Z> - 1.
        values = result.results[1].expectation_values
        assert values is not None
        assert values.ravel() == pytest.approx([0.0, -1.5], abs=1e-9)
        if not memory:
            assert set(result.results[0].counts[0]) <= {"100", "111"}
        (known,) = result.vendor_tasks
        assert (known.id, known.state) == (key_of(identity), "Completed")
        assert known.run_seconds == result.run_seconds > 0


def test_a_task_without_a_seed_has_the_one_that_was_drawn_there(both: Ends, kit: Any, bell: QuantumCircuit) -> None:
    result = run(both, kit.task(bell, "drawn", shots=300))
    there = TaskResult.from_dict(both.edge.ask("GET", f"/v1/tasks/{key_of('drawn')}"))
    assert result.seed == there.seed
    assert result.results == there.results


def test_errors_of_the_other_server_come_as_they_are(both: Ends, kit: Any) -> None:
    wide = QuantumCircuit(60, 60)
    wide.h(range(60))
    wide.t(range(60))
    for k in range(59):
        wide.cx(k, 59 - k if k != 59 - k else 0)
        wide.t(59 - k)
    wide.measure(range(60), range(60))
    errors = []
    for place in (both.proxy, both.edge):
        answer = place.ask("POST", "/v1/tasks?wait=60", kit.task(wide, "wide", shots=10).to_dict())
        errors.append(answer["error"])
    assert errors[0] == errors[1]
    assert errors[0]["code"] in ("CircuitTooLarge", "EngineFailed", "InvalidCircuit")


def test_what_the_proxy_says_of_itself_is_what_the_other_server_is(both: Ends) -> None:
    here, there = info(both), edge_info(both)
    for name in ("engine", "method", "methods", "basis_gates", "max_qubits", "max_shots", "memory_bytes", "workers"):
        assert getattr(here, name) == getattr(there, name), name
    assert here.spool is not None
    assert here.device is not None
    assert here.device.online
    assert here.device.ideal
    assert 0 < (here.device.round_trip_seconds or 0) < 5
    metrics = both.proxy.pool.request("GET", f"{both.proxy.url}/metrics").data.decode()
    assert "qonverge_backend_device_round_trip_seconds" in metrics
    assert 'qonverge_backend_remote_calls_total{answered="true",kind="look"}' in metrics


def test_cancelled_here_is_cancelled_there_and_delivered_here_is_dropped_there(
    both: Ends, kit: Any, bell: QuantumCircuit, endless: QuantumCircuit
) -> None:
    both.proxy.ask("POST", "/v1/tasks", kit.task(endless, "endless", shots=1).to_dict())
    until(lambda: stands(both, "endless").state == "Running", "it runs")
    assert [task["id"] for task in both.edge.ask("GET", "/v1/tasks")["tasks"]] == [key_of("endless")]
    assert both.proxy.ask("DELETE", "/v1/tasks/endless")["state"] == "Cancelled"
    until(lambda: both.edge.ask("GET", "/v1/tasks")["tasks"] == [], "it is cancelled there")
    run(both, kit.task(bell, "short", shots=1))
    end = both.spool / f"{remote.edge_key(key_of('short'))}.end"
    assert end.exists()
    assert both.proxy.ask("DELETE", "/v1/tasks/short/result") == {"dropped": True}
    until(lambda: not end.exists(), "the end is dropped there")
    assert both.proxy.ask("DELETE", "/v1/tasks/short/result") == {"dropped": False}


@pytest.mark.parametrize("silently", [False, True])
def test_while_the_link_is_cut_tasks_wait_and_say_why(
    both: Ends, kit: Any, bell: QuantumCircuit, endless: QuantumCircuit, *, silently: bool
) -> None:
    name = f"cut-{silently}"
    both.proxy.ask("POST", "/v1/tasks", kit.task(endless, f"{name}-runs", shots=1).to_dict())
    until(lambda: stands(both, f"{name}-runs").state == "Running", "it runs")
    both.link.cut(silently=silently)
    both.proxy.ask("POST", "/v1/tasks", kit.task(bell, f"{name}-waits", shots=10).to_dict())

    def reason() -> str:
        return "".join(task.message for task in stands(both, f"{name}-waits").vendor_tasks)

    if not silently:
        until(reason, "it says why it waits")
        assert "no answer from https://localhost" in reason()
        found = info(both)
        assert found.device is not None
        assert (found.device.online, found.queued, found.running) == (False, 1, 1)
        assert "no answer from" in found.device.reason
        assert both.proxy.pool.request("GET", f"{both.proxy.url}/readyz").status == 200
    # Cancelled meanwhile: the other server hears of it when the link is back.
    cancelling = threading.Thread(target=both.proxy.ask, args=("DELETE", f"/v1/tasks/{name}-runs"))
    cancelling.start()
    time.sleep(0.2)
    assert [task["id"] for task in both.edge.ask("GET", "/v1/tasks")["tasks"]] == [key_of(f"{name}-runs")]
    both.link.mend()
    cancelling.join()
    assert stands(both, f"{name}-waits", 60).state == "Completed"
    assert stands(both, f"{name}-runs").state == "Cancelled"
    until(lambda: both.edge.ask("GET", "/v1/tasks")["tasks"] == [], "it is cancelled there")


def test_tokens_are_replaced_on_both_sides_without_a_restart(
    both: Ends, kit: Any, bell: QuantumCircuit, tmp_path: Path
) -> None:
    tokens = both.spool.parent / "tokens"
    file = both.spool.parent / "credentials" / "QONVERGE_TOKEN"
    former, wrong, new = file.read_text(), "w" * 64, "n" * 64
    file.write_text(wrong)
    both.proxy.ask("POST", "/v1/tasks", kit.task(bell, "rotated", shots=10).to_dict())

    def message() -> str:
        return "".join(task.message for task in stands(both, "rotated").vendor_tasks)

    until(lambda: "not among those of this server" in message(), "it says that the token is refused")
    assert wrong not in json.dumps(both.proxy.ask("GET", "/v1/tasks/rotated"))
    tokens.write_text(f"lab {former}\nlab {new}\n")
    file.write_text(new)
    assert stands(both, "rotated", 60).state == "Completed"
    # The name is the caller, whichever of its tokens was shown.
    assert TaskResult.from_dict(both.edge.ask("GET", f"/v1/tasks/{key_of('rotated')}")).state == "Completed"
    tokens.write_text(f"lab {new}\n")
    assert both.edge.ask("GET", "/v1/backend")["error"]["code"] == "Unauthorized"
    assert run(both, kit.task(bell, "after", shots=10)).state == "Completed"
    tokens.write_text(f"lab {former}\n")
    file.write_text(former)


def test_a_device_is_described_through_the_proxy_and_followed(tmp_path: Path, kit: Any) -> None:
    calibration = tmp_path / "device.json"
    first, second = noise_named("lima"), noise_named("belem")
    calibration.write_text(json.dumps(first.to_dict()))
    with ends(tmp_path, calibration=str(calibration)) as noisy:
        found = info(noisy)
        assert (found.calibration_digest, found.max_qubits) == (first.digest, 5)
        assert found.calibration == edge_info(noisy).calibration
        assert found.device is not None
        assert not found.device.ideal
        circuit = QuantumCircuit(1, 1)
        circuit.x(0)
        circuit.measure(0, 0)
        result = run(noisy, kit.task(circuit, "noisy", shots=100, layout=None))
        assert (result.calibration, len(result.results[0].layout)) == (first.digest, 1)
        calibration.write_text(json.dumps(second.to_dict()))
        until(lambda: info(noisy).calibration_digest == second.digest, "the other calibration is known here")
        assert info(noisy).calibration == edge_info(noisy).calibration


def test_a_link_that_is_cut_while_both_ends_are_killed_loses_nothing(tmp_path: Path) -> None:
    found = remote.drill(tmp_path, count=200, cut_seconds=3.0, kills=1)
    assert (found.lost, found.run_twice) == (0, 0)
    assert found.ended_before >= 20
    assert found.given_before < found.tasks


def test_a_certificate_that_is_not_trusted_is_said(both: Ends, tmp_path: Path) -> None:
    remote.certificate(tmp_path)
    stranger = both.with_authority(tmp_path / "tls.crt")
    try:
        stranger.start()
        until(lambda: "certificate" in str(stranger.ask("GET", "/v1/backend")["device"]), "it says so")
        assert "is not trusted" in stranger.ask("GET", "/v1/backend")["device"]["reason"]
        ready = stranger.pool.request("GET", f"{stranger.url}/readyz")
        assert (ready.status, b"is not trusted" in ready.data) == (503, True)
    finally:
        stranger.kill()


def _plain(value: Any) -> Any:
    return value.tolist()
