"""``qonverge validate --against``: what a backend would refuse. Devices are dev-cloud's, and real servers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from qonverge.cli.main import cli
from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.faults import Fault
from qonverge_dev_cloud.scenario import Scenario

HEAD = 'OPENQASM 3.0; include "stdgates.inc"; '
BELL = HEAD + "qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;"
SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"


@pytest.fixture(scope="module")
def cloud() -> Iterator[DevCloud]:
    closed = {"maintenance": [{"start": 0, "end": 1e6}]}
    with DevCloud(Scenario.model_validate({"ionq": {"backends": {"qpu.aria-1": closed}}})) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "IONQ_"))]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "KUBECONFIG"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class Folder:
    """Manifests, and the command on them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.secret = path / "secret"
        self.secret.mkdir()
        for name in ("IONQ_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            (self.secret / name).write_text("a-key-that-nobody-sees")

    def write(self, kind: str, name: str, **spec: Any) -> str:
        manifest = {"apiVersion": "qonverge.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        path = self.path / f"{name}.json"
        path.write_text(json.dumps(manifest))
        return str(path)

    def job(self, name: str, text: str, **spec: Any) -> str:
        return self.write("HybridJob", name, **{"shots": 1000, "program": {"circuit": {"openqasm": text}}, **spec})

    def backend(self, name: str, **spec: Any) -> str:
        return self.write("QuantumBackend", name, **spec)

    def ionq(self, cloud: DevCloud, backend: str = "qpu.forte-1", **more: Any) -> str:
        section = {"backend": backend, "endpoint": cloud.environment["IONQ_API_URL"], **more}
        return self.backend(backend.rsplit(".", maxsplit=1)[-1], ionq=section)

    def validate(self, *arguments: str, secret: bool = True) -> tuple[int, list[str], list[str]]:
        given = [*arguments, *(("--credentials", str(self.secret)) if secret else ())]
        done = CliRunner().invoke(cli, ["validate", *given])
        assert "nobody-sees" not in done.output
        return done.exit_code, done.stdout.splitlines(), done.stderr.splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_what_a_device_would_refuse_of_jobs(folder: Folder, cloud: DevCloud) -> None:
    jobs = [
        folder.job("bell", BELL, budget={"amount": "300"}),
        folder.job("delayed", HEAD + "qubit[1] q; bit[1] c; delay[100ns] q[0]; c = measure q;"),
        folder.job(
            "looped", HEAD + "qubit[1] q; bit[1] c; h q[0]; c = measure q; if (c == 1) { x q[0]; } c = measure q;"
        ),
        folder.job("wide", HEAD + "qubit[40] q; bit[1] c; h q[39]; c[0] = measure q[39];"),
        folder.job("costly", BELL, budget={"amount": "3"}),
        folder.write("HybridJob", "program", program={"python": {"source": "print(1)"}}),
    ]
    before = len(cloud.tasks())
    against = folder.ionq(cloud, costLimit="200")
    status, lines, problems = folder.validate(*jobs, "--against", against)
    assert status == 1
    assert lines[6:] == [
        "quantumbackend/forte-1: its device runs tasks, 36 qubits",
        "hybridjob/bell: forte-1 takes it, and its vendor would bill about 25.79 USD",
        "hybridjob/program: not checked: its circuits are known only when it runs",
    ]
    assert problems == [
        "error: hybridjob/delayed: qpu.forte-1 takes no delay in programs: remove it, or use a simulator",
        "error: hybridjob/looped: forte-1 has no conditions and loops, measurements before the end; a backend "
        "with conditions and loops, measurements before the end",
        "error: hybridjob/wide: forte-1 takes 36 qubits and the circuit has 40; a circuit of at most 36 qubits",
        "error: hybridjob/costly: forte-1 would cost up to 200.00 USD and the budget has 3.00 USD; a budget of at "
        "least 200.00 USD",
    ]
    # Its rehearsal cost nothing, and nobody takes it for the job's own task.
    (rehearsal,) = cloud.tasks()[before:]
    assert (rehearsal["cost"], rehearsal["tags"]) == (0.0, {})


def test_what_is_not_known_without_the_device_is_said(folder: Folder, cloud: DevCloud) -> None:
    job = folder.write("HybridJob", "program", program={"python": {"source": "print(1)"}}, budget={"amount": "3"})
    status, lines, problems = folder.validate(job, "--against", folder.ionq(cloud, costLimit="200"), secret=False)
    assert (status, problems) == (0, [])
    assert lines[1:] == [
        "quantumbackend/forte-1: not checked: the device: IonQ: no Secret is named, and there is no variable "
        "IONQ_API_KEY: give --credentials FOLDER, with a file for each key",
        "hybridjob/program: not checked: its budget: what tasks cost is not known without the device",
        "hybridjob/program: not checked: its circuits are known only when it runs",
    ]


def test_why_a_device_runs_nothing(folder: Folder, cloud: DevCloud) -> None:
    def problem(backend: str, expected: int = 1) -> str:
        status, lines, problems = folder.validate("--against", backend)
        assert status == expected
        (found,) = [*lines, *problems]
        return found

    assert problem(folder.ionq(cloud, "qpu.aria-1")) == (
        "error: quantumbackend/aria-1: its device runs nothing now: qpu.aria-1 is unavailable"
    )
    assert "404: no backend 'qpu.none'" in problem(folder.ionq(cloud, "qpu.none"))
    there = cloud.environment
    braket = {
        "device": "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1",
        "bucket": "results",
        "endpoint": there["AWS_ENDPOINT_URL_BRAKET"],
    }
    cloud.set_faults(
        Fault(operation="GetWhoami", kind="status", status=401), Fault(operation="GetDevice", kind="status", status=403)
    )
    try:
        assert "the credentials are not good, or lack a right: IonQ, whoami: 401" in problem(folder.ionq(cloud))
        said = problem(folder.backend("braket", braket=braket))
        assert "the credentials are not good, or lack a right: Braket, GetDevice: " in said
    finally:
        cloud.set_faults()
    assert ": its device runs tasks, 36 qubits, " in problem(folder.backend("braket", braket=braket), 0)
    assert "the region of sv1 is not known" in problem(folder.backend("sv1", braket={**braket, "device": SV1}))
    nobody = {"backend": "simulator", "endpoint": "http://127.0.0.1:1/v0.4"}
    unheard = problem(folder.backend("simulator", ionq=nobody), 0)
    assert unheard.startswith("quantumbackend/simulator: not checked: the device: IonQ, backend: no connection")
    assert "no engine is called Acme" in problem(folder.backend("acme", plugin={"provider": "Acme"}))


def test_simulators_and_other_servers(kit: Any, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = folder.job("wide", HEAD + "qubit[9] q; bit[1] c; h q[8]; c[0] = measure q[8];", shots=500)
    aer = folder.backend("aer", simulator={}, capacity={"maxQubits": 8})
    status, _, problems = folder.validate(wide, aer, "--against", "aer", secret=False)
    assert (status, problems) == (
        1,
        ["error: hybridjob/wide: aer takes 8 qubits and the circuit has 9; a circuit of at most 8 qubits"],
    )
    with kit.serving("--max-shots", "400", tokens=False) as server:
        edge = folder.backend("edge", remote={"url": f"http://127.0.0.1:{server.port}"})
        status, lines, problems = folder.validate(wide, "--against", edge, secret=False)
    assert "quantumbackend/edge: its device runs tasks, 0 tasks wait" in lines
    assert (status, len(problems)) == (1, 1)
    assert "edge takes 400 shots" in problems[0]
    monkeypatch.setattr("qonverge.local.against._ANSWER_SECONDS", 0.5)
    status, _, problems = folder.validate("--against", edge, secret=False)
    assert status == 1
    assert problems[0].startswith("error: quantumbackend/edge: its device did not answer within 0.5 s: ")


def test_a_backend_that_is_nowhere(folder: Folder) -> None:
    status, _, problems = folder.validate("--against", "nowhere", secret=False)
    assert status == 2
    assert problems[0].startswith("error: there is no cluster to ask")
    status, _, problems = folder.validate("--against", "nowhere.yaml", secret=False)
    assert (status, problems) == (2, ["error: nowhere.yaml: No such file or directory"])
    status, _, problems = folder.validate("--against", folder.job("bell", BELL), secret=False)
    assert status == 2
    assert problems[0].endswith("bell.json: has 0 QuantumBackends: give a file with one")
    assert folder.validate(secret=False)[0] == 2
