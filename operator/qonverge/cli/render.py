"""What a job looks like in a terminal. Pure: a job in, rich renderables out."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from qonverge.api import HybridJob

BAR_WIDTH = 40
_MOST_BARS = 16


def histogram(counts: Mapping[str, int]) -> RenderableType:
    """Return a bar for each outcome, in the outcomes' order; of very many, the most frequent."""
    total = sum(counts.values())
    shown = dict(sorted(counts.items(), key=lambda item: -item[1])[:_MOST_BARS])
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    highest = max(counts.values())
    for outcome in sorted(shown):
        count = counts[outcome]
        bar = Text("█" * max(1, round(BAR_WIDTH * count / highest)), style="cyan")
        table.add_row(Text(outcome, style="bold"), bar, str(count), f"{count / total:.1%}")
    if len(shown) < len(counts):
        table.add_row("", Text(f"and {len(counts) - len(shown)} outcomes more", style="dim"), "", "")
    return table


def expectations(job: HybridJob) -> RenderableType:
    """Return a row for each observable: value and standard error."""
    result, circuit = job.status.result, job.spec.program.circuit
    assert result is not None
    assert circuit is not None
    table = Table.grid(padding=(0, 2))
    rows = zip(circuit.observables, result.expectation_values or [], result.standard_errors or [], strict=True)
    for observable, value, error in rows:
        name = observable if isinstance(observable, str) else _sum(observable)
        table.add_row(Text(f"<{name}>", style="bold"), f"{value:+.6f}", f"± {error:.6f}" if result.shots else "exact")
    return table


def _sum(terms: Mapping[str, float]) -> str:
    return " ".join(f"{weight:+g} {label}" for label, weight in terms.items()).removeprefix("+")


def outcome(job: HybridJob, elapsed: float) -> list[RenderableType]:
    """Return everything to print when a job has ended."""
    status = job.status
    parts: list[RenderableType] = []
    result = status.result
    if result is not None and result.counts:
        parts.append(histogram(result.counts))
    elif result is not None and result.expectation_values is not None:
        parts.append(expectations(job))
    elif result is not None and result.value is not None:
        parts.append(Text("result  ", style="bold") + Text(json.dumps(result.value)))
    if status.state == "Complete":
        parts.append(Text(f"✓ {job.metadata.name} completed in {elapsed:.2f} s", style="green"))
    else:
        color = "red" if status.state == "Failed" else "yellow"
        sign = "✗" if status.state == "Failed" else "-"
        parts.append(Text(f"{sign} {job.metadata.name} {status.state}: {status.reason}: {status.message}", style=color))
    return parts
