"""``qonverge validate --against`` a backend of the cluster: an API server, and devices of dev-cloud."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kubernetes.aio.config import kube_config

from bench.places import DevCloudPlace, DevCloudSite
from qonverge.cli.main import cli
from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.faults import Fault
from qonverge_dev_cloud.scenario import Scenario
from tests.integration.conftest import HEADER, Lab, backend, job
from tests.integration.kube_client import Refused

AWAY = {"maintenance": [{"start": 0, "end": 1e6}]}
# A second device of each vendor, which is away.
SCENARIO = {
    "braket": {"devices": {"Ankaa-3": AWAY}},
    "ionq": {"backends": {"qpu.forte-1": AWAY}},
    "ibm": {"backends": {"ibm_brisbane": AWAY}},
    "google": {"processors": {"weber": AWAY}},
}
VENDORS = ("braket", "ionq", "ibm", "google")
DEVICE = {"braket": "device", "ionq": "backend", "ibm": "backend", "google": "processor"}
AWAY_DEVICE = {
    "braket": "arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3",
    "ionq": "qpu.forte-1",
    "ibm": "ibm_brisbane",
    "google": "weber",
}
BELL = HEADER + "qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;"
WIDE = HEADER + "qubit[200] q; bit[1] c; h q[199]; c[0] = measure q[199];"
DELAYED = HEADER + "qubit[1] q; bit[1] c; delay[100ns] q[0]; c = measure q;"
LOOPED = HEADER + "qubit[1] q; bit[1] c; h q[0]; c = measure q; while (c == 1) { h q[0]; c = measure q; }"


@dataclass
class Site:
    """The cluster's backends, and the command as a person gives it."""

    lab: Lab
    cloud: DevCloud
    places: dict[str, DevCloudPlace]
    folder: Path

    def section(self, vendor: str, **more: Any) -> dict[str, Any]:
        return {vendor: {**self.places[vendor].section[vendor], **more}}

    def backend(self, name: str, section: dict[str, Any], **spec: Any) -> None:
        manifest = backend(name, **section, **spec)
        del manifest["spec"]["simulator"]
        self.lab.apply(manifest)

    def validate(self, against: str, *jobs: dict[str, Any], secret: str = "") -> tuple[int, list[str], list[str]]:
        files = []
        for each in jobs:
            path = self.folder / f"{each['metadata']['name']}.json"
            path.write_text(json.dumps(each))
            files.append(str(path))
        given = ["--credentials", self.places[secret].flags[1]] if secret else []
        done = CliRunner().invoke(cli, ["validate", *files, "--against", against, *given])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout.splitlines(), done.stderr.splitlines()


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DevCloud, dict[str, DevCloudPlace]]]:
    with DevCloud(Scenario.model_validate(SCENARIO)) as cloud:
        made = DevCloudSite(cloud, tmp_path_factory.mktemp("secrets"))
        yield cloud, {place.name: place for place in (made.braket(), made.ionq(), made.ibm(), made.google())}


