"""``qonverge replay``: the scheduler over recorded rounds."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from qonverge.scheduling import Policy
from qonverge.scheduling.trace import TraceError, replay


def replay_file(path: Path | None, *, aging: float | None) -> bool:
    """Print where the scheduler decides otherwise now, and return whether it does nowhere.

    Raises:
        TraceError: the file holds no trace.
        OSError: it cannot be read.
    """
    lines = sys.stdin if path is None else path.open(encoding="utf-8")
    policy = None if aging is None else replace(Policy(), aging_seconds=aging)
    rounds = decisions = changed = 0
    with lines:
        for round_ in replay(lines, policy):
            rounds += 1
            decisions += len(round_.recorded.outcomes)
            for difference in round_.differences:
                changed += 1
                click.echo(f"round {rounds}: {difference}")
    if not rounds:
        raise TraceError("there is no recorded round in it")
    counted = {"round": rounds, "decision": decisions, "difference": changed}
    click.echo(", ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in counted.items()))
    return not changed
