"""Manifests and the command line, without an engine."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from qonverge.cli.main import cli
from qonverge.cli.render import histogram
from qonverge.local.manifests import ManifestError, read

ROOT = Path(__file__).parents[2]


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "job.yaml"
    file.write_text(text)
    with pytest.raises(ManifestError) as error:
        read([str(file)])
    return [problem.removeprefix(f"{tmp_path}/") for problem in error.value.problems]


JOB = "apiVersion: qonverge.io/v1alpha1\nkind: HybridJob\nmetadata: {name: j}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "job.yaml: neither YAML nor JSON: line 2, column 1: while parsing a flow"),
        ("just text", "job.yaml: not a Kubernetes object: apiVersion, kind, metadata and spec are needed"),
        (
            "kind: Pod\napiVersion: v1",
            "job.yaml: kind 'Pod' is not known here: use HybridJob, QuantumBackend, QuantumQuota, ConfigMap",
        ),
        ("kind: HybridJob\napiVersion: v9", "job.yaml: apiVersion is 'v9': use qonverge.io/v1alpha1"),
        (
            JOB + "spec: {shotz: 3, program: {python: {source: x}}}",
            "job.yaml: spec.shotz: unknown field; did you mean shots?",
        ),
        (
            JOB + "spec: {program: {python: {sorce: x}}}",
            "job.yaml: spec.program.python.sorce: unknown field; did you mean source?",
        ),
        (JOB + "spec: {}", "job.yaml: spec.program: required"),
        (JOB + "spec: {program: {}}", "job.yaml: spec.program: program: set exactly one of circuit, python"),
        (
            JOB + "spec: {shots: -1, program: {python: {source: x}}}",
            "job.yaml: spec.shots: Input should be greater than or equal to 1, not -1",
        ),
    ],
)
def test_bad_manifests(tmp_path: Path, text: str, sentence: str) -> None:
    found = problems(tmp_path, text)
    assert any(problem.startswith(sentence) for problem in found), found


def test_the_document_is_named_among_several(tmp_path: Path) -> None:
    assert problems(tmp_path, f"{JOB}spec: {{program: {{python: {{source: x}}}}}}\n---\nkind: X\n")[0].startswith(
        "job.yaml, document 2: kind 'X'"
    )


def test_a_missing_file_is_said_in_a_sentence() -> None:
    outcome = CliRunner().invoke(cli, ["run", "no-such-file.yaml"])
    assert outcome.exit_code == 2
    assert outcome.stderr == "error: no-such-file.yaml: No such file or directory\n"


def test_the_version_needs_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['qonverge', 'version']\n"
        "from qonverge.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'qiskit', 'numpy', 'pydantic', 'rich', 'yaml'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_config_maps_hold_programs(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    reference = "{circuit: {configMapKeyRef: {name: programs, key: bell.qasm}}}"
    file.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: programs}\ndata: {bell.qasm: OPENQASM 3.0;}\n---\n"
        f"{JOB}spec: {{program: {reference}}}\n---\n"
        f"{JOB.replace('name: j', 'name: k')}spec: {{program: {reference.replace('bell.qasm', 'x')}}}\n"
    )
    manifests = read([str(file)])
    assert manifests.program(manifests.jobs[0]) == "OPENQASM 3.0;"
    with pytest.raises(LookupError, match=r"has no key x; it has bell\.qasm"):
        manifests.program(manifests.jobs[1])


def test_the_histogram_shows_the_most_frequent_of_many() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(histogram({format(n, "05b"): n + 1 for n in range(32)}))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "and 16 outcomes more" in text
    assert "11111" in text
    assert "00000" not in text


@pytest.mark.parametrize(("bits", "shown"), [(36, 36), (37, 33), (127, 33), (1000, 33)])
@pytest.mark.parametrize("width", [60, 100])
def test_long_outcomes_are_shortened_where_no_line_differs(bits: int, shown: int, width: int) -> None:
    outcomes = ["0" * bits, "1" * bits, "01" * (bits // 2) + "0" * (bits % 2)]
    console = Console(file=io.StringIO(), width=width)
    console.print(histogram(dict.fromkeys(outcomes, 5)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    labels = {line.split()[0] for line in text.splitlines() if "█" in line}
    assert len(labels) == 3
    assert ("-o json prints outcomes whole" in text) == (bits > 36)
    if width == 100:
        assert {len(label) for label in labels} == {shown}


def labels_of(outcomes: Sequence[str]) -> list[str]:
    console = Console(file=io.StringIO(), width=300)
    console.print(histogram(dict.fromkeys(outcomes, 5)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.split("█")[0].strip() for line in text.splitlines() if "█" in line]


@pytest.mark.parametrize("place", [0, 17, 40, 63, 126])
def test_outcomes_that_differ_in_one_bit_have_labels_that_differ(place: int) -> None:
    outcome = "0" * 127
    first, second = labels_of([outcome, outcome[:place] + "1" + outcome[place + 1 :]])
    assert first.replace("0", "") in ("…", "……")
    assert second.count("1") == 1
    assert max(len(first), len(second)) <= 36


def test_no_two_labels_are_alike_whatever_the_outcomes_are() -> None:
    draw = random.Random(3)
    for _ in range(100):
        outcome = [draw.choice("01") for _ in range(draw.choice([40, 127, 300]))]
        outcome[draw.randrange(1, len(outcome) - 1)] = " "
        outcomes = {"".join(outcome)}
        while len(outcomes) < 16:
            other = list(draw.choice(sorted(outcomes)))
            place = draw.choice([place for place, digit in enumerate(other) if digit != " "])
            other[place] = "1" if other[place] == "0" else "0"
            outcomes.add("".join(other))
        labels = labels_of(sorted(outcomes))
        assert len(set(labels)) == 16
        for whole, label in zip(sorted(outcomes), labels, strict=True):
            parts = label.split("…")
            assert whole.startswith(parts[0])
            assert whole.endswith(parts[-1])


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_examples_are_valid(example: Path) -> None:
    outcome = CliRunner().invoke(cli, ["validate", str(example)])
    assert outcome.exit_code == 0, outcome.output
    assert ": valid" in outcome.output


def misleading(tmp_path: Path) -> str:
    file = tmp_path / "job.yaml"
    text = 'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; rx(1/2*pi) q; c = measure q;'
    file.write_text(JOB + f"spec: {{program: {{circuit: {{openqasm: '{text}'}}}}}}")
    return str(file)


def test_validate_says_what_misleads(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["validate", misleading(tmp_path)])
    assert done.exit_code == 0
    assert "hybridjob/j: warning: line 1, column 58: 1/2 is 0 here" in done.output


def test_run_says_what_misleads_beside_the_manifest(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["run", "-o", "json", misleading(tmp_path)])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["status"]["result"]["counts"] == {"0": 1024}
    assert "warning: j: line 1, column 58: 1/2 is 0 here" in done.stderr
