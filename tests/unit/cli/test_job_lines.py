"""What is said of jobs of a cluster, in lines, in a table and in pictures."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from qonverge.api import HybridJob
from qonverge.api.job_status import MetricCurve
from qonverge.cli import job_lines
from qonverge.cli.following import SeenJob
from qonverge.cli.main import cli
from qonverge.cli.plot import panels_of, points, write
from qonverge.cli.rerun import RERUN_OF, copy, name_of
from qonverge.cli.watch import table
from qonverge.execution.transitions import timestamp

NOW = 1_700_000_000.0
RUNNING: dict[str, Any] = {
    "state": "Running",
    "backend": "aer",
    "attempts": 1,
    "progress": "40%",
    "metricsSummary": "energy=-1.13 step=40",
    "estimatedEndAt": timestamp(NOW + 95),
}


def seen(name: str = "vqe", *, deleted: bool = False, namespace: str = "chem", **status: Any) -> SeenJob:
    metadata = {"name": name, "namespace": namespace, "uid": f"{namespace}/{name}", "creationTimestamp": timestamp(NOW)}
    return SeenJob.of({"metadata": metadata, "status": status}, deleted=deleted)


def test_a_line_says_where_a_job_is() -> None:
    assert job_lines.line(seen(**RUNNING), NOW) == ("vqe  Running on aer  40%  energy=-1.13 step=40  about 1m35s left")
    assert job_lines.line(seen(**RUNNING), NOW + 100).endswith("  should end now")
    assert job_lines.line(seen(state="Running", backend="aer"), NOW) == "vqe  Running on aer"
    assert job_lines.line(seen(), NOW) == "vqe  Pending: new"
    assert job_lines.line(seen(deleted=True), NOW) == "vqe  was deleted"
    failed = seen(state="Failed", reason="ProgramFailed", message="the program ended with exit code 3")
    assert job_lines.failure(failed) == "vqe Failed: ProgramFailed: the program ended with exit code 3"


def test_the_same_is_not_said_twice() -> None:
    before = seen(**RUNNING)
    assert job_lines.key(before) == job_lines.key(seen(**RUNNING | {"estimatedEndAt": timestamp(NOW + 9)}))
    for other in ({"progress": "41%"}, {"metricsSummary": "energy=-1.14"}, {"attempts": 2}, {"state": "Complete"}):
        assert job_lines.key(before) != job_lines.key(seen(**RUNNING | other)), other


def rendered(*jobs: SeenJob) -> list[str]:
    console = Console(file=io.StringIO(), width=120)
    console.print(table(jobs, NOW))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_table_has_a_row_and_a_bar_for_each_job() -> None:
    head, first, second, third = rendered(
        seen("a", **RUNNING),
        seen("b", state="Failed", reason="Cancelled", message="the job was cancelled"),
        seen("c", state="Pending", message="waiting for a backend"),
    )
    assert head.split() == ["JOB", "STATE", "BACKEND", "PROGRESS", "METRICS"]
    assert first.split()[:4] == ["a", "▶", "Running", "aer"]
    assert "━━━━━━━━" in first
    assert first.endswith("40%  energy=-1.13 step=40  about 1m35s left")
    assert second.endswith("Cancelled: the job was cancelled")
    assert third.endswith("waiting for a backend")
    assert rendered(seen("a"), seen("a", namespace="bio"))[0].split()[0] == "NAMESPACE"
    assert rendered() == ["no job waits or runs"]


def job(**spec: Any) -> dict[str, Any]:
    metadata = {
        "name": "vqe",
        "namespace": "chem",
        "uid": "u",
        "labels": {"team": "chem", "app.kubernetes.io/instance": "site", "argocd.argoproj.io/instance": "site"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }
    return {"metadata": metadata, "spec": {"program": {"python": {"source": "x"}}, **spec}, "status": RUNNING}


def test_a_rerun_has_the_specification_and_nothing_else_of_a_job() -> None:
    made = copy(job(seed=3, cancel=True), NOW)
    assert made.manifest == {
        "apiVersion": "qonverge.io/v1alpha1",
        "kind": "HybridJob",
        "metadata": {"labels": {"team": "chem"}, "annotations": {RERUN_OF: "vqe"}},
        "spec": {"program": {"python": {"source": "x"}}, "seed": 3},
    }
    assert made.notes == ()


def test_a_rerun_says_what_is_not_as_one_would_expect() -> None:
    made = copy(job(suspend=True, deadline=timestamp(NOW - 1)), NOW)
    assert made.manifest["spec"] == {"program": {"python": {"source": "x"}}, "suspend": True}
    assert made.notes == (
        f"without its deadline, {timestamp(NOW - 1)}, which has passed",
        "it is suspended, as the former: qonverge resume starts it",
    )
    later = timestamp(NOW + 1)
    assert copy(job(deadline=later), NOW).manifest["spec"]["deadline"] == later


def test_reruns_are_counted_from_the_first_job() -> None:
    again = job()
    again["metadata"] |= {"name": "vqe-rerun", "annotations": {RERUN_OF: "vqe"}}
    assert copy(again, NOW).manifest["metadata"]["annotations"] == {RERUN_OF: "vqe"}
    assert [name_of("vqe", number) for number in (1, 2, 3)] == ["vqe-rerun", "vqe-rerun-2", "vqe-rerun-3"]
    assert len(name_of("x" * 253, 12)) == 253


def drawn(**status: Any) -> HybridJob:
    circuit = {"openqasm": "x", "observables": ["ZZ", {"XX": 0.5, "YY": 0.5}]}
    return HybridJob.model_validate(
        {"metadata": {"name": "j"}, "spec": {"program": {"circuit": circuit}}, "status": status}
    )


CURVE: dict[str, Any] = {"name": "energy", "reports": 6, "every": 2, "values": [0.0, -0.5, -1.0]}


def test_a_course_ends_with_the_present_value() -> None:
    curve = MetricCurve.model_validate(CURVE)
    assert points(curve, -1.1) == ([1, 3, 5, 6], [0.0, -0.5, -1.0, -1.1])
    assert points(curve, None) == ([1, 3, 5], [0.0, -0.5, -1.0])
    whole = MetricCurve.model_validate(CURVE | {"reports": 5})
    assert points(whole, -1.0) == ([1, 3, 5], [0.0, -0.5, -1.0])


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_counts_values_and_courses_are_drawn(tmp_path: Path, suffix: str) -> None:
    everything = drawn(
        backend="aer",
        metrics={"energy": -1.1},
        metricCurves=[CURVE, CURVE | {"name": "step"}],
        result={"counts": {f"{n:07b}": n + 1 for n in range(100)}, "expectationValues": [0.5, -0.5], "shots": 10}
        | {"standardErrors": [0.1, 0.1]},
    )
    assert len(panels_of(everything)) == 4
    assert len(panels_of(everything, ["energy"])) == 1
    file = tmp_path / f"j{suffix}"
    assert write([everything], file, (), "-o")
    assert file.read_bytes()[:4] == (b"\x89PNG" if suffix == ".png" else b"<?xm")
    assert not write([drawn()], tmp_path / "none.png", (), "-o")
    assert not (tmp_path / "none.png").exists()


def test_without_matplotlib_a_person_is_told_what_to_install() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; sys.argv = ['qonverge', 'plot', 'j']\n"
        "from qonverge.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: matplotlib")
    assert 'is not installed: pip install "qonverge[local]"' in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["submit", "--timeout", "90s", "x.yaml"], "--timeout goes with --wait"),
        (["submit", "--wait", "--timeout", "soon", "x.yaml"], "'soon': give a time such as 90s, 10m or 1h30m"),
        (["submit", "no-such-file.yaml"], "error: no-such-file.yaml: No such file or directory"),
        (["watch", "-A", "j"], "--all-namespaces goes without JOB"),
        (["plot", "j", "-o", "j.xyz"], "error: -o j.xyz: the name must end in one of "),
        (["rerun", "j"], "error: there is no cluster to ask"),
        (["cancel", "j"], "error: there is no cluster to ask"),
        (["logs", "j"], "error: there is no cluster to ask"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever cluster a developer has.
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    outcome = CliRunner().invoke(cli, arguments)
    assert outcome.exit_code == 2, outcome.output
    assert sentence in outcome.stderr
