"""The comparison: ``python -m bench.placement [--quick] [--snapshots FOLDER] [--circuits FOLDER] [--trace FILE]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.placement import compare, fleet, given, pairs, report, trace_file
from bench.placement.compare import Result, Setting, Task
from bench.placement.pairs import InvalidInput, Pairs

RESULTS = Path(__file__).parents[1] / "results"
_JOBS, _QUICK_JOBS = 200, 40
_SEEDS, _QUICK_SEEDS = 3, 1


def main(arguments: list[str] | None = None) -> None:
    """Compare, print the tables, and write the JSON and the plot."""
    parser = argparse.ArgumentParser(prog="bench.placement", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few jobs, and the present generation's tuning half only")
    parser.add_argument("--snapshots", type=Path, help="folder of calibrations; the devices of one fleet")
    parser.add_argument("--circuits", type=Path, help="folder of OpenQASM files")
    parser.add_argument("--trace", type=Path, help="arrivals; see docs/placement-benchmark.md for all formats")
    parser.add_argument("--pairs", type=Path, default=pairs.KNOWN, help="what was simulated already, and is added to")
    parser.add_argument("--refresh", action="store_true", help="make the forecasts of fidelity anew")
    parser.add_argument("--jobs", type=int, help="of a trace that is made")
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--seeds", type=int, help="traces and worlds of each kind")
    parser.add_argument("--json", type=Path, default=RESULTS / "placement.local.json", help="file of all figures")
    parser.add_argument("--plot", type=Path, help="SVG of completion time and fidelity")
    options = parser.parse_args(arguments)
    try:
        results = compare.run_all(_tasks(options))
    except InvalidInput as error:
        sys.exit(str(error))
    print(report.text(results))
    _write(options.json, results)
    if options.plot is not None:
        report.plot(results, options.plot)


def _tasks(options: argparse.Namespace) -> list[Task]:
    known = pairs.read(options.pairs) if options.pairs.exists() else {}
    known = pairs.without_forecasts(known) if options.refresh else known
    save: Callable[[Pairs], None] = partial(pairs.write, options.pairs)
    jobs = options.jobs or (_QUICK_JOBS if options.quick else _JOBS)
    count = options.seeds or (_QUICK_SEEDS if options.quick else _SEEDS)
    seeds = range(options.seed, options.seed + count)
    if options.snapshots or options.circuits or options.trace:
        circuits = fleet.read_circuits(options.circuits) if options.circuits else fleet.known_circuits()
        devices = fleet.read_devices(options.snapshots) if options.snapshots else fleet.known_devices()
        if options.trace:
            arrivals = trace_file.read(options.trace)
            theirs = Setting("", "given", given.fleet_of(arrivals, circuits, devices, known, save))
            return [compare.given(theirs, arrivals, seed) for seed in seeds]
        made = fleet.assemble(compare.programs(circuits), devices, known, save).usable()
        own = Setting("", "given", made)
        return [task for task in compare.tasks(own, jobs, seeds) if task.kind == "trace"]
    settings = compare.settings(known, save)
    return [
        task
        for setting in (settings[:1] if options.quick else settings)
        for task in compare.tasks(setting, jobs, seeds)
    ]


def _write(path: Path, results: list[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data: dict[str, Any] = {"results": [result.to_dict() for result in results]}
    path.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
