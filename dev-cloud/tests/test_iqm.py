"""IQM Server: its REST API, with values against those that numpy computes."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from qonverge_dev_cloud.cloud import DevCloud

Start = Callable[..., DevCloud]


def ask(method: str, path: str, body: Any = None, *, token: str | None = None) -> Any:
    """Ask the API, and return what it answers."""
    request = urllib.request.Request(
        f"{os.environ['IQM_SERVER_URL']}/api/v1/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {os.environ['IQM_TOKEN'] if token is None else token}"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        text = response.read()
        return json.loads(text) if text else None


def refused(method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str, str]:
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(method, path, body, **options)
    told = json.load(error.value)
    return error.value.code, told["error_code"], told["message"]


def op(name: str, *locus: str, **args: Any) -> dict[str, Any]:
    return {"name": name, "locus": locus, "args": args, "implementation": None}


def payload(*instructions: dict[str, Any], shots: int = 100, **more: Any) -> dict[str, Any]:
    circuits = [{"name": "c", "instructions": instructions, "metadata": None}]
    return {"circuits": circuits, "shots": shots, "calibration_set_id": None, "move_gate_validation": "strict"} | more


FLIP = payload(op("prx", "QB1", angle=np.pi, phase=0.0), op("measure", "QB1", key="m"))
QUIET = {"computers": {"garnet": {"noise": False}}}
SLOW = {"queue": {"seconds": 60, "ahead": 2}, "run": {"seconds": 10}, "price": {"perMinute": 30}}


def state(instructions: tuple[dict[str, Any], ...], qubits: list[str]) -> Any:
    """Return the amplitudes, the first qubit the highest bit: the formulas of IQM's documentation."""
    found = np.zeros((2,) * len(qubits), dtype=complex)
    found[(0,) * len(qubits)] = 1
    for own in instructions:
        axes = [qubits.index(qubit) for qubit in own["locus"]]
        if own["name"] == "prx":
            angle, phase = own["args"]["angle"], own["args"]["phase"]
            axis = np.array([[0, np.exp(-1j * phase)], [np.exp(1j * phase), 0]])
            gate = np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * axis
            found = np.moveaxis(np.tensordot(gate, found, (1, axes[0])), 0, axes[0])
        elif own["name"] == "cz":
            sign = np.ones(found.shape)
            sign[tuple(1 if axis in axes else slice(None) for axis in range(len(qubits)))] = -1
            found = found * sign
    return found


def test_outcomes_come_as_often_as_numpy_says_under_the_keys_that_were_given(start: Start) -> None:
    start(iqm=QUIET)
    gates = (
        op("prx", "QB1", angle=0.7, phase=0.3),
        op("prx", "QB2", angle=1.9, phase=-1.1),
        op("cz", "QB2", "QB1"),
        op("barrier", "QB1", "QB2", "QB5"),
        op("prx", "QB5", angle=2.2, phase=0.9),
        op("prx", "QB1", angle=-0.8, phase=2.0),
        op("cz", "QB5", "QB2"),
        op("prx", "QB2", angle=1.2, phase=0.4),
        op("prx", "QB5", angle=0.5, phase=1.7),
    )
    reads = (op("measure", "QB5", "QB9", key="b"), op("measure", "QB1", key="a"), op("measure", "QB2", key="c"))
    shots = 20_000
    made = ask("POST", "jobs/garnet/circuit", payload(*gates, *reads, shots=shots))["id"]
    while ask("GET", f"jobs/{made}")["status"] != "completed":
        pass
    (told,) = ask("GET", f"jobs/{made}/artifacts/measurements")
    assert {key: np.shape(rows) for key, rows in told.items()} == {"b": (shots, 2), "a": (shots, 1), "c": (shots, 1)}
    assert not any(row[1] for row in told["b"]), "no gate acts on QB9"
    chances = np.abs(state(gates, ["QB5", "QB1", "QB2"])) ** 2
    # No two outcomes are alike, so that no two qubits can stand for each other.
    assert len(set(np.round(chances.ravel(), 4))) == 8
    seen = Counter((b[0], a[0], c[0]) for b, a, c in zip(told["b"], told["a"], told["c"], strict=True))
    for outcome in np.ndindex(2, 2, 2):
        chance = chances[outcome]
        assert abs(seen[outcome] - shots * chance) < 5 * np.sqrt(shots * chance * (1 - chance)) + 1
    (counts,) = ask("GET", f"jobs/{made}/artifacts/measurement_counts")
    assert counts["measurement_keys"] == ["b", "a", "c"]
    assert counts["counts"]["0001"] == seen[0, 0, 1]


