"""A provider of somebody else's: the example package, installed beside Qonverge, without a change of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.conftest import Lab, eventually

PLUGIN = Path(__file__).parents[2] / "examples" / "provider-plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the package is installed."""
    folder = tmp_path_factory.mktemp("plugin")
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder / "site"), str(folder / "copy")]
    # A build leaves files beside its sources.
    subprocess.run(["cp", "-r", str(PLUGIN), str(folder / "copy")], check=True)
    subprocess.run(command, check=True)
    return folder / "site"


def beside(installed: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(installed)}


def test_its_own_tests_pass(installed: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(PLUGIN / "tests")]
    done = subprocess.run(command, env=beside(installed), capture_output=True, text=True, check=False, cwd=PLUGIN)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_runs_without_a_cluster(installed: Path) -> None:
    command = [str(Path(sys.executable).parent / "qonverge"), "run", "-o", "json"]
    files = [str(PLUGIN / "backend.yaml"), str(PLUGIN / "bell.yaml")]
    done = subprocess.run([*command, *files], env=beside(installed), capture_output=True, text=True, check=True)
    status = json.loads(done.stdout)["status"]
    assert status["provenance"]["engine"].startswith("Dense ")
    assert set(status["result"]["counts"]) == {"00", "11"}
    # Where it is not installed the job says so.
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        "no engine is called Dense; installed: Aer, Automatic, Braket, BraketLocal, Google, IBM, IonQ, Remote, Stim"
        in done.stdout
    )


def test_it_serves_a_cluster(lab: Lab, installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(installed))
    lab.apply(*(yaml.safe_load((PLUGIN / name).read_text()) for name in ("backend.yaml", "bell.yaml")))
    lab.start_operator()
    lab.ready()
    lab.serve("dense")
    status = lab.ended("bell-on-dense")
    assert status["provenance"]["engine"].startswith("Dense ")
    assert status["result"]["shots"] == 1000
    capabilities = eventually(lambda: lab.get("qb", "dense")["status"].get("capabilities"), "what dense can do")
    assert capabilities["methods"] == ["Automatic", "Statevector"]


def test_a_cluster_says_what_is_not_installed(lab: Lab) -> None:
    lab.apply(*(yaml.safe_load((PLUGIN / name).read_text()) for name in ("backend.yaml", "bell.yaml")))
    lab.start_operator()
    lab.ready()

    def said() -> str | None:
        conditions = {each["type"]: each for each in lab.get("qb", "dense")["status"].get("conditions", [])}
        return conditions["Stalled"]["message"] if "Stalled" in conditions else None

    installed = "Aer, Automatic, Braket, BraketLocal, Google, IBM, IonQ, Remote, Stim"
    sentence = f"no engine is called Dense; installed: {installed}: install the package"
    assert sentence in eventually(said, "the backend's condition")
    assert not lab.get("deployment", "dense-qb")
    assert sentence in eventually(lambda: lab.status("bell-on-dense").get("message"), "the job's message")
