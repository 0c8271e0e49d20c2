"""The figures beside their bars, and what they were measured on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from bench import large, loop
from e2e.cluster.build import GROUPS

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("qonverge", "kopf", "aiohttp", "qiskit", "qiskit-aer")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    measure: str
    figure: str
    bar: str
    """Empty where the figure is for information."""
    holds: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON carries it."""
        return asdict(self)


def rows(operator: Mapping[str, Any], backend: Mapping[str, Any]) -> list[Row]:
    """Return what is judged, and what explains it.

    Args:
        operator: what ``bench.operator.run`` returned.
        backend: what ``bench.backend.run`` returned, with widths of 5 and 15 qubits among others.
    """
    return [*_throughput(operator["throughput"]), *_single(operator), *_memory(operator["memory"]), *_backend(backend)]


def loop_rows(measured: Sequence[loop.Row]) -> list[Row]:
    """Return what ``bench.loop.run`` has measured, beside its bars."""
    return [
        Row(
            f"{row.title}: server / in-process",
            f"{row.ratio:.2f} (worst turn {row.worst:.2f})",
            f"at most {row.bar:g}",
            row.ratio <= row.bar,
        )
        for row in measured
    ]


def large_row(found: large.Memory) -> Row:
    """Return what ``bench.large.run`` has measured, beside its bar."""
    return Row(
        f"{found.payload:.0f} MiB of results: peak over idle memory",
        f"server {found.server:.0f} MiB, client {found.client:.0f} MiB (worker {found.worker:.0f})",
        f"at most {large.BAR:g} x each",
        found.holds,
    )


def _throughput(measured: Mapping[str, Any]) -> list[Row]:
    operator, bare, watched = (measured[f"{side}_per_second"] for side in ("operator", "bare", "bare_watched"))
    ratio, lowest = measured["ratio"], measured["ratio_lowest"]
    return [
        Row(f"circuit jobs/s, {measured['in_flight']} in flight", f"{operator:.0f}", ""),
        Row("bare client: create and one status patch/s", f"{bare:.0f} ({watched:.0f} with a watch)", ""),
        Row("jobs / bare client", f"{ratio:.2f} (lowest turn {lowest:.2f})", "at least 0.40", ratio >= 0.40),
        *(
            Row(f"CPU per job, ms, {who}", _parts(measured["cpu_ms_per_job"][side]), "")
            for side, who in (("operator", "operator"), ("bare", "bare client"))
        ),
    ]


def _parts(cost: Mapping[str, float]) -> str:
    named = ", ".join(f"{part} {of:.1f}" for part, of in cost.items() if of >= 0.05)
    return f"{sum(cost.values()):.1f}: {named}"


def _single(measured: Mapping[str, Any]) -> list[Row]:
    latency, writes = measured["latency"], measured["writes"]
    median, most = latency["median_ms"], latency["p90_ms"]
    apart = ", ".join(f"{count} {name}" for name, count in writes["periodic"].items())
    return [
        Row(
            "apply to Complete, one at a time",
            f"median {median:.1f} ms, p90 {most:.1f} ms",
            "median under 150 ms",
            median < 150,
        ),
        Row(
            "API writes by the operator per job",
            f"{writes['per_job']:.3f} (apart: {apart} for {writes['jobs']} jobs)",
            "1",
            writes["per_job"] <= 1,
        ),
    ]


def _memory(measured: Mapping[str, Any]) -> list[Row]:
    finished = measured["finished"]
    found = []
    for key, when in (("after_all_jobs", "after running them"), ("started_anew", "started anew")):
        own, whole = measured[key]["operator"], measured[key]["sum"]
        # Where a system tells no proportional size or peak, its part is left out.
        more = [f"{name} {own[of]:.0f}" for name, of in (("PSS", "pss"), ("peak", "peak_rss")) if own[of] is not None]
        figure = f"{own['rss']:.0f} MiB ({', '.join([*more, 'with children ' + format(whole['rss'], '.0f')])})"
        found.append(
            Row(f"operator RSS, {finished} finished jobs, {when}", figure, "under 250 MiB", whole["rss"] < 250)
        )
    return found


def _backend(measured: Mapping[str, Any]) -> list[Row]:
    widths = {row["qubits"]: row for row in measured["widths"]}
    wide, narrow = widths[15], widths[5]
    return [
        Row(
            f"backend / in-process Aer, {measured['clients']} clients, 15 qubits",
            f"{wide['ratio']:.2f} ({wide['server_per_second']:.0f}/s, {wide['in_process_per_second']:.0f}/s)",
            "at least 0.9",
            wide["ratio"] >= 0.9,
        ),
        Row(
            "added latency per task, 5 qubits",
            f"median {narrow['added_ms']:.2f} ms",
            "under 2 ms",
            narrow["added_ms"] < 2,
        ),
    ]


def table(found: Sequence[Row]) -> str:
    """Return the rows as a Markdown table with columns of even width."""
    words = {None: "", True: "yes", False: "NO"}
    cells = [("measure", "figure", "bar", "holds?"), *((r.measure, r.figure, r.bar, words[r.holds]) for r in found)]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write(path: Path, rows: Sequence[Row], figures: Any) -> None:
    """Write what was measured as JSON: ``machine``, ``rows`` with their bars, and all ``figures`` behind them."""
    written = {"machine": machine(), "rows": [row.to_dict() for row in rows], "figures": figures}
    path.write_text(json.dumps(written, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """Return what the figures depend on: the hardware, the versions, the commit."""
    return {
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 1024**3, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "kubernetes": GROUPS["kubernetes"].version,
        **{name: version(name) for name in _PACKAGES},
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _git(*arguments: str) -> str | None:
    """Return what git says, or None where this is no checkout."""
    try:
        done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