def test_errors_are_those_of_the_quality_metrics(start: Start) -> None:
    """Flips of a long circuit, against the channels' formulas with the published figures of that qubit."""
    start()
    known = {own["dut_field"].split(":")[0]: own["value"] for own in metrics()["observations"]}
    assert known["characterization.model.QB7.t1_time"] == 40e-6
    flips, shots = 40, 10_000
    gates = [op("prx", "QB7", angle=np.pi, phase=0.2)] * flips
    made = ask("POST", "jobs/garnet/circuit", payload(*gates, op("measure", "QB7", key="m"), shots=shots))["id"]
    while ask("GET", f"jobs/{made}")["status"] != "completed":
        pass
    ones = sum(row[0] for row in ask("GET", f"jobs/{made}/artifacts/measurements")[0]["m"]) / shots
    fidelity, read = (
        known[f"metrics.{name}.QB7.fidelity"] for name in ("rb.prx.drag_gaussian", "ssro.measure.constant")
    )
    expected = (1 - (2 * fidelity - 1) ** flips * (2 * read - 1)) / 2
    assert abs(ones - expected) < 5 * (expected * (1 - expected) / shots) ** 0.5


def metrics(which: str = "default") -> Any:
    return ask("GET", f"calibration-sets/garnet/{which}/metrics")


def test_a_job_waits_runs_and_costs(start: Start) -> None:
    cloud = start(virtualClock=True, iqm={"computers": {"garnet": SLOW}})
    assert ask("GET", "quantum-computers/garnet/queue-availability")["queue_length"] == 2
    made = ask("POST", "jobs/garnet/circuit?tag=mine", FLIP)
    assert (made["status"], made["tag"], made["queue_position"], made["artifacts"]) == ("waiting", "mine", 2, [])
    own = f"jobs/{made['id']}"
    second = ask("POST", "jobs/garnet/circuit", FLIP)
    assert second["queue_position"] == 3
    cloud.advance(65)
    seen = ask("GET", own)
    assert (seen["status"], seen["queue_position"], seen["runtime_ms"]) == ("processing", None, None)
    assert refused("GET", f"{own}/artifacts/measurements")[:2] == (404, "job_artifact_not_found")
    cloud.advance(5)
    seen = ask("GET", own)
    assert (seen["status"], seen["runtime_ms"]) == ("completed", 10_000)
    begun, ended = (datetime.fromisoformat(seen["timeline"][place]["timestamp"]) for place in (1, 2))
    assert (ended - begun).total_seconds() == 10
    assert ask("GET", f"{own}/payload") == json.loads(json.dumps(FLIP))
    assert [(task["cost"], task["tags"]) for task in cloud.tasks()] == [(5.0, {"tag": "mine"}), (0.0, {})]
    # What runs is interrupted, and costs what ran; what has ended cannot be cancelled.
    cloud.advance(4)
    assert ask("POST", f"jobs/{second['id']}/cancel")["status"] == "cancelled"
    assert cloud.tasks()[1]["cost"] == pytest.approx(2.0)
    assert refused("POST", f"{own}/cancel")[:2] == (403, "illegal_job_status")
    ask("DELETE", own)
    assert refused("GET", own)[:2] == (404, "job_not_found")