@pytest.fixture
def site(
    lab: Lab,
    devices: tuple[DevCloud, dict[str, DevCloudPlace]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    for name in [name for name in os.environ if name.startswith(("AWS_", "IONQ_", "QISKIT_IBM_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # KUBECONFIG is read where the library is imported.
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(lab.plane.kubeconfig))
    return Site(lab, *devices, tmp_path)


TAKEN = {
    "braket": "20 qubits, 20000 shots at a time, 0 tasks wait",
    "ionq": "25 qubits, 10000 shots at a time",
    "ibm": "156 qubits, 100000 shots at a time, 0 tasks wait",
    "google": "23 qubits, 5000000 shots at a time",
}
# IonQ checks and prices a task that it does not run.
BILLED = {"ionq": ", and its vendor would bill about 12.42 USD"}
NO_LOOPS = "has no conditions and loops, measurements before the end; "
REFUSED = {
    "braket": ["delayed: Garnet takes no delay in programs: ", f"looped: braket {NO_LOOPS}"],
    "ionq": ["delayed: qpu.aria-1 takes no delay in programs: ", f"looped: ionq {NO_LOOPS}"],
    "ibm": ["looped: ibm_fez runs no while_loop: "],
    "google": [f"looped: google {NO_LOOPS}"],
}
WHY_AWAY = {
    "braket": "Ankaa-3 is offline for maintenance, until about ",
    "ionq": "qpu.forte-1 is unavailable",
    "ibm": "ibm_brisbane is maintenance: until ",
    "google": "weber is down, until about ",
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_what_a_device_takes_and_why_it_runs_nothing(site: Site, vendor: str) -> None:
    site.backend(vendor, site.section(vendor), capacity={"maxShots": 5000})
    site.backend("away", site.section(vendor, **{DEVICE[vendor]: AWAY_DEVICE[vendor]}))
    site.backend("none", site.section(vendor, **{DEVICE[vendor]: f"{AWAY_DEVICE[vendor]}x"}))
    jobs = [
        job("bell", BELL, shots=100),
        job("delayed", DELAYED, shots=10),
        job("looped", LOOPED, shots=10),
        job("many", BELL, shots=5001),
        job("wide", WIDE, shots=10),
    ]
    before = len(site.cloud.tasks())
    status, lines, problems = site.validate(f"default/{vendor}", *jobs, secret=vendor)
    assert status == 1
    told = lines[len(jobs) :]
    assert told[:2] == [
        f"quantumbackend/{vendor}: its device runs tasks, {TAKEN[vendor]}",
        f"hybridjob/bell: {vendor} takes it{BILLED.get(vendor, '')}",
    ]
    many = f"many: {vendor} takes 5000 shots and the job asks for 5001; "
    expected = [*REFUSED[vendor], many, f"wide: {vendor} takes "]
    for said, words in zip(problems, expected, strict=True):
        assert said.startswith(f"error: hybridjob/{words}")
    # What was checked by sending it was not run.
    assert not any(task["cost"] for task in site.cloud.tasks()[before:])

    def only_problem(name: str) -> str:
        status, lines, problems = site.validate(name, secret=vendor)
        assert (status, lines, len(problems)) == (1, [], 1)
        return problems[0]

    assert f"quantumbackend/away: its device runs nothing now: {WHY_AWAY[vendor]}" in only_problem("away")
    assert f"{AWAY_DEVICE[vendor].rsplit('/', 1)[-1]}x" in only_problem("none")
    site.cloud.set_faults(Fault(kind="status", status=403))
    try:
        assert f"quantumbackend/{vendor}: the credentials are not good, or lack a right: " in only_problem(vendor)
    finally:
        site.cloud.set_faults()


def test_without_credentials_the_cluster_says_how_the_device_is(site: Site) -> None:
    for vendor in VENDORS:
        site.backend(vendor, site.section(vendor, credentials={"name": "a-secret"}))
        status, (line,), problems = site.validate(vendor)
        assert (status, problems) == (0, [])
        assert line.startswith(f"quantumbackend/{vendor}: not checked: the device: ")
        assert line.endswith(": give --credentials FOLDER, with a file for each key")

    def says(status: str, message: str) -> None:
        told = {
            "capabilities": {"maxQubits": 4},
            "pricing": {"source": "Vendor", "currency": "USD", "perTask": "0.3", "perShot": "0.02", "perSecond": "0"},
            "conditions": [
                {
                    "type": "Available",
                    "status": status,
                    "reason": "Told",
                    "message": message,
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
            ],
        }
        patch = json.dumps({"status": told})
        site.lab.kubectl("patch", "qb", "braket", "--subresource=status", "--type=merge", "-p", patch)

    says("True", "the device runs tasks")
    jobs = [job("bell", BELL, shots=100), job("wide", WIDE, shots=10), job("costly", BELL, budget={"amount": "2"})]
    status, lines, problems = site.validate("braket", *jobs)
    assert status == 1
    assert lines[3] == "quantumbackend/braket: the cluster says of its device: the device runs tasks"
    assert lines[4].startswith("quantumbackend/braket: not checked: the device: ")
    assert lines[5:] == ["hybridjob/bell: braket takes it, as far as is known without its device"]
    assert [problem.split("; ")[0] for problem in problems] == [
        "error: hybridjob/wide: braket takes 4 qubits and the circuit has 200",
        "error: hybridjob/costly: braket would cost up to 20.78 USD and the budget has 2.00 USD",
    ]
    says("False", "its next window opens at noon")
    status, _, problems = site.validate("braket")
    assert (status, problems) == (
        1,
        ["error: quantumbackend/braket: the cluster says of its device: its next window opens at noon"],
    )


def test_what_the_cluster_refuses(site: Site) -> None:
    status, _, problems = site.validate("elsewhere/braket")
    assert (status, problems) == (2, ["error: there is no QuantumBackend braket in the namespace elsewhere"])
    site.backend("sv1", site.section("braket", device="arn:aws:braket:::device/quantum-simulator/amazon/sv1"))
    status, _, problems = site.validate("sv1", secret="braket")
    assert status == 1
    assert "the region of sv1 is not known: its ARN names none, so say it in region" in problems[0]
    # A device in another region than its ARN's is not even stored.
    with pytest.raises(Refused, match="region is another one than the device's, which its ARN names"):
        site.backend("region", site.section("braket", region="us-west-1"))
