"""What the README and the documentation tell a person to type works, and their manifests are good.

Every block of commands says in the comment above it where it runs: ``here``, ``here, exit status N``,
``here, beside a backend``, ``on a cluster`` (the end-to-end tests run those, by ``blocks``), or ``elsewhere`` with why.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from qonverge.api import QuantumQuota
from qonverge.api.reference import render
from qonverge.api.registry import KINDS
from qonverge.local.manifests import read

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_BLOCK = re.compile(
    r"(?:<!-- runs: (?P<where>[^\n]*?) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A block of a page."""

    page: str
    line: int
    kind: str
    text: str
    where: str | None

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(kind: str, where: str | None = None) -> list[Block]:
    """Return the pages' blocks of a kind, in their order; with ``where`` those that run there."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in _BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("text"))
            found.append(Block(page.name, line, match["kind"], match["text"], match["where"]))
    return [block for block in found if block.kind == kind and (where is None or (block.where or "").startswith(where))]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder that looks like the repository to commands, and takes what they write."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


def shell(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def named(found: list[Block]) -> list[object]:
    return [pytest.param(block, id=block.name) for block in found]


def test_every_command_says_where_it_runs() -> None:
    known = re.compile(r"here(, exit status \d+|, beside a backend)?$|on a cluster$|elsewhere, \w+")
    unsaid = [
        block.name for block in blocks("console") if block.page != "reference.md" and not known.match(block.where or "")
    ]
    assert unsaid == []


@pytest.mark.parametrize("block", named([b for b in blocks("console", "here") if "beside" not in (b.where or "")]))
def test_commands(block: Block, checkout: Path) -> None:
    status = re.search(r"exit status (\d+)", block.where or "")
    done = shell(block.text, checkout)
    assert done.returncode == (int(status[1]) if status else 0), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("block", named([b for b in blocks("python") if b.page == "client.md"]))
def test_programs(block: Block, checkout: Path) -> None:
    (checkout / "program.py").write_text(block.text)
    done = shell("python program.py", checkout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_commands_beside_a_backend(checkout: Path) -> None:
    (block,) = blocks("console", "here, beside a backend")
    page = (ROOT / "docs" / block.page).read_text()
    start = re.search(r"`(python -m qonverge\.backend [^`]*)`", page)
    assert start is not None
    # The page's port may be taken on this machine; a free one stands for it.
    process = subprocess.Popen(
        [sys.executable, "-c", _ON_A_FREE_PORT], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert "127.0.0.1:8080" in start[1]
        ready = f"until curl -sf 127.0.0.1:{port}/readyz > ready.txt; do sleep 0.1; done\n"
        done = shell(ready + block.text.replace("8080", port), checkout)
    finally:
        process.terminate()
        process.wait(60)
    assert done.returncode == 0, done.stderr
    result, rest = done.stdout.split("\n", 1)
    backend, description = rest.split("\n", 1)
    assert '"state": "Completed"' in result
    assert '"engine": "Aer' in backend
    assert json.loads(description)["openapi"] == "3.1.0"


_ON_A_FREE_PORT = """
from e2e.cluster.processes import free_ports
from qonverge.backend.__main__ import main
(port,) = free_ports(1)
print(port, flush=True)
main(["--listen", f"127.0.0.1:{port}", "--concurrency", "1"])
"""


@pytest.mark.parametrize("block", named(blocks("yaml")))
def test_manifests_are_good(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "manifest.yaml"
    documents = [document for document in yaml.safe_load_all(block.text) if document["kind"] != "QuantumQuota"]
    for document in yaml.safe_load_all(block.text):
        if document["kind"] == "QuantumQuota":
            # Clusters have them, and files that are run without one do not.
            QuantumQuota.model_validate(document)
    file.write_text(yaml.safe_dump_all(documents))
    manifests = read([str(file)])
    assert len(manifests.jobs) + len(manifests.backends) + len(manifests.config_maps) == len(documents)
    for job in manifests.jobs:
        assert manifests.program(job)


@pytest.mark.parametrize("block", named([b for b in blocks("yaml") if b.page == "getting-started.md"]))
def test_the_program_of_getting_started_runs(block: Block, checkout: Path) -> None:
    (checkout / "job.yaml").write_text(block.text)
    done = shell("qonverge run --quiet -o yaml job.yaml", checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    value = yaml.safe_load(done.stdout)["status"]["result"]["value"]
    assert value["angle"] == pytest.approx(3.14159, abs=1e-3)
    assert value["energy"] == pytest.approx(-1, abs=1e-6)


def test_the_readme_shows_the_example() -> None:
    (manifest,) = [block for block in blocks("yaml") if block.page == "README.md"]
    assert yaml.safe_load(manifest.text) == yaml.safe_load((ROOT / "examples/bell.yaml").read_text())


def test_files_that_commands_name_exist() -> None:
    """Commands that run on a cluster or elsewhere are no excuse for files that are not there."""
    for block in blocks("console"):
        for path in re.findall(r"\b(?:examples|charts|crds)/[\w./-]*", block.text):
            assert (ROOT / path).exists(), f"{block.name}: {path}"


def test_the_reference_is_the_models() -> None:
    committed = (ROOT / "docs/reference.md").read_text()
    assert committed == render(), "run `python -m qonverge.api.reference docs/reference.md`"


def test_every_reason_and_error_is_explained() -> None:
    from qonverge.wire.errors import WireError

    page = (ROOT / "docs/errors.md").read_text()
    for kind in WireError.__subclasses__():
        if kind.__module__ == "qonverge.wire.errors":
            assert f"| `{kind.code}` | {kind.status} | {'yes' if kind.retryable else 'no'} |" in page


# Words of one CamelCase name in the code that decides about jobs, backends and quotas, which are no reasons.
_NO_REASONS = set(
    re.findall(
        r"\w+",
        """
        True False Unknown Ready Reconciling Progressing ReplicaFailure PodScheduled Calibrated Offered Available
        Exhausted DisruptionTarget Warning Normal Failed Complete Placed Running Succeeded
        Never Background Memory Retain RuntimeDefault FallbackToLogsOnError ProgressDeadlineExceeded
        List Accept Always Authorization BearerToken IfNotPresent None
        AwaitingPlacement Ended Interrupted Launched
        Auto Split Spec Vendor Recreate Device Ranks Indexed Ingress FailureTarget
        All AsGiven Automatic BraketLocal ControlFlow Dask DensityMatrix Exact Hedge MidCircuit NonClifford Stabilizer
        Statevector Stim
        Held Wait Waiting Wanted
        Any Cloud Edge OnPrem In NotIn Exists NoExecute Preferred Required
        Compared InForce Shadow Skipped Prometheus Stale
        ContainerCreating ErrImagePull Established FailedMount PodInitializing
        DeletionByTaintManager PreemptionByScheduler Preempting Terminated
        Fail Ignore Retry
        """,
    )
)
_REASON = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]+)*")


def _words(path: Path) -> set[str]:
    """Return the constants of a module that may be reasons."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)} - {""}


