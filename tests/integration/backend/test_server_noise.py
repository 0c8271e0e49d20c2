"""Servers that imitate devices: from a snapshot, from a file that changes; and what they cannot be."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from qiskit import QuantumCircuit, transpile
from qiskit_aer import AerSimulator

from qonverge.client.qiskit.backend import QonvergeBackend
from qonverge.client.transport.connection import Connection
from qonverge.devices import Rates, snapshots


def one(kit: Any, backend: Any, identity: str, **pub: Any) -> Any:
    """Return the answer to a task that reads a qubit in its excited state."""
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    return backend.send(kit.task(circuit, identity, **pub)).body


def zeros(answer: Any) -> float:
    (result,) = answer["results"]
    (counts,) = result["counts"]
    return float(counts.get("0", 0) / sum(counts.values()))


def test_a_server_imitates_a_snapshot(kit: Any) -> None:
    torino = snapshots.load("torino")
    with kit.serving("--noise", "torino", "--concurrency", "1") as backend:
        info = backend.info()
        assert (info["max_qubits"], info["calibration_digest"]) == (133, torino.digest)
        assert info["basis_gates"] == ["cz", "id", "rz", "sx", "x"]
        assert info["calibration"] == torino.to_dict()
        brief = backend.ask("GET", "/v1/backend?without=calibration").body
        assert (brief["calibration"], brief["calibration_digest"]) == (None, torino.digest)
        assert one(kit, backend, "one")["calibration"] == torino.digest
        # Qiskit's own transpiler works for it through the client.
        device = QonvergeBackend(Connection(backend.url, backend.token))
        assert device.num_qubits == 133
        assert device.target["cz"][torino.couplings[0]].error == torino.gate("cz", torino.couplings[0]).error  # type: ignore[union-attr]
        assert device.target["measure"][5,].error == pytest.approx(torino.qubits[5].readout_error)
        ghz = QuantumCircuit(3)
        ghz.h(0)
        ghz.cx(0, [1, 2])
        ghz.measure_all()
        there = transpile(ghz, device, optimization_level=3, seed_transpiler=1)
        counts = device.run(there, shots=2000, seed_simulator=4).result().get_counts()
        assert 0.8 < (counts["000"] + counts["111"]) / 2000 < 1


def test_a_calibration_that_changes_is_taken_up(kit: Any, tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    worse, better = Rates(readout=0.5), Rates(readout=0.0)
    file.write_text(json.dumps(worse.to_dict()))
    with kit.serving("--noise", f"@{file}", "--concurrency", "2") as backend:
        before = one(kit, backend, "before", shots=2000)
        assert before["calibration"] == worse.digest
        assert zeros(before) == pytest.approx(0.5, abs=0.06)
        # Bytes that are no text are no calibration either, and stop nothing.
        file.write_bytes(b"\xff\xfe")
        kit.until(lambda: any("neither UTF-8 nor" in line for line in backend.lines), "what is wrong is said")
        file.write_text('{"format": "qonverge.io/rates/v1", "readout": 7}')
        kit.until(lambda: any("readout is 7" in line for line in backend.lines), "what is wrong is said")
        assert one(kit, backend, "meanwhile")["calibration"] == worse.digest
        file.write_bytes(gzip.compress(json.dumps(better.to_dict()).encode()))
        kit.until(lambda: backend.info()["calibration_digest"] == better.digest, "the server is calibrated anew")
        for number in range(4):
            after = one(kit, backend, f"after-{number}", shots=2000)
            assert (after["calibration"], zeros(after)) == (better.digest, 0.0)


def test_a_server_keeps_layouts_and_says_which(kit: Any) -> None:
    text = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;'

    def post(**pub: Any) -> Any:
        return backend.send_json({"pubs": [{"openqasm": text, "shots": 100, **pub}]}).body

    def layout(answer: Any) -> list[int]:
        (result,) = answer["results"]
        return list(result["layout"])

    with kit.serving("--noise", "nairobi", "--layout", "AsGiven", "--concurrency", "1") as backend:
        assert layout(post()) == [0, 1]
        assert layout(post(layout={"qubits": [5, 4]})) == [5, 4]
        assert layout(post(layout={"qubits": [5, 0]})) == [5, 0]
        apart = post(layout={"qubits": [5, 0], "routing": False})["error"]
        assert apart["code"] == "InvalidCircuit"
        assert apart["message"].endswith("qubits 0 and 5 are not coupled on nairobi")
        wrong = post(layout={"qubits": [5, 5]})["error"]
        assert (wrong["code"], wrong["message"]) == (
            "InvalidTask",
            "the layout puts qubits 0 and 1 of the circuit both on qubit 5",
        )
        # Through the client a circuit that was transpiled elsewhere is not moved in silence.
        device = QonvergeBackend(Connection(backend.url, backend.token))
        bell = QuantumCircuit(2)
        bell.h(0)
        bell.cx(0, 1)
        bell.measure_all()
        there = transpile(bell, device, initial_layout=[6, 5], optimization_level=1)
        assert sum(device.run(there, shots=100).result().get_counts().values()) == 100
    with pytest.raises(AssertionError, match="give Optimized or AsGiven"), kit.serving("--layout", "Kept"):
        pass


def test_a_gpu_that_is_not_there_is_said_to_be_missing(kit: Any) -> None:
    if "GPU" in AerSimulator().available_devices():
        pytest.skip("there is one")
    refused = pytest.raises(AssertionError, match="device is GPU and Aer here has only CPU: use an image with")
    with refused, kit.serving("--device", "GPU"):
        pass


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ("torrino", "did you mean torino"),
        ("@/nowhere/c.json", "No such file"),
        ("{}", "format is None"),
        ('{"format": "qonverge.io/rates/v1", "two": 1}', "unknown field two"),
    ],
)
def test_noise_that_is_wrong_is_named(kit: Any, noise: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message), kit.serving("--noise", noise):
        pass