def test_maintenance_failures_and_calibrations(start: Start) -> None:
    garnet = {
        "maintenance": [{"start": 10, "end": 100}],
        "drift": {"seconds": 50, "spread": 0.3},
        "failing": {"calls": [2], "reason": "the cryostat is warm"},
    }
    cloud = start(virtualClock=True, iqm={"computers": {"garnet": garnet}})
    first = ask("GET", "calibration-sets/garnet/default/dynamic-quantum-architecture")
    assert sorted(first["gates"]) == ["cz", "measure", "prx"]
    before = metrics()
    assert before["describes_id"] == first["calibration_set_id"]
    cloud.advance(60)
    assert ask("GET", "quantum-computers/garnet/health")["healthy"] is False
    windows = ask("GET", "quantum-computers/garnet/queue-availability")["available"]
    assert [own["start"] for own in windows] == ["2026-01-01T00:01:40.000000Z"]
    assert metrics()["observations"] != before["observations"]
    assert metrics(first["calibration_set_id"]) == before
    ids = [ask("POST", "jobs/garnet/circuit", FLIP)["id"] for _ in range(2)]
    cloud.advance(30)
    assert ask("GET", f"jobs/{ids[0]}")["status"] == "waiting"
    cloud.advance(20)
    told = ask("GET", f"jobs/{ids[1]}")
    assert ask("GET", f"jobs/{ids[0]}")["status"] == "completed"
    assert (told["status"], told["errors"][0]["message"]) == ("failed", "the cryostat is warm")


def test_faults_and_limits_come_in_the_form_of_iqm(start: Start) -> None:
    cloud = start(
        iqm=QUIET,
        limits=[{"cloud": "iqm", "operation": "GetHealth", "perSecond": 0.001}],
        faults=[
            {"operation": "SubmitJob", "kind": "status", "status": 500, "when": "after", "calls": [1]},
            {"operation": "SubmitJob", "kind": "lostReply", "when": "after", "calls": [2]},
        ],
    )
    assert refused("POST", "jobs/garnet/circuit", FLIP)[:2] == (500, "internal_error")
    with pytest.raises(OSError, match="onnection"):
        ask("POST", "jobs/garnet/circuit?tag=two", FLIP)
    assert len(cloud.tasks()) == 2
    assert [entry.effect for entry in cloud.journal.entries("iqm", "SubmitJob")] == [True, True]
    assert "Bearer" not in str(cloud.journal.entries())
    ask("GET", "quantum-computers/garnet/health")
    assert refused("GET", "quantum-computers/garnet/health")[:2] == (429, "rate_limit_exceeded")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (payload(op("measure", "QB99", key="m")), "IQM Garnet has no qubit QB99"),
        (payload(op("cz", "QB1", "QB3"), op("measure", "QB1", key="m")), "cz is not calibrated for the locus QB1, QB3"),
        (payload(op("prx", "QB1", angle=1.0), op("measure", "QB1", key="m")), "has the arguments ['angle']"),
        (payload(op("measure", "QB1", key="m"), op("measure", "QB2", key="m")), "keys of measurements are different"),
        (payload(op("measure", "QB1", key="m"), op("prx", "QB1", angle=1.0, phase=0.0)), "QB1 was measured before"),
        (payload(op("move", "QB1", "CR1")), "dev-cloud has no such operation"),
        (payload(op("prx", "QB1", angle=1.0, phase=0.0)), "measures nothing"),
        (payload(op("measure", *(f"QB{n}" for n in range(1, 13)), key="m")), "12 qubits: dev-cloud simulates up to 11"),
        (payload(op("measure", "QB1", key="m"), shots=20_001), "20001 shots: IQM Garnet takes at most 20000"),
    ],
)
def test_what_is_refused(start: Start, body: Any, words: str) -> None:
    cloud = start()
    status, code, message = refused("POST", "jobs/garnet/circuit", body)
    assert (status, code) == (400, "invalid_job_payload")
    assert words in message
    assert cloud.tasks() == []


def test_names_are_checked(start: Start) -> None:
    start()
    assert refused("GET", "quantum-computers", token="")[:2] == (401, "unauthorized")
    assert refused("POST", "jobs/other/circuit", FLIP)[:2] == (404, "qc_not_found")
    assert refused("POST", "jobs/garnet/run", FLIP)[:2] == (400, "unsupported_job_type")
    assert refused("POST", f"jobs/garnet/circuit?tag={'x' * 51}", FLIP)[:2] == (400, "invalid_input")
    mapped = payload(op("measure", "q", key="m"), qubit_mapping=[{"logical_name": "q", "physical_name": "QB3"}])
    by_id = ask("GET", "quantum-computers")["quantum_computers"][0]["id"]
    assert ask("POST", f"jobs/{by_id}/circuit", mapped)["status"] in ("waiting", "processing", "completed")
