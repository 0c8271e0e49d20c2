"""IonQ: unchanged programs of Cirq's client, and the REST API beneath it."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import cirq
import cirq_ionq
import numpy as np
import pytest

from qonverge_dev_cloud.cloud import DevCloud

Start = Callable[..., DevCloud]

QUBITS = cirq.LineQubit.range(3)


def ask(method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
    """Ask the API, and return what it answers."""
    request = urllib.request.Request(
        f"{os.environ['IONQ_API_URL']}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"apiKey {os.environ['IONQ_API_KEY'] if key is None else key}"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def refused(method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(method, path, body, **options)
    return error.value.code, json.load(error.value)["message"]


def job(**changes: Any) -> dict[str, Any]:
    bell = [{"gate": "h", "target": 0}, {"gate": "cnot", "control": 0, "target": 1}]
    return {
        "type": "ionq.circuit.v1",
        "backend": "qpu.forte-1",
        "shots": 100,
        "input": {"qubits": 2, "gateset": "qis", "circuit": bell},
    } | changes


def run(circuit: cirq.Circuit, target: str = "simulator", repetitions: int = 100, **options: Any) -> Any:
    service = cirq_ionq.Service()
    made = service.create_job(circuit, repetitions=repetitions, target=target, **options)
    return made.results(polling_seconds=0.02)


def qis() -> cirq.Circuit:
    one, two, three = QUBITS
    return cirq.Circuit(
        cirq.H(one),
        cirq.X(two) ** 0.5,
        cirq.T(two) ** -1,
        cirq.ry(0.7)(three),
        cirq.CNOT(one, three),
        cirq.XX(one, two) ** 0.3,
        cirq.rz(0.4)(one),
        cirq.YY(three, two) ** 0.2,
        cirq.ZZ(one, three) ** 0.6,
        cirq.X(two) ** -0.5,
        cirq.S(three),
        cirq.rx(1.1)(one),
        cirq.SWAP(one, two),
        cirq.H(three),
    )


def native() -> cirq.Circuit:
    one, two, three = QUBITS
    return cirq.Circuit(
        cirq_ionq.GPI2Gate(phi=0.1)(one),
        cirq_ionq.GPI2Gate(phi=0.35)(two),
        cirq_ionq.MSGate(phi0=0.15, phi1=0.4, theta=0.2)(one, three),
        cirq_ionq.GPIGate(phi=0.3)(two),
        cirq_ionq.ZZGate(theta=0.17)(two, one),
        cirq_ionq.MSGate(phi0=0.0, phi1=0.6)(three, two),
        cirq_ionq.GPI2Gate(phi=0.8)(one),
        cirq_ionq.GPI2Gate(phi=0.25)(three),
    )


@pytest.mark.parametrize("gates", [qis, native])
def test_the_simulator_gives_the_probabilities_that_cirq_computes(start: Start, gates: Any) -> None:
    start()
    circuit = gates()
    state = cirq.Simulator(dtype=np.complex128).simulate(circuit, qubit_order=QUBITS).final_state_vector
    result = run(circuit + cirq.measure(*QUBITS, key="m"))
    found = result.probabilities("m")
    assert [found.get(key, 0.0) for key in range(8)] == pytest.approx(list(np.abs(state) ** 2), abs=1e-9)
    # No two qubits are alike in it.
    assert len({round(float(value), 6) for value in np.abs(state) ** 2}) == 8


def test_qubits_are_measured_in_the_order_of_the_keys(start: Start) -> None:
    start(ionq={"backends": {"qpu.forte-1": {"noise": False}}})
    circuit = cirq.Circuit(cirq.X(QUBITS[0]), cirq.X(QUBITS[1]), cirq.measure(QUBITS[2], QUBITS[0], key="m"))
    for target in ("simulator", "qpu.forte-1"):
        result = run(circuit, target, repetitions=20)
        counts = result.counts("m") if target != "simulator" else result.probabilities("m")
        assert list(counts) == [0b01]


def test_controls_and_several_targets(start: Start) -> None:
    start()
    circuit = [
        {"gate": "not", "targets": [0, 1]},
        {"gate": "x", "controls": [0, 1], "target": 3},
        {"gate": "swap", "targets": [3, 2], "control": 0},
    ]
    made = ask("POST", "/jobs", job(backend="simulator", input={"qubits": 4, "gateset": "qis", "circuit": circuit}))[
        "id"
    ]
    while ask("GET", f"/jobs/{made}")["status"] != "completed":
        pass
    assert ask("GET", f"/jobs/{made}/results/probabilities") == {"7": pytest.approx(1)}


def test_errors_are_those_of_the_characterization(start: Start) -> None:
    """Flips of a long native circuit, against the channels' formulas with the published medians."""
    start()
    shots, gates = 10_000, 60
    for target, options in (("qpu.forte-1", {}), ("simulator", {"noise": {"model": "aria-1"}})):
        name = "qpu.aria-1" if options else target
        fidelity = ask("GET", f"/backends/{name}/characterizations/current")["fidelity"]
        flips = cirq.Circuit(
            [cirq_ionq.GPIGate(phi=0.1)(QUBITS[0])] * gates,
            cirq.measure(QUBITS[0], key="m"),
        )
        result = run(flips, target, repetitions=shots, **options)
        ones = (result.counts("m")[1] if not options else result.probabilities("m")[1] * shots) / shots
        shrunk = (2 * fidelity["1q"]["median"] - 1) ** gates * (2 * fidelity["spam"]["median"] - 1)
        expected = (1 - shrunk) / 2
        # Five standard deviations; the mean of the rates is published to six digits.
        assert abs(ones - expected) < 5 * (expected * (1 - expected) / shots) ** 0.5 + 1e-4


