"""Containers by `qonverge run`: a stand-in for Podman runs what it is asked to on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

COMMAND = [sys.executable, "-c", "from qonverge.cli.main import main; main()", "run", "-q", "-o", "json", "-"]
# It takes what the real ones take, keeps a record, and has only those variables that it was told to pass on.
PODMAN = f"""#!{sys.executable}
import json, os, pathlib, subprocess, sys
record = pathlib.Path(__file__).with_name("record")
with record.open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "run":
    words = sys.argv[2:]
    options = dict(w.split("=", 1) for w in words if w.startswith("--") and "=" in w and not w.startswith("--env="))
    names = [word.removeprefix("--env=") for word in words if word.startswith("--env=")]
    image = words.index("quay.io/lab/vqe:1")
    given = {{name: os.environ[name] for name in names}} | {{"PATH": os.environ["PATH"]}}
    sys.exit(subprocess.run([options["--entrypoint"], *words[image + 1 :]], env=given).returncode)
"""
PROGRAM = """
import os, sys
from qonverge.client import result
if sys.argv[1:] == ["fail"]:
    sys.exit(3)
known = sorted(name for name in os.environ if name in ("LEVEL", "SECRET", "HOME"))
result({"args": sys.argv[1:], "level": os.environ["LEVEL"], "secret": os.environ["SECRET"], "has": known})
"""


def status(path: Path, *args: str, engine: bool = True, **environment: str) -> dict[str, Any]:
    if engine:
        podman = path / "podman"
        podman.write_text(PODMAN)
        podman.chmod(0o755)
    env = [
        {"name": "LEVEL", "value": "of $(QONVERGE_JOB)"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}},
    ]
    container = {
        "image": "quay.io/lab/vqe:1",
        "command": [sys.executable, "-c", PROGRAM],
        "args": list(args),
        "template": {"env": env},
    }
    body = {"metadata": {"name": "job"}, "spec": {"program": {"container": container}}}
    done = subprocess.run(
        COMMAND,
        input=yaml.safe_dump({"apiVersion": "qonverge.io/v1alpha1", "kind": "HybridJob", **body}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PATH": str(path), **environment},
    )
    assert "Traceback" not in done.stderr
    value: dict[str, Any] = json.loads(done.stdout)["status"]
    return value


def test_a_container_has_its_arguments_its_variables_and_a_backend(tmp_path: Path) -> None:
    ended = status(tmp_path, "-n", "4", SECRET="hush", HOME="/nowhere")
    assert ended["state"] == "Complete", ended
    value = ended["result"]["value"]
    assert value == {"args": ["-n", "4"], "level": "of default/job", "secret": "hush", "has": ["LEVEL", "SECRET"]}
    ran, removed = [json.loads(line) for line in (tmp_path / "record").read_text().splitlines()]
    assert "hush" not in str(ran)
    assert ran[:2] == ["run", "--rm"]
    # Its process ends before the container where it is cancelled.
    assert removed == ["rm", "--force", ran[ran.index("--name") + 1]]


def test_a_container_that_fails_has_its_exit_code(tmp_path: Path) -> None:
    ended = status(tmp_path, "fail", SECRET="hush")
    assert (ended["state"], ended["reason"], ended["exitCode"]) == ("Failed", "ProgramFailed", 3)


def test_what_a_container_needs_and_this_machine_lacks_is_said(tmp_path: Path) -> None:
    ended = status(tmp_path, engine=False, SECRET="hush")
    assert (ended["reason"], ended["message"]) == (
        "CannotStart",
        "a container needs one of podman and docker in the PATH: install one",
    )
    ended = status(tmp_path)
    assert (
        ended["message"] == "the program's variable SECRET is in the cluster: set it in the environment of this command"
    )
