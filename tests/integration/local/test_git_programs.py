"""Programs of several files and packages by `qonverge run`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.git_site import serving
from tests.wheels import wheel

COMMAND = [sys.executable, "-c", "from qonverge.cli.main import main; main()", "run", "-q", "-o", "json", "-"]


def statuses(folder: Path, *programs: dict[str, Any]) -> list[dict[str, Any]]:
    """Run Python programs together, which costs one start, and return their statuses in order."""
    jobs = [
        {
            "apiVersion": "qonverge.io/v1alpha1",
            "kind": "HybridJob",
            "metadata": {"name": f"job-{number}"},
            "spec": {"program": {"python": python}},
        }
        for number, python in enumerate(programs)
    ]
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(
        COMMAND,
        input=yaml.safe_dump_all(jobs),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "QONVERGE_GIT_USERNAME": "me", "QONVERGE_GIT_PASSWORD": "hush", **index},
    )
    assert "Traceback" not in done.stderr
    found = json.loads(done.stdout)
    return [each["status"] for each in found["items"]]


def test_programs_run_as_of_their_commit_and_with_their_requirements(tmp_path: Path) -> None:
    with serving(tmp_path / "solve") as site:
        site.password = "hush"
        git = {"url": site.url, "path": "solve/main.py"}
        wheel(tmp_path, "qonverge_test_orbitals", "1.0")
        needs = {"requirements": ["qonverge_test_orbitals"]}
        source = "import qonverge_test_orbitals as m; from qonverge.client import result; result(m.version)"
        new, old, none, claimed, pulled, installed, missing = statuses(
            tmp_path,
            {"git": git, "args": ["-n", "4"]},
            {"git": {**git, "revision": "old"}},
            {"git": {**git, "revision": "none"}},
            {"volume": {"claimName": "code", "path": "main.py"}},
            {"artifact": {"reference": "lab/vqe:1", "path": "main.py"}},
            {"source": source, **needs},
            {"source": source, "requirements": ["qonverge_test_nothing"]},
        )
        assert installed["result"]["value"] == "1.0"
        assert missing["reason"] == "RequirementsNotInstalled"
        assert "No matching distribution found for qonverge_test_nothing" in missing["message"]
        # Its own folder is searched for modules, and it starts at the top of the repository.
        assert new["result"]["value"] == [3, 42, ["-n", "4"], True]
        assert old["result"]["value"] == [2, 42, [], True]
        assert [each["provenance"]["commit"] for each in (old, new)] == site.commits[1:]
        assert none["reason"] == "ProgramNotFetched"
        assert none["message"].startswith(f"{site.url} has no revision none: it has HEAD, ")
        assert (claimed["reason"], "the claim code of a cluster" in claimed["message"]) == ("CannotStart", True)
        assert (pulled["reason"], "in the artifact lab/vqe:1" in pulled["message"]) == ("CannotStart", True)