def test_a_job_waits_runs_and_costs(start: Start) -> None:
    cloud = start(
        virtualClock=True, ionq={"backends": {"qpu.forte-1": {"queue": {"seconds": 60}, "run": {"perShot": 0.1}}}}
    )
    assert ask("GET", "/backends/qpu.forte-1")["average_queue_time"] == 60_000
    estimate = ask("GET", "/jobs/estimate?backend=qpu.forte-1&qubits=2&shots=100&1q_gates=1&2q_gates=1")
    assert (estimate["estimated_cost"], estimate["current_predicted_queue_time"]) == (25.79, 60)
    made = ask("POST", "/jobs", job(metadata={"key": "k"}, name="bell"))["id"]
    seen = ask("GET", f"/jobs/{made}")
    assert (seen["status"], seen["predicted_wait_time_ms"], seen["results"]) == ("ready", 60_000, None)
    assert seen["stats"] == {"qubits": 2, "circuits": 1, "gate_counts": {"1q": 1, "2q": 1}}
    cloud.advance(65)
    assert ask("GET", f"/jobs/{made}")["status"] == "started"
    assert refused("GET", f"/jobs/{made}/results/probabilities")[0] == 404
    cloud.advance(5)
    seen = ask("GET", f"/jobs/{made}")
    assert (seen["status"], seen["execution_duration_ms"], seen["metadata"]) == ("completed", 10_000, {"key": "k"})
    probabilities = ask("GET", f"/jobs/{made}/results/probabilities")
    assert sum(probabilities.values()) == pytest.approx(1)
    assert ask("GET", f"/jobs/{made}/cost")["cost"] == {"unit": "usd", "value": 25.79}
    assert [(own["cost"], own["tags"]) for own in cloud.tasks()] == [(25.79, {"key": "k"})]


def test_many_shots_cost_by_gates(start: Start) -> None:
    start()
    estimate = ask("GET", "/jobs/estimate?backend=qpu.forte-1&shots=10000&1q_gates=20&2q_gates=10")
    assert estimate["estimated_cost"] == pytest.approx(10_000 * (20 * 0.0001645 + 10 * 0.001121))


