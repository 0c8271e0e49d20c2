"""No credential is in anything that comes out, whatever a cloud answers: each of them here repeats what it was sent."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster.build import Programs
from tests.clouds.echo import BRAKET_DEVICE, FAILURES, Echo, echo
from tests.clouds.running import provider
from tests.integration.conftest import Lab, backend, eventually, job

SECRETS = {
    "aws": {
        "AWS_ACCESS_KEY_ID": "AKIASEEN0BY0NOBODY01",
        "AWS_SECRET_ACCESS_KEY": "seen/by+nobody/secret/02",
        "AWS_SESSION_TOKEN": "seen/by+nobody/session==03",
    },
    "vendor": {"TOKEN": "vendor-key-seen-by-nobody-04"},
    "edge-token": {"QONVERGE_TOKEN": "bearer-seen-by-nobody-05"},
}
VALUES = [value for secret in SECRETS.values() for value in secret.values()]
# Every process logs all that its libraries say, whatever level it asks for.
LOUD = """
import logging
_given = logging.basicConfig
def basicConfig(**more):
    _given(**{**more, "level": logging.DEBUG})
logging.basicConfig = basicConfig
"""
PROGRAM = "import time; time.sleep(600)"


@pytest.fixture
def loud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "loud"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(LOUD)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    for name in SECRETS["aws"]:
        monkeypatch.delenv(name, raising=False)


def sections(there: Echo) -> dict[str, dict[str, Any]]:
    braket = {"device": BRAKET_DEVICE, "bucket": "results", "region": "us-east-1"}
    return {
        "sv1": {
            "braket": braket | {"endpoint": there.url, "s3Endpoint": there.url, "credentials": {"name": "aws"}},
            "location": {"region": "sv1"},
        },
        "acme": {
            "plugin": {
                "provider": "Tagged",
                "options": {"endpoint": there.url},
                "credentials": {"name": "vendor"},
            },
            "location": {"region": "acme"},
        },
        "edge": {"remote": {"url": there.url, "credentials": {"name": "edge-token"}}},
    }


@contextmanager
def written(lab: Lab, *command: str) -> Iterator[Path]:
    """Write what kubectl shows, until the end of the block."""
    path = lab.folder / f"{'-'.join(command)}.seen"
    # A watch may be refused at first, where the server just began with a kind ("too old resource version").
    again = 'while :; do "$0" "$@"; sleep 0.2; done'
    with path.open("wb") as file:
        process = subprocess.Popen(
            ["sh", "-c", again, Programs()["kubectl"], *command],
            env=lab.environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield path
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def test_no_credential_comes_out_whatever_a_cloud_answers(lab: Lab, tmp_path: Path, loud: None) -> None:
    with echo() as there, provider(tmp_path / "site"), ExitStack() as watching:
        for kind in ("hj", "qb", "events"):
            watching.enter_context(written(lab, "get", kind, "-o", "json", "--watch"))
        manifests = [backend(name, **section) for name, section in sections(there).items()]
        for secret, values in SECRETS.items():
            lab.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}, "stringData": values})
            (tmp_path / secret).mkdir()
            for name, value in values.items():
                (tmp_path / secret / name).write_text(value)
        for manifest in manifests:
            del manifest["spec"]["simulator"]
        lab.apply(*manifests)
        lab.start_operator(QONVERGE_LOG_LEVEL="DEBUG")
        lab.ready()
        for pod, (name, secret) in enumerate({"sv1": "aws", "acme": "vendor", "edge": "edge-token"}.items()):
            lab.serve(name, f"pod-{pod}", "--credentials", str(tmp_path / secret))
        jobs = {name: job(name, placement={"regions": [name]}) for name in ("sv1", "acme")}
        lab.apply(*jobs.values())
        program = job("program", placement={"regions": ["sv1"]})
        program["spec"]["program"] = {"python": {"source": PROGRAM}}
        lab.apply(program)
        # They come over some seconds, as backoff lets them.
        eventually(lambda: there.all_failures_answered, "all failures")
        for name in jobs:
            assert lab.ended(name)["state"] == "Failed"
        assert {tuple(each[: len(FAILURES)]) for each in there.answered.values()} == {FAILURES}
        eventually(lambda: lab.list("jobs"), "the program's pod")
        own = operators_secrets(lab)
        told = everything(lab, tmp_path)
    # The vendors' answers had them: what was looked at is what would show a leak.
    assert [value for value in VALUES if value not in there.bodies] == ["seen/by+nobody/secret/02"]
    for where, words in {"hj": "refused", "why": "refused", "pod-2.log": "unauthorized"}.items():
        assert words in told[where], told[where]
    leaks = {where: value for where, seen in told.items() for value in VALUES + own if value in seen}
    assert not leaks, leaks


def operators_secrets(lab: Lab) -> list[str]:
    """Return what the operator itself keeps in Secrets: keys of pods and tokens of programs."""
    found = [each for each in lab.list("secrets") if each["metadata"]["name"] not in SECRETS]
    # The text of a program is in its job too.
    kept = [value for each in found for key, value in each["data"].items() if key != "program.py"]
    values = [base64.b64decode(value).decode() for value in kept]
    assert len(values) > len(SECRETS)
    return values


def everything(lab: Lab, folder: Path) -> dict[str, str]:
    """Return all that comes out of operator, pods and command line, by where."""
    told = {pod: _get(f"{lab.url(pod)}/metrics") for pod in lab.pods}
    told |= {path: _get(f"http://127.0.0.1:{lab.health}{path}") for path in ("/metrics", "/trace", "/readyz")}
    told["objects"] = lab.kubectl("get", "hj,qb,events,deployments,pods,jobs,configmaps", "-A", "-o", "yaml")
    why = [sys.executable, "-c", "from qonverge.cli.main import main; main()", "why", "sv1"]
    told["why"] = subprocess.run(why, env=lab.environment(), capture_output=True, text=True, check=True).stdout
    lab.stop_operator()
    for process in lab.pods.values():
        process.terminate()
        process.wait()
    told |= {path.name: path.read_text() for path in folder.glob("*.log")}
    told |= {path.name.split("-")[1]: path.read_text() for path in folder.glob("*.seen")}
    return told


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        text: str = answer.read().decode()
    return text
