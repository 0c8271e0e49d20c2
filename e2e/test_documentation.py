"""The commands that the README and the documentation show for a cluster work on a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.workspace import LIMIT, ROOT, Workspace
from tests.integration.test_docs import Block, blocks

_BLOCKS = blocks("console", "on a cluster")


def _run(block: Block, workspace: Workspace, folder: Path) -> list[str]:
    """Run a block as a person would and return the lines that it prints."""
    environment = workspace.environment(folder)
    # Where pip has put the command qonverge.
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def _page(name: str) -> Block:
    (block,) = [block for block in _BLOCKS if block.page == name]
    return block


def test_the_readme(shared: Workspace, tmp_path: Path) -> None:
    counts = json.loads(_run(_page("README.md"), shared, tmp_path)[-1])
    assert set(counts) == {"00", "11"}
    assert sum(counts.values()) == 1024


def test_getting_started(shared: Workspace, tmp_path: Path) -> None:
    lines = _run(_page("getting-started.md"), shared, tmp_path)
    assert abs(json.loads(lines[-1])["energy"] + 1.857275) < 1.6e-3
    assert any(line.split()[:2] == ["hybridjob.qonverge.io/vqe-h2", "Complete"] for line in lines)


@pytest.mark.parametrize(
    "block", [pytest.param(b, id=b.name) for b in _BLOCKS if b.page not in ("README.md", "getting-started.md")]
)
def test_other_pages(shared: Workspace, tmp_path: Path, block: Block) -> None:
    try:
        assert _run(block, shared, tmp_path)
    finally:
        shared.kubectl("scale", "quantumbackend", "aer", "--replicas=1")
        shared.wait("--for=jsonpath={.status.ready}=1/1", "quantumbackend/aer")