def test_cancelling_listing_and_deleting(start: Start) -> None:
    slow = {"queue": {"seconds": 60}, "run": {"seconds": 1}}
    cloud = start(virtualClock=True, ionq={"backends": {"qpu.forte-1": slow}})
    ids = [ask("POST", "/jobs", job(metadata={"n": str(index)}))["id"] for index in range(5)]
    assert ask("PUT", f"/jobs/{ids[1]}/status/cancel") == {"id": ids[1], "status": "canceled"}
    first = ask("GET", "/jobs?limit=3")
    second = ask("GET", f"/jobs?limit=3&next={first['next']}")
    assert [own["id"] for own in first["jobs"] + second["jobs"]] == ids[::-1] and second["next"] is None
    # A page goes on where the last one ended, though its last job is cancelled meanwhile.
    waiting = ask("GET", "/jobs?limit=2&status=ready")
    ask("PUT", f"/jobs/{waiting['jobs'][-1]['id']}/status/cancel")
    rest = ask("GET", f"/jobs?limit=2&status=ready&next={waiting['next']}")
    assert [own["id"] for own in waiting["jobs"] + rest["jobs"]] == [ids[4], ids[3], ids[2], ids[0]]
    assert refused("GET", "/jobs?next=none") == (400, "next is none that a list gave: 'none'")
    assert [own["id"] for own in ask("GET", "/jobs?status=canceled")["jobs"]] == [ids[3], ids[1]]
    waiting = ask("GET", "/jobs?status=ready&target=qpu.forte-1")["jobs"]
    assert [own["metadata"]["n"] for own in waiting] == ["4", "2", "0"]
    assert ask("GET", "/jobs?target=simulator")["jobs"] == []
    assert [own["id"] for own in ask("GET", f"/jobs?ids={ids[0]}&ids={ids[3]}")["jobs"]] == [ids[3], ids[0]]
    cloud.advance(64)
    assert {ask("GET", f"/jobs/{own}")["status"] for own in ids} == {"completed", "canceled"}
    assert refused("PUT", f"/jobs/{ids[0]}/status/cancel") == (409, f"job {ids[0]} is completed")
    assert ask("DELETE", f"/jobs/{ids[0]}")["status"] == "deleted"
    assert refused("GET", f"/jobs/{ids[0]}") == (404, f"no job {ids[0]}")


def test_sessions_keep_to_their_limits(start: Start) -> None:
    cloud = start(virtualClock=True)
    limits = {"job_count_limit": 3, "duration_limit_min": 10, "cost_limit": {"unit": "usd", "value": 60}}
    session = ask("POST", "/sessions", {"backend": "qpu.forte-1", "settings": limits})
    assert (session["active"], session["status"], session["settings"]["cost_limit"]["value"]) == (True, "created", 60)
    mine = {"session_id": session["id"]}
    assert refused("POST", "/jobs", job(backend="simulator", **mine)) == (400, "the session is for qpu.forte-1")
    for _ in range(2):
        ask("POST", "/jobs", job(**mine))
    status, sentence = refused("POST", "/jobs", job(**mine))
    assert (status, sentence) == (400, "the job costs 25.79 usd and the session's others 51.58: its limit is 60")
    cloud.advance(600)
    assert refused("POST", "/jobs", job(**mine)) == (400, "the session has ended")
    again = ask("POST", "/sessions", {"backend": "qpu.forte-1"})
    assert ask("POST", f"/sessions/{again['id']}/end")["status"] == "ended"
    assert [own["active"] for own in ask("GET", "/sessions")["sessions"]] == [False, False]


def test_a_dry_run_has_a_cost_that_nobody_pays_and_no_result(start: Start) -> None:
    cloud = start(virtualClock=True)
    made = ask("POST", "/jobs", job(dry_run=True))["id"]
    cloud.advance(1)
    assert ask("GET", f"/jobs/{made}")["status"] == "completed"
    cost = ask("GET", f"/jobs/{made}/cost")
    assert (cost["estimated_cost"]["value"], cost["cost"]["value"]) == (25.79, 0)
    assert refused("GET", f"/jobs/{made}/results/probabilities")[0] == 404


