"""The figures beside their bars and beside what others published, as tables and as a plot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from bench.placement.compare import Result
from bench.placement.front import Point, completion_at
from bench.placement.metrics import Figures
from bench.placement.policies import FCFS, STATIC
from qonverge.scheduling import Policy


@dataclass(frozen=True, slots=True)
class Row:
    """A figure and its bar."""

    measure: str
    figure: str
    bar: str
    holds: bool


def of(result: Result, policy: str) -> Figures:
    """Return a policy's figures."""
    return next(figures for figures in result.figures if figures.policy == policy)


def lower(ours: float, theirs: float) -> float:
    """Return by which part ours is lower; negative where it is higher."""
    return 1 - ours / theirs


def judge(results: Sequence[Result]) -> list[Row]:
    """Return the bars of one fleet, each with the worst figure of its traces and seeds, and the median."""
    traces = [result for result in results if result.kind == "trace"]
    rows = [
        _row("completion time below FCFS by fidelity", _sooner(traces), 0.55, percent=True),
        _row("mean fidelity below FCFS by fidelity", _lost(traces, FCFS), 0.02, percent=True, most=True),
        _row("waiting of static-best, in ours", _waits(traces), 5.0),
        _row("mean fidelity below static-best", _lost(traces, STATIC), 0.01, percent=True, most=True),
        _row("completion time below greedy's at equal fidelity", _below_greedy(traces), 0.25, percent=True),
        _row("the same, all traces together", [below_greedy_together(traces)], 0.25, percent=True),
        _above_bound(traces),
        _row("feasible deadlines met", [result.figures[0].deadlines_met for result in traces], 0.99, percent=True),
    ]
    jain = [result.more["jain"] for result in results if result.kind == "saturated"]
    rows.append(_row("Jain's index, four namespaces of weights 1, 1, 2, 4", jain, 0.98))
    bound = Policy().aging_seconds
    longest = [result.figures[0].wait_longest for result in traces]
    figure = f"{max(longest):.0f} s ({median(longest):.0f} s)"
    rows.append(Row("longest wait", figure, f"at most {bound:.0f} s", max(longest) <= bound))
    rows += _flooded([result for result in results if result.kind == "flooded"])
    drifts = [result.figures for result in results if result.kind == "drift"]
    for when, worlds in zip(("", ", after a shift"), zip(*drifts, strict=True), strict=False):
        shares = {
            "run time": [figures.covered_run for figures in worlds],
            "fidelity": [figures.covered_fidelity for figures in worlds],
            "wait": [figures.covered_wait for figures in worlds],
        }
        rows += [_coverage(f"80 % intervals of {name}{when}", each) for name, each in shares.items()]
    return rows


def _sooner(traces: Iterable[Result]) -> list[float]:
    return [lower(r.figures[0].completion_mean, of(r, FCFS).completion_mean) for r in traces]


def _lost(traces: Iterable[Result], policy: str) -> list[float]:
    return [lower(r.figures[0].fidelity_mean, of(r, policy).fidelity_mean) for r in traces]


def _below_greedy(traces: Iterable[Result]) -> list[float]:
    return [lower(r.figures[0].completion_mean, r.more["greedy_at_equal_fidelity"]) for r in traces]


def below_greedy_together(traces: Sequence[Result]) -> float:
    """Return by which part the mean over traces is below greedy's, with one patience for all of them.

    In one trace a mean fidelity is off by about 0.001 by chance, which is some seconds on greedy's front; and greedy
    has the best of its settings there.
    """
    ours = [Point.of(result.figures[0]) for result in traces]
    greedy = [_mean(points) for points in zip(*(result.front for result in traces), strict=True)]
    together = _mean(ours)
    return lower(together.completion, completion_at(together.fidelity, greedy))


def _mean(points: Sequence[Point]) -> Point:
    return Point(fmean(point.completion for point in points), fmean(point.fidelity for point in points))


def _above_bound(traces: Iterable[Result]) -> Row:
    """Return by which part completion is above that of who knows all beforehand; its median counts."""
    above = [-lower(r.figures[0].completion_mean, r.more["bound_at_equal_fidelity"]) for r in traces]
    middle = median(above)
    figure = f"{max(above):.0%} ({middle:.0%})"
    return Row("completion time above the bound at equal fidelity", figure, "median at most 15%", middle <= 0.15)


def _waits(traces: Iterable[Result]) -> list[float]:
    return [of(r, STATIC).wait_mean / max(r.figures[0].wait_mean, 1e-9) for r in traces]


