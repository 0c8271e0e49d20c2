"""The whole study: ``python -m bench.fidelity``; about two minutes of one core."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from bench.fidelity.plot import draw
from bench.fidelity.study import FORECASTS, TUNING, run, spreads, summary

_ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> None:
    """Run the study, print its figures and write them with a plot."""
    parser = argparse.ArgumentParser(prog="bench.fidelity", description="Compare forecast and simulated fidelities.")
    parser.add_argument("--results", type=Path, default=_ROOT / "bench" / "results" / "fidelity.json")
    parser.add_argument("--plot", type=Path, default=_ROOT / "docs" / "forecast-fidelity.svg")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    rows = list(run(lambda case, device: True, lambda line: print(line, file=sys.stderr, flush=True)))
    figures = summary(rows)
    for half, forecasts in figures.items():
        for name, of in forecasts.items():
            print(
                f"{half:9} {name:25} {of['pairs']:5} pairs  rank correlation {of['rank_correlation']:.3f} "
                f"(on a device {of['by_device_median']:.3f}, of a circuit {of['by_circuit_median']:.3f})  "
                f"error {of['mean_absolute_error']:.3f}  coverage {of['coverage']:.1%}  width {of['mean_width']:.3f}"
            )
    for name, spread in spreads(rows).items():
        print(f"the tuning half asks for {spread} ({name})")
    options.results.parent.mkdir(parents=True, exist_ok=True)
    table = [
        [row.circuit, row.device, row.half, round(row.outcome, 5)]
        + [round(row.forecasts[name].mid, 5) for name in FORECASTS]
        for row in rows
    ]
    columns = ["circuit", "device", "half", "outcome", *FORECASTS]
    text = json.dumps({"figures": figures, "columns": columns}, indent=1)
    lines = ",\n".join(json.dumps(line, separators=(",", ":")) for line in table)
    options.results.write_text(f'{text[:-2]},\n "rows": [\n{lines}\n]}}\n')
    draw([row for row in rows if row.half != TUNING], options.plot)
    print(f"{time.monotonic() - began:.0f} s; written to {options.results} and {options.plot}")


if __name__ == "__main__":
    main()
