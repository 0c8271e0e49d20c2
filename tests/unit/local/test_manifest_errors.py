"""Manifests that a person gets wrong, each with the sentence that helps."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from qonverge.cli.main import cli
from qonverge.local.manifests import ManifestError, read

JOB = "apiVersion: qonverge.io/v1alpha1\nkind: HybridJob\nmetadata: {name: j}\n"
SPEC = "spec: {program: {python: {source: x}}}\n"
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "job.yaml"
    file.write_text(text)
    with pytest.raises(ManifestError) as error:
        read([str(file)])
    return [problem.removeprefix(f"{tmp_path}/") for problem in error.value.problems]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (JOB.replace("name: j", "name: Bell_Job") + SPEC, "metadata.name: use at most 253 lower case letters"),
        (
            JOB.replace("name: j", "name: j, namespace: A") + SPEC,
            "metadata.namespace: use at most 63 lower case letters",
        ),
        (JOB.replace("{name: j}", "x") + SPEC, "metadata: Input should be a valid dictionary"),
        (JOB.replace("metadata: {name: j}\n", "") + SPEC, "metadata.name: required"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n", "metadata.name: required"),
        (MAP + "data: y\n", "data: Input should be a valid dictionary"),
        (MAP + "data: {a: 3}\n", "data.a: Input should be a valid string, not 3"),
        (MAP + "data: {a b: x}\n", "data.a b: use at most 253 letters, digits, '-', '_' and '.'"),
        (MAP + "data: {a: x}\nbinaryData: {a: eA==}\n", "the object: data and binaryData both have the key 'a'"),
        (MAP + "binaryData: {a: '*'}\n", "binaryData.a: base64 is needed"),
        (
            MAP + f"data: {{a: {'x' * 1_048_577}}}\n",
            "the object: the ConfigMap holds 1048577 bytes and Kubernetes takes",
        ),
        ("apiVersion: v2\nkind: ConfigMap\nmetadata: {name: x}\n", "apiVersion is 'v2': use v1"),
        ("kind: List\nitems: 3\n", "kind 'List' is not known here"),
        ("[" * 5000, "neither YAML nor JSON: line 1, column 102: nested too deeply"),
        (
            JOB + "spec: {shots: true, program: {python: {source: x}}}",
            "spec.shots: Input should be a valid integer, not true",
        ),
        (
            JOB + "spec: {shots: '10', program: {python: {source: x}}}",
            "spec.shots: Input should be a valid integer, not '10'",
        ),
        (
            JOB + "spec: {shots: 1.5, program: {python: {source: x}}}",
            "spec.shots: Input should be a valid integer, not 1.5",
        ),
        (
            JOB + "spec: {shots: 1, shots: 2, program: {python: {source: x}}}",
            "line 4, column 18: the key 'shots' is given",
        ),
        (
            JOB + "spec: {program: {python: {source: 5}}}",
            "spec.program.python.source: Input should be a valid string, not 5",
        ),
        (
            JOB + "spec: {suspend: 'yes', program: {python: {source: x}}}",
            "spec.suspend: Input should be a valid boolean",
        ),
        (JOB.replace("name: j", "name: j, lables: {}") + SPEC, "metadata.lables: unknown field; did you mean labels?"),
        (JOB.replace("name: j", "name: j, labels: {a: 1}") + SPEC, "metadata.labels.a: Input should be a valid string"),
        (JOB.replace("name: j", "name: j, labels: {a: b c}") + SPEC, "metadata.labels.a: use at most 63 letters"),
        (
            JOB + "spec: {deadline: 2026-01-31, program: {python: {source: x}}}",
            "spec.deadline: give a time with its zone",
        ),
        (
            JOB + f"spec: {{program: {{circuit: {{openqasm: {'x' * 1_500_000}}}}}}}",
            "spec.program.circuit.openqasm: 1500000 characters are given, and at most ",
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


def test_a_quota_is_checked_and_runs_nowhere_without_a_cluster() -> None:
    quota = "apiVersion: qonverge.io/v1alpha1\nkind: QuantumQuota\nmetadata: {name: q}\nspec: {weight: 2}\n"
    good = CliRunner().invoke(cli, ["validate", "-"], input=quota)
    assert (good.exit_code, good.stdout) == (0, "quantumquota/q: valid\n")
    refused = CliRunner().invoke(cli, ["run", "-"], input=f"{quota}---\n{JOB}{SPEC}")
    assert refused.exit_code == 2
    assert refused.stderr == "error: -, document 1: a QuantumQuota holds on a cluster only: leave it out here\n"


def test_null_is_absence_and_unknown_fields_are_refused_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(
        JOB + "spec: {shots: null, backend: ~, program: {circuit: null, python: {source: x, args: null}}}\n"
    )
    (job,) = read([str(file)]).jobs
    assert (job.spec.shots, job.spec.backend, job.spec.program.circuit) == (None, None, None)
    assert problems(tmp_path, JOB + "spec: {shotz: null, program: {python: {source: x}}}\n") == [
        "job.yaml: spec.shotz: unknown field; did you mean shots?"
    ]
