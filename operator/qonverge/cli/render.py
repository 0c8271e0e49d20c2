"""What a job looks like in a terminal. Pure: a job in, rich renderables out."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from qonverge.amounts import format_bytes
from qonverge.api import HybridJob
from qonverge.api.job_status import Result
from qonverge.api.placement import Candidate, ForecastInterval
from qonverge.scheduling import comparison
from qonverge.scheduling.comparison import Change, Comparison
from qonverge.scheduling.texts import duration, joules

BAR_WIDTH = 40
# Narrower, a table of forecasts would lose its words.
_LEAST_WIDTH = 100
_MOST_BARS = 16
_MOST_COLUMNS = 10
# With the bar and the numbers it fits the least width.
_LABEL_WIDTH = 36
_LABEL_ENDS = 16
_CELL_WIDTH = 24
_NOTHING = ForecastInterval(low=0, mid=0, high=0)
_WORTH_SAYING = 32 * 1024**2


def console_of(stream: TextIO) -> Console:
    """Return what prints tables on a stream; lines for a file or another program are not broken."""
    console = Console(file=stream, highlight=False, soft_wrap=not stream.isatty())
    console.width = max(console.width, _LEAST_WIDTH)
    return console


def histogram(counts: Mapping[str, int]) -> RenderableType:
    """Return a bar for each outcome, in the outcomes' order; of very many, the most frequent."""
    total = sum(counts.values())
    shown = dict(sorted(counts.items(), key=lambda item: -item[1])[:_MOST_BARS])
    table = Table.grid(padding=(0, 1))
    # A terminal that is too narrow gets a label on several lines: cut, two of them might look alike.
    table.add_column(justify="right", overflow="fold")
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    highest = max(counts.values())
    labels = _shortened(sorted(shown))
    for outcome, label in labels.items():
        count = counts[outcome]
        bar = Text("█" * max(1, round(BAR_WIDTH * count / highest)), style="cyan")
        table.add_row(Text(label, style="bold"), bar, str(count), f"{count / total:.1%}")
    if len(shown) < len(counts):
        table.add_row("", Text(f"and {_counted(len(counts) - len(shown), 'outcome')} more", style="dim"), "", "")
    if any(outcome != label for outcome, label in labels.items()):
        table.add_row("", Text("-o json prints outcomes whole", style="dim"), "", "")
    return table


def _shortened(outcomes: Sequence[str]) -> dict[str, str]:
    """Return a label for each outcome: of long ones both ends, and the places in which two would look alike without."""
    length = len(outcomes[0])
    if length <= _LABEL_WIDTH:
        return {outcome: outcome for outcome in outcomes}
    kept = {*range(_LABEL_ENDS), *range(length - _LABEL_ENDS, length)}
    while True:
        seen: dict[str, str] = {}
        for outcome in outcomes:
            alike = seen.setdefault(_label(outcome, kept), outcome)
            if alike != outcome:
                kept.add(next(place for place in range(length) if alike[place] != outcome[place]))
                break
        else:
            return {outcome: label for label, outcome in seen.items()}


def _label(outcome: str, kept: Collection[int]) -> str:
    """Return the outcome with ``…`` for each run of places that are not kept."""
    label = ""
    for place, digit in enumerate(outcome):
        if place in kept:
            label += digit
        elif not label.endswith("…"):
            label += "…"
    return label


def expectations(job: HybridJob) -> RenderableType:
    """Return a row for each observable: value and standard error."""
    # What kinds of program bring with them is slow to load, and most commands show no values.
    from qonverge.programs.kinds import kind_of

    result = job.status.result
    assert result is not None
    table = Table.grid(padding=(0, 2))
    observables = kind_of(job).observables(job)
    rows = zip(observables, result.expectation_values or [], result.standard_errors or [], strict=True)
    for observable, value, error in rows:
        table.add_row(
            Text(f"<{observable_name(observable)}>", style="bold"),
            f"{value:+.6f}",
            f"± {error:.6f}" if result.shots else "exact",
        )
    return table


