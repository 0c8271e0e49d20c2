"""The measurements themselves: they run, and say what they are to say. What they measure here means nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import __main__ as bench
from e2e.layers import require


def test_all_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require("integration")
    bench.main(["--quick", "--folder", str(tmp_path)])
    measured = json.loads((tmp_path / "bench.local.json").read_text())
    assert set(measured) == {"machine", "rows", "operator", "backend", "loop", "large"}
    operator = measured["operator"]
    assert operator["throughput"]["jobs"] == 40
    assert len(operator["throughput"]["blocks"]["operator"]) == len(operator["throughput"]["blocks"]["bare"]) == 2
    assert operator["throughput"]["ratio"] > 0
    assert operator["throughput"]["cpu_ms_per_job"]["bare"]["API server"] > 0
    # Slower than two seconds a job shows itself running, in one write more.
    assert 1 <= operator["writes"]["per_job"] <= 2
    assert operator["writes"]["by_request"]["patch hybridjobs/status 200"] >= 40
    assert operator["latency"]["jobs"] == 10
    assert 0 < operator["latency"]["median_ms"] <= operator["latency"]["p90_ms"] <= operator["latency"]["longest_ms"]
    assert operator["memory"]["finished"] == 80
    for when in ("just_after_the_last_job", "after_all_jobs", "started_anew"):
        assert operator["memory"][when]["operator"]["rss"] > 20
    assert [row["qubits"] for row in measured["backend"]["widths"]] == [5, 15]
    bars = [row for row in measured["rows"] if row["bar"]]
    assert len(bars) == 9
    assert all(isinstance(row["holds"], bool) for row in bars)
    printed = capsys.readouterr().out
    assert all(row["measure"] in printed for row in measured["rows"])
