"""Autoscaling on a virtual clock: ``python -m bench.scaling [--log FILE.swf.gz]``."""

from __future__ import annotations

import argparse
import hashlib
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.scaling import plot, traces
from bench.scaling.plant import Plant, Trace
from bench.scaling.study import POLICY, compare

RESULTS = Path(__file__).parents[1] / "results"
DOCS = Path(__file__).parents[2] / "docs"
SEED = 1


def table(studies: list[dict[str, Any]]) -> str:
    """Return all rows as a table in Markdown."""
    lines = [
        "| trace | scaler | setting | pod-hours | p50, s | p95, s | p99, s | changes | tasks cut short |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in (row for study in studies for row in study["rows"]):
        figures = [f"{row[name]:,.1f}" for name in ("pod_hours", "p50", "p95", "p99")]
        counts = [f"{row[name]:,}" for name in ("changes", "cut_short")]
        lines.append(f"| {' | '.join([row['trace'], row['scaler'], row['setting'], *figures, *counts])} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Simulate all, print the table, and write the JSON and the plot."""
    parser = argparse.ArgumentParser(prog="bench.scaling", description="Compare autoscalers on a virtual clock.")
    parser.add_argument("--log", type=Path, help="a log in the Standard Workload Format, as a further trace")
    parser.add_argument("--skip", type=float, default=16.0, help="days of the log to leave out at its start")
    parser.add_argument("--days", type=float, default=16.0, help="days of the log to take")
    parser.add_argument("--faster", type=float, default=8.0, help="how many times as fast its jobs come")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the figures")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of the plot")
    options = parser.parse_args(arguments)
    plant, played = Plant(), [make(SEED) for make in traces.MADE.values()]
    log: dict[str, Any] | None = None
    if options.log is not None:
        played.append(_logged(options))
        digest = hashlib.sha256(options.log.read_bytes()).hexdigest()
        log = {"file": options.log.name, "sha256": digest, "skip_days": options.skip, "days": options.days}
        log["faster"] = options.faster
    with ProcessPoolExecutor(2) as executor:
        studies = [compare(trace, plant, executor) for trace in played]
    print(table(studies))
    result = {"seed": SEED, "plant": asdict(plant), "policy": asdict(POLICY), "log": log, "traces": studies}
    (options.results / "scaling.json").write_text(json.dumps(result, indent=1) + "\n")
    plot.draw(studies, POLICY.target_queue_seconds, options.docs / "autoscaling.svg")


def _logged(options: argparse.Namespace) -> Trace:
    return traces.from_log(options.log, skip=options.skip, days=options.days, faster=options.faster)


if __name__ == "__main__":
    main()