def test_what_is_refused(start: Start) -> None:
    start()

    def gates(*circuit: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return job(input={"qubits": 2, "gateset": "qis", "circuit": circuit} | changes)

    for body, sentence in (
        (job(backend="qpu.none"), "no backend 'qpu.none': use simulator, qpu.aria-1, qpu.forte-1"),
        (job(shots=0), "shots: Input should be greater than or equal to 1"),
        (job(shotz=1), "shotz: Extra inputs are not permitted"),
        (gates({"gate": "hh", "target": 0}), "gate 0: the gate set qis has no 'hh'"),
        (gates({"gate": "h", "target": 2}), "gate 0 (h) acts on qubit 2 of 2"),
        (gates({"gate": "h"}), "gate 0 (h) has no target"),
        (gates({"gate": "rx", "target": 0}), "gate 0 (rx) needs rotation"),
        (gates({"gate": "h", "target": 0, "rotation": 1}), "gate 0 (h) has no rotation"),
        (gates({"gate": "cnot", "target": 0}), "gate 0 (cnot) has no control"),
        (gates({"gate": "swap", "targets": [0]}), "gate 0 (swap) takes 2 targets, not 1"),
        (gates({"gate": "cnot", "target": 0, "control": 0}), "gate 0 (cnot) has a qubit twice"),
        (gates({"gate": "h", "target": 0}, gateset="native"), "the gate set native has no 'h'"),
        (gates({"gate": "h", "target": 0}, qubits=37), "37 qubits: qpu.forte-1 has 36"),
        (gates({"gate": "h", "target": 0}, qubits=12), "12 qubits: dev-cloud simulates up to 11 with errors"),
        (job(backend="simulator", noise={"model": "loud"}), "no noise model 'loud': use ideal, aria-1, forte-1"),
        (job(type="ionq.multi-circuit.v1"), "type: Input should be 'ionq.circuit.v1'"),
    ):
        status, message = refused("POST", "/jobs", body)
        assert status == 400 and sentence in message, message
    assert refused("GET", "/jobs", key="") == (401, "the request has no API key")
    assert refused("GET", "/whoami", key="")[0] == 401
    assert refused("GET", "/usage") == (404, "dev-cloud does not do GET /v0.4/usage")
    assert ask("GET", "/jobs") == {"jobs": [], "next": None}


def test_a_lost_reply_leaves_a_job_that_its_metadata_find(start: Start) -> None:
    """IonQ has no idempotency key: a repeated request makes another job, and the list has the first one."""
    lost = {"cloud": "ionq", "kind": "lostReply", "when": "after", "operation": "CreateJob", "calls": [1]}
    cloud = start(faults=[lost])
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        ask("POST", "/jobs", job(metadata={"key": "k"}))
    assert [own["metadata"] for own in ask("GET", "/jobs")["jobs"]] == [{"key": "k"}]
    ask("POST", "/jobs", job(metadata={"key": "k"}))
    assert len(cloud.tasks()) == 2
    entries = cloud.journal.entries("ionq", "CreateJob")
    assert [(entry.status, entry.effect) for entry in entries] == [(None, True), (201, True)]
    assert os.environ["IONQ_API_KEY"] not in repr(cloud.journal.entries())


def test_a_failed_job_says_why(start: Start) -> None:
    failing = {"every": 1, "reason": "Ions left."}
    cloud = start(virtualClock=True, ionq={"backends": {"qpu.forte-1": {"failing": failing}}})
    made = ask("POST", "/jobs", job())["id"]
    cloud.advance(1)
    seen = ask("GET", f"/jobs/{made}")
    assert (seen["status"], seen["failure"]["message"]) == ("failed", "Ions left.")
    assert ask("GET", f"/jobs/{made}/cost")["cost"]["value"] == 0