def observable_name(observable: str | Mapping[str, float]) -> str:
    """Return an observable in a few characters, such as ``ZZ`` or ``0.5 XX +0.5 YY``."""
    if isinstance(observable, str):
        return observable
    return " ".join(f"{weight:+g} {label}" for label, weight in observable.items()).removeprefix("+")


def result(job: HybridJob) -> list[RenderableType]:
    """Return what to print of a job's result."""
    found = job.status.result
    if found is None:
        return []
    if found.points is not None:
        return [sweep_table(job, found)]
    if found.counts:
        return [histogram(found.counts)]
    if found.expectation_values is not None:
        return [expectations(job)]
    return [] if found.value is None else [Text("result  ", style="bold") + Text(json.dumps(found.value))]


def sweep_table(job: HybridJob, found: Result) -> RenderableType:
    """Return a row for each point of a sweep; of very many, the first, and of very many columns too."""
    from qonverge.cli.table import NoTable, columns_of

    try:
        columns = columns_of(job, found)
    except NoTable as error:
        return Text(str(error))
    shown = list(columns)[:_MOST_COLUMNS]
    table = Table.grid(padding=(0, 2))
    for _ in shown:
        table.add_column(justify="right", no_wrap=True)
    table.add_row(*(Text(name, style="bold") for name in shown))
    rows = list(zip(*(columns[name] for name in shown), strict=True))
    for row in rows[:_MOST_BARS]:
        table.add_row(*map(_cell, row))
    left, wide = len(rows) - _MOST_BARS, len(columns) - len(shown)
    more = [_counted(left, "point")] * (left > 0) + [_counted(wide, "column")] * (wide > 0)
    if not more:
        return table
    return Group(table, Text(f"and {' and '.join(more)} more: --table FILE writes all", style="dim"))


