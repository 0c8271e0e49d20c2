"""Everything that is measured: ``python -m bench [--quick] [--name NAME]``."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import backend, large, loop, operator, report
from bench.driver import JobFailed
from e2e.cluster import ClusterError
from e2e.cluster.requirements import missing_requirements

RESULTS = Path(__file__).parent / "results"


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure all and return, as JSON carries it, ``machine``, ``rows`` and a key for each measurement."""
    facts = {**report.machine(), "started": datetime.now(UTC).isoformat(timespec="seconds"), "quick": quick}
    of_operator = operator.run(operator.QUICK if quick else operator.FULL)
    print("a backend server beside in-process Aer", file=sys.stderr, flush=True)
    of_backend = backend.run((5, 15), rounds=1, seconds=0.2) if quick else backend.run()
    print("the quantum loop beside in-process Aer", file=sys.stderr, flush=True)
    of_loop = loop.run(1, only="sweep_estimator") if quick else loop.run()
    print("memory of a large result", file=sys.stderr, flush=True)
    of_large = large.run(sets=2, shots=100_000) if quick else large.run()
    judged = [
        *report.rows(of_operator, of_backend),
        *report.loop_rows(of_loop),
        report.large_row(of_large),
    ]
    return {
        "machine": facts,
        "rows": [row.to_dict() for row in judged],
        "operator": of_operator,
        "backend": of_backend,
        "loop": [asdict(row) for row in of_loop],
        "large": asdict(of_large),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure the operator and a backend server.")
    parser.add_argument("--quick", action="store_true", help="a few jobs only, to see that it works; no figures to use")
    parser.add_argument("--name", default="local", help="of the results' file, bench.NAME.json; local is not for git")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where results are written")
    options = parser.parse_args(arguments)
    if missing := missing_requirements("integration"):
        sys.exit("the operator's figures need " + "; ".join(missing))
    try:
        measured = measure(quick=options.quick)
    except (ClusterError, JobFailed, RuntimeError) as error:
        sys.exit(f"the measurement was given up: {error}")
    facts = measured["machine"]
    print(
        f"\n{facts['cpus']} CPUs ({facts['processor']}), {facts['memory_gib']} GiB, load before "
        f"{facts['load_before']:.1f}; Kubernetes {facts['kubernetes']}, Python {facts['python']}, Aer "
        f"{facts['qiskit-aer']}\n"
    )
    print(report.table([report.Row(**row) for row in measured["rows"]]))
    print(f"\n{backend.table(measured['backend'])}")
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / f"bench.{options.name}.json"
    path.write_text(json.dumps(measured, indent=2) + "\n")
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
