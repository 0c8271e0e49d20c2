"""Manifests that a person gets wrong, each with the sentence that helps."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from qonverge.cli.main import cli
from qonverge.local.manifests import ManifestError, read

JOB = "apiVersion: qonverge.io/v1alpha1\nkind: HybridJob\nmetadata: {name: j}\n"
SPEC = "spec: {program: {python: {source: x}}}\n"


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "job.yaml"
    file.write_text(text)
    with pytest.raises(ManifestError) as error:
        read([str(file)])
    return [problem.removeprefix(f"{tmp_path}/") for problem in error.value.problems]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (JOB.replace("name: j", "name: Bell_Job") + SPEC, "metadata.name: use lower case letters, digits, '-' and '.'"),
        (JOB.replace("name: j", "name: j, namespace: A") + SPEC, "metadata.namespace: use lower case letters"),
        (JOB.replace("{name: j}", "x") + SPEC, "metadata.name: required"),
        (JOB.replace("metadata: {name: j}\n", "") + SPEC, "metadata.name: required"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: x\n", "metadata.name: required"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: y\n", "data: texts by name are needed"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: 3}\n", "data: texts by name are needed"),
        ("apiVersion: v2\nkind: ConfigMap\nmetadata: {name: x}\n", "apiVersion is 'v2': use v1"),
        ("kind: List\nitems: 3\n", "kind 'List' is not known here"),
        ("[" * 5000, "nested too deeply"),
        (
            JOB + "spec: {program: {circuit: {openqasm: x, observables: [ZZ, 3]}}}",
            "spec.program.circuit.observables.1: Input should be a valid string, not 3",
        ),
    ],
)
def test_each_gives_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    found = problems(tmp_path, text)
    assert any(problem.startswith(f"job.yaml: {sentence}") for problem in found), found


def test_the_same_job_twice(tmp_path: Path) -> None:
    assert problems(tmp_path, f"{JOB}{SPEC}---\n{JOB}{SPEC}") == [
        f"job.yaml, document 2: HybridJob default/j is given twice, first in {tmp_path}/job.yaml, document 1"
    ]


def test_jobs_of_one_name_in_two_namespaces(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(f"{JOB}{SPEC}---\n{JOB.replace('name: j', 'name: j, namespace: lab')}{SPEC}")
    assert [job.metadata.namespace for job in read([str(file)]).jobs] == ["default", "lab"]


def test_items_of_a_list_are_counted(tmp_path: Path) -> None:
    bad = JOB.replace("\n", ", ").removesuffix(", ") + ", spec: {}"
    assert problems(tmp_path, f"apiVersion: v1\nkind: List\nitems:\n- {{{bad}}}\n") == [
        "job.yaml, item 1: spec.program: required"
    ]


def test_what_a_cluster_wrote_is_read_again(tmp_path: Path) -> None:
    """Times stay texts, and a status of an earlier run is no input."""
    file = tmp_path / "job.yaml"
    file.write_text(
        JOB.replace("name: j", "name: j, creationTimestamp: 2026-01-01T00:00:00Z")
        + SPEC
        + "status: {state: Complete}\n"
    )
    (job,) = read([str(file)]).jobs
    assert job.metadata.creation_timestamp == "2026-01-01T00:00:00Z"
    assert job.status.state == "Pending"


def test_nothing_to_check() -> None:
    outcome = CliRunner().invoke(cli, ["validate", "-"], input="")
    assert (outcome.exit_code, outcome.stderr) == (2, "error: -: there is nothing to check\n")


@pytest.mark.parametrize(
    ("option", "sentence"),
    [("x.foo", "the name must end in one of .eps"), ("/no/such/x.png", "/no/such is no folder that can be written to")],
)
def test_a_picture_that_cannot_be_written_is_said_before_anything_runs(option: str, sentence: str) -> None:
    outcome = CliRunner().invoke(cli, ["run", "--plot", option, "-"], input=JOB + SPEC)
    assert outcome.exit_code == 2
    assert outcome.stderr.startswith(f"error: --plot {option}: {sentence}")
    assert outcome.stdout == ""