def _cell(value: Any) -> str:
    """Return a value of a table; of a long text its beginning."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = str(value)
        return text if len(text) <= _CELL_WIDTH else text[: _CELL_WIDTH - 1] + "…"
    return f"{value:.6g}"


def ending(job: HybridJob, elapsed: float) -> RenderableType:
    """Return the line that says how a job ended."""
    status = job.status
    if status.state == "Complete":
        return Text(f"✓ {job.metadata.name} completed in {elapsed:.2f} s", style="green")
    failed = status.state == "Failed"
    line = f"{'✗' if failed else '-'} {job.metadata.name} {status.state}: {status.reason}: {status.message}"
    return Text(line, style="red" if failed else "yellow")


def forecast_table(
    title: str | None, reason: str, forecast: Sequence[Candidate], *, chosen: str | None = None
) -> list[RenderableType]:
    """Return what is forecast of a job on each backend.

    Args:
        title: the job's name, or None where it stands above already.
        reason: why this backend, or why none.
        forecast: of each backend, the best first.
        chosen: the backend; the first that may run the job where it is not said.
    """
    parts: list[RenderableType] = []
    if title is not None:
        parts.append(Text(f"{title}  ", style="bold") + Text(reason))
    elif reason:
        parts.append(Text(f"placement: {reason}"))
    table = Table.grid(padding=(0, 2))
    # Of small circuits it is the same few MiB everywhere.
    large = any((candidate.memory_bytes or _NOTHING).mid >= _WORTH_SAYING for candidate in forecast)
    loops = any(candidate.network_seconds is not None for candidate in forecast)
    measured = any(candidate.energy_joules is not None for candidate in forecast)
    columns = (
        *("BACKEND", "FIDELITY", "WAIT", "RUN"),
        *(("NETWORK",) if loops else ()),
        *(("MEMORY",) if large else ()),
        "COST",
        *(("ENERGY",) if measured else ()),
    )
    table.add_row("", *(Text(name, style="dim") for name in columns))
    fitting = [candidate for candidate in forecast if candidate.rejected is None]
    best = chosen or (fitting[0].backend if fitting else None)
    for candidate in fitting:
        marked = candidate.backend == best
        table.add_row(
            Text("→" if marked else " ", style="green"),
            Text(candidate.backend, style="bold" if marked else ""),
            _fidelity(candidate.fidelity),
            _seconds(candidate.wait_seconds),
            _seconds(candidate.run_seconds),
            *((_network(candidate.network_seconds),) if loops else ()),
            *((_memory(candidate.memory_bytes),) if large else ()),
            _cost(candidate),
            *((_energy(candidate.energy_joules),) if measured else ()),
        )
    if fitting:
        parts.append(table)
    parts += [
        Text("  ✗ ", style="red") + Text(f"{candidate.backend}: {candidate.rejected}")
        for candidate in forecast
        if candidate.rejected is not None
    ]
    return parts


def _network(seconds: float | None) -> str:
    return "unknown" if seconds is None else duration(float(f"{seconds:.2g}"))


def _memory(interval: ForecastInterval | None) -> str:
    return "unknown" if interval is None else format_bytes(round(interval.mid))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _fidelity(interval: ForecastInterval | None) -> str:
    if interval is None:
        return "unknown"
    return "exact" if interval.low == 1 else f"{interval.mid:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _seconds(interval: ForecastInterval | None) -> str:
    if interval is None:
        return "unknown"
    low, mid, high = (duration(float(f"{value:.2g}")) for value in (interval.low, interval.mid, interval.high))
    if interval.high == 0:
        return "none"
    return mid if low == high else f"{mid} ({low} to {high})"


def _cost(candidate: Candidate) -> str:
    cost = candidate.cost
    if cost is None:
        return "unknown"
    if cost.high == 0:
        return "free"
    spread = "" if cost.low == cost.high else f" ({cost.low:.4g} to {cost.high:.4g})"
    return f"{cost.mid:.4g}{spread} {candidate.currency}"


def _energy(interval: ForecastInterval | None) -> str:
    if interval is None:
        return "unknown"
    low, mid, high = (joules(float(f"{value:.2g}")) for value in (interval.low, interval.mid, interval.high))
    return mid if low == high else f"{mid} ({low} to {high})"


def comparison_tables(found: Comparison) -> list[RenderableType]:
    """Return what a second policy changes, as tables: round by round, and with what follows from its decisions."""
    counted = f"{_counted(found.rounds, 'round')}, {_counted(found.decisions, 'decision')}, {found.differing} differ"
    return [
        Text(counted),
        Text("each round by itself", style="bold"),
        _comparison(found.by_round),
        Text("simulated, with what follows from each decision", style="bold"),
        _comparison(found.simulated),
    ]


def _comparison(groups: Sequence[comparison.Group]) -> Table:
    table = Table.grid(padding=(0, 2))
    measured = any(group.energy is not None for group in groups)
    energy = ("ENERGY",) if measured else ()
    columns = ("JOBS", "COUNT", "ELSEWHERE", "ONLY BEFORE/AFTER", "WAIT", "FIDELITY", "COST", *energy)
    table.add_row(*(Text(name, style="dim") for name in columns))
    for group in groups:
        costs = "\n".join(f"{_changed(change, '.4g')} {currency}" for currency, change in group.costs.items())
        table.add_row(
            group.name,
            str(group.jobs),
            str(group.elsewhere),
            f"{group.only_before}/{group.only_after}",
            "" if group.wait is None else _changed(group.wait, ".3g") + " s",
            "" if group.fidelity is None else _changed(group.fidelity, ".4g"),
            costs,
            *(("" if group.energy is None else _changed(group.energy, ".3g") + " J",) if measured else ()),
        )
    return table


def _changed(change: Change, form: str) -> str:
    """Return both means, and the interval of their difference."""
    told = f"{change.before:{form}} -> {change.after:{form}}"
    if change.low is None or change.high is None:
        return told
    return f"{told} ({change.low:+.2g} to {change.high:+.2g})"