def test_every_reason_in_the_code_is_explained() -> None:
    """A word of this form in the code that decides is a reason, unless it is known to be none."""
    page = (ROOT / "docs/errors.md").read_text()
    package = ROOT / "operator/qonverge"
    rooms = ("controller", "execution", "programs", "local")
    sources = [source for room in rooms for source in (package / room).rglob("*.py")]
    words = {word for source in sources for word in _words(source) if _REASON.fullmatch(word)}
    assert {"DeadlineExceeded", "Suspended", "Unschedulable", "OperatorConflict", "Stalled", "Missing"} <= words
    explained = set(re.findall(r"`([A-Za-z]+)`", page))
    assert sorted(words - explained - _NO_REASONS - KINDS.keys()) == []


def test_every_error_with_which_a_job_can_end_is_among_its_reasons() -> None:
    """What a backend answers becomes the job's reason."""
    from qonverge.programs.circuit import failure_reason
    from qonverge.wire.errors import Draining, WireError

    page = (ROOT / "docs/errors.md").read_text()
    section = page[page.index("## Reasons of a job") : page.index("## Why a backend was rejected")]
    kinds: list[type[WireError]] = [WireError, *WireError.__subclasses__()]
    # What a server that ends hands back is no attempt, and runs elsewhere.
    reasons = {failure_reason(kind("")) for kind in kinds if kind.__module__.startswith("qonverge.")} - {Draining.code}
    assert [reason for reason in sorted(reasons) if f"`{reason}`" not in section] == []