def _row(measure: str, values: Sequence[float], bar: float, *, percent: bool = False, most: bool = False) -> Row:
    worst = max(values) if most else min(values)
    text = "{:.1%}" if percent else "{:.3g}"
    edge = f"{bar:.0%}" if percent else f"{bar:g}"
    holds = worst <= bar if most else worst >= bar
    figure = f"{text.format(worst)} ({text.format(median(values))})"
    return Row(measure, figure, f"at {'most' if most else 'least'} {edge}", holds)


def _flooded(floods: Sequence[Result]) -> list[Row]:
    """Return the longest waits, of all jobs and of low priority, that were longest beside their bound."""
    rows = []
    for whose, name in (("any job", "longest"), ("low priority", "low_longest")):
        over = [(result.more[name] - _edge(result), result) for result in floods]
        worst = max(over, key=lambda each: each[0])[1]
        measure = f"longest wait of {whose} in a flood, aging after {worst.more['aging_seconds']:.0f} s"
        edge, got = _edge(worst), worst.more[name]
        rows.append(Row(measure, f"{got:.0f} s", f"at most {edge:.0f} s", got <= edge))
    return rows


def _edge(flood: Result) -> float:
    """Return the bound, and the longest run: a job that passes the bound waits for a device to end what it runs."""
    return flood.more["aging_seconds"] + flood.more["longest_run"]


def floods_table(results: Iterable[Result]) -> str:
    """Return the floods beside what they would be otherwise, as a Markdown table; seconds."""
    names = ("aging_seconds", "longest", "low_longest", "low_longest_without", "low_longest_short")
    head = ("bound: longest in order of arrival", "any job", "low priority", "without aging", "aging after 60 s")
    return _table(head, [[f"{r.more[name]:.0f} s" for name in names] for r in results if r.kind == "flooded"])


def _coverage(measure: str, shares: Sequence[float]) -> Row:
    """Return the mean over worlds, beside that of each."""
    mean = sum(shares) / len(shares)
    figure = f"cover {mean:.1%} ({', '.join(f'{share:.0%}' for share in sorted(shares))})"
    return Row(measure, figure, "75 to 85 %", 0.75 <= mean <= 0.85)


def bars(rows: Sequence[Row]) -> str:
    """Return the judged rows as a Markdown table."""
    cells = [(row.measure, row.figure, row.bar, "yes" if row.holds else "NO") for row in rows]
    return _table(("measure", "worst (median)", "bar", "holds?"), cells)


def policies_table(result: Result) -> str:
    """Return all policies on a trace as a Markdown table."""
    head = (
        *("policy", "completion: mean, median, p95", "wait: mean, p95", "fidelity", "busy", "deadlines met"),
        "not served",
    )
    cells = [
        (
            f.policy,
            f"{f.completion_mean:.1f}, {f.completion_median:.1f}, {f.completion_p95:.1f} s",
            f"{f.wait_mean:.1f}, {f.wait_p95:.1f} s",
            f"{f.fidelity_mean:.4f}",
            f"{f.utilisation:.2f}",
            f"{f.deadlines_met:.1%} of {f.deadlines_feasible}",
            str(f.unserved),
        )
        for f in result.figures
    ]
    return _table(head, cells)


def equals_table(results: Iterable[Result]) -> str:
    """Return ours beside greedy and the bound at the fidelity of ours, a trace a line, as a Markdown table."""
    head = ("trace, seed", "fidelity", "ours", "greedy", "bound")
    names = ("greedy_at_equal_fidelity", "bound_at_equal_fidelity")
    return _table(head, [_at_equal_fidelity(r, names) for r in results if r.kind == "trace"])


def limits_table(results: Iterable[Result]) -> str:
    """Return what ours would take if it knew more, at the fidelity of ours, a trace a line, as a Markdown table."""
    told = {
        "told_fidelities": "told fidelities",
        "told_runs": "told run times",
        "told_both": "told both",
        "schedule": "and arrivals: found",
        "bound": "bound",
    }
    cells = [_at_equal_fidelity(r, tuple(told)) for r in results if r.kind == "profile"]
    return _table(("trace, seed", "fidelity", "ours", *told.values()), cells)


def _at_equal_fidelity(result: Result, names: Sequence[str]) -> list[str]:
    ours = result.figures[0]
    times = (ours.completion_mean, *(result.more[name] for name in names))
    return [f"{result.trace}, {result.seed}", f"{ours.fidelity_mean:.4f}", *map(_seconds, times)]


def _seconds(time: float) -> str:
    return "" if math.isnan(time) else "out of reach" if math.isinf(time) else f"{time:.1f} s"


