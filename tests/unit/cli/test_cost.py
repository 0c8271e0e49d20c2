"""``qonverge cost``: what jobs used, in groups, each currency by itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from qonverge.api import HybridJob
from qonverge.cli.cost import beginning, rows
from qonverge.cli.main import cli


def job(name: str, *costs: str, namespace: str = "chem", spec: Any = None, **status: Any) -> dict[str, Any]:
    money = [dict(zip(("amount", "currency"), cost.split(), strict=True)) for cost in costs]
    usage: dict[str, Any] = {"shots": 10, "seconds": 0.5, "cost": " + ".join(costs) or "0", "costs": money or None}
    return {
        "apiVersion": "qonverge.io/v1alpha1",
        "kind": "HybridJob",
        "metadata": {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "7"},
        "spec": {"program": {"circuit": {"openqasm": "x"}}, **(spec or {})},
        "status": {"state": "Complete", "backend": "a", "attempts": 1, "usage": usage, **status},
    }


JOBS = [
    job("one", "1.5 USD", completedAt="2026-10-30T23:59:59Z"),
    job("two", "2 EUR", "0.25 USD", completedAt="2026-11-01T00:00:00Z", attempts=2),
    job("three", "3 USD", namespace="bio", backend="lab/b", completedAt="2026-11-02T00:00:00Z"),
    job("hedged", "4 USD", spec={"placement": {"hedge": True}}, completedAt="2026-11-02T05:00:00Z"),
    job("runs", "5 CHF", state="Running"),
    job("free", completedAt="2026-11-02T05:00:00Z"),
    {**job("new"), "status": {"state": "Pending"}},
    job("former", usage={"shots": 1, "cost": "7", "currency": "EUR"}, completedAt="2026-11-02T05:00:00Z"),
]


def told(*arguments: str, jobs: list[dict[str, Any]] = JOBS) -> Any:
    value = json.dumps({"apiVersion": "v1", "kind": "List", "items": jobs})
    done = CliRunner().invoke(cli, ["cost", "-", *arguments], input=value)
    assert done.exit_code == 0, done.output
    return done.output


def by(name: str) -> dict[str, str]:
    value = json.loads(told("-o", "json", "--by", name))
    assert value == yaml.safe_load(told("-o", "yaml", "--by", name))
    return {
        row["name"]: " + ".join(f"{cost['amount']} {cost['currency']}" for cost in row["costs"])
        for row in [*value["rows"], value["total"]]
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("namespace", {"bio": "3 USD", "chem": "5 CHF + 9 EUR + 5.75 USD"}),
        # A job that ran on several backends has one sum.
        ("backend", {"(several)": "2 EUR + 4.25 USD", "chem/a": "5 CHF + 7 EUR + 1.5 USD", "lab/b": "3 USD"}),
        ("month", {"(not ended)": "5 CHF", "2026-10": "1.5 USD", "2026-11": "9 EUR + 7.25 USD"}),
        (
            "day",
            {
                "(not ended)": "5 CHF",
                "2026-10-30": "1.5 USD",
                "2026-11-01": "2 EUR + 0.25 USD",
                "2026-11-02": "7 EUR + 7 USD",
            },
        ),
    ],
)
def test_costs_are_summed_by_what_is_asked_and_currencies_kept_apart(name: str, expected: dict[str, str]) -> None:
    assert by(name) == {**expected, "total": "5 CHF + 9 EUR + 8.75 USD"}


def test_each_job_that_used_something_has_a_row_and_a_table_shows_the_same() -> None:
    found = by("job")
    names = ("bio/three", "chem/former", "chem/free", "chem/hedged", "chem/one", "chem/runs", "chem/two", "total")
    assert tuple(found) == names
    lines = [line.split() for line in told().splitlines()]
    assert lines[0] == ["JOB", "JOBS", "SHOTS", "SECONDS", "COST"]
    assert {line[0]: " ".join(line[4:]) for line in lines[1:]} == {name: cost or "0" for name, cost in found.items()}
    assert "none of these jobs has used anything" in told(jobs=[JOBS[6]])


def test_a_period_begins_where_it_is_said() -> None:
    now = datetime(2026, 11, 2, 12, tzinfo=UTC)
    for text, expected in (
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T02:00:00+02:00", datetime(2026, 11, 1, tzinfo=UTC)),
        ("36h", datetime(2026, 11, 1, tzinfo=UTC)),
        ("1d", datetime(2026, 11, 1, 12, tzinfo=UTC)),
    ):
        assert beginning(text, now) == expected.timestamp()
    since = beginning("2026-11-01", now)
    names = [row.name for row in rows([HybridJob.model_validate(each) for each in JOBS], "job", since)]
    assert "chem/one" not in names
    assert {"chem/two", "chem/runs"} <= set(names)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-file"], "error: no-such-file: No such file or directory"),
        (["{}"], "error: {}: not jobs as qonverge run -o or kubectl get -o print them: metadata: Field required"),
        (["--since", "soon"], "error: --since soon: give a date such as 2026-01-31"),
        (["--since", "99999999999d"], "error: --since 99999999999d: give a date"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    file = tmp_path / "x.json"
    file.write_text("{}")
    done = CliRunner().invoke(cli, ["cost", *(each.replace("{}", str(file)) for each in arguments)])
    assert done.exit_code == 2
    assert done.output.startswith(sentence.replace("{}", str(file)))