def loads_table(results: Iterable[Result]) -> str:
    """Return how it goes with the load, as a Markdown table."""
    head = ("load", "busy", "completion below FCFS", "waiting of static-best, in ours", "fidelity below both")
    cells = [
        (
            f"{r.load:g}",
            f"{r.figures[0].utilisation:.2f}",
            f"{_sooner([r])[0]:.0%}",
            f"{_waits([r])[0]:.1f}",
            f"{_lost([r], FCFS)[0]:.2%}, {_lost([r], STATIC)[0]:.2%}",
        )
        for r in sorted(_first_seed(results), key=lambda r: r.load or 0)
        if r.trace == "poisson" and r.kind in ("trace", "load")
    ]
    return _table(head, cells)


def _first_seed(results: Iterable[Result]) -> list[Result]:
    those = list(results)
    return [result for result in those if result.seed == min(r.seed for r in those)]


def published(results: Iterable[Result]) -> str:
    """Return ours beside what others published of their own traces, in the same form, as a Markdown table."""
    traces = [result for result in results if result.kind == "trace"]

    def between(values: Sequence[float], text: str) -> str:
        ends = [text.format(value) for value in (min(values), max(values))]
        return ends[0] if ends[0] == ends[1] else " to ".join(ends)

    ours = [r.figures[0] for r in traces]
    busier = [f.utilisation / of(r, FCFS).utilisation - 1 for f, r in zip(ours, traces, strict=True)]
    above = {name: [-x for x in _lost(traces, name)] for name in (STATIC, "round-robin")}
    cells = [
        ("completion below FCFS", "Qonductor 48 %", between(_sooner(traces), "{:.0%}")),
        ("fidelity below FCFS", "Qonductor about 3 %", between(_lost(traces, FCFS), "{:.1%}")),
        ("utilisation above FCFS", "Qonductor 66 %", between(busier, "{:.0%}")),
        ("waiting below", "QOS up to 5x", between(_waits(traces), "{:.1f}x") + " (static-best)"),
        ("fidelity above static-best", "another bench 17 %", between(above[STATIC], "{:.1%}")),
        ("fidelity above round-robin", "another bench 12 %", between(above["round-robin"], "{:.1%}")),
        ("deadlines met", "another bench 97 %", between([f.deadlines_met for f in ours], "{:.1%}")),
    ]
    return _table(("measure", "published, on their traces", "ours, from trace to trace"), cells)


def _table(head: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in (head, *cells)) for column in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in (head, *cells)]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def text(results: Sequence[Result]) -> str:
    """Return everything as Markdown, a section for each fleet."""
    parts = []
    for half, generation in dict.fromkeys((result.half, result.generation) for result in results):
        own = [result for result in results if (result.half, result.generation) == (half, generation)]
        parts.append(f"### {half} half, {generation} generation" if half else "### given")
        if any(result.kind != "trace" for result in own):
            parts += [bars(judge(own)), floods_table(own), loads_table(own), published(own)]
        if any(result.kind == "trace" for result in own):
            parts.append(f"Mean completion time at equal fidelity:\n\n{equals_table(own)}")
        if any(result.kind == "profile" for result in own):
            parts.append(f"The same with more knowledge:\n\n{limits_table(own)}")
        parts += [f"{r.trace}:\n\n{policies_table(r)}" for r in _first_seed(own) if r.kind == "trace"]
    return "\n\n".join(parts) + "\n"


def plot(results: Sequence[Result], path: Path) -> None:
    """Draw mean fidelity over mean completion time of every policy, a panel for each fleet."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    fleets = list(dict.fromkeys((result.half, result.generation) for result in results))
    with mpl.rc_context():
        mpl.rcParams["svg.hashsalt"], mpl.rcParams["svg.fonttype"], mpl.rcParams["font.size"] = "placement", "none", 8
        rows = math.ceil(len(fleets) / 2)
        figure, axes = pyplot.subplots(rows, min(2, len(fleets)), figsize=(8, 2.8 * rows), squeeze=False)
        for (half, generation), axis in zip(fleets, axes.flat, strict=False):
            traces = [r for r in results if (r.half, r.generation, r.kind) == (half, generation, "trace")]
            for number, policy in enumerate(f.policy for f in traces[0].figures):
                those = [of(r, policy) for r in traces]
                x, y = [f.completion_mean for f in those], [f.fidelity_mean for f in those]
                axis.scatter(x, y, label=policy, marker="*" if number == 0 else "o", s=60 if number == 0 else 18)
            axis.set(xscale="log", xlabel="mean completion time, s", ylabel="mean fidelity")
            axis.set_title(f"{half} half, {generation} generation" if half else "given")
        axes.flat[0].legend()
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)
