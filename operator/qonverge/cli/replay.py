"""``qonverge replay``: the scheduler over recorded rounds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TextIO

import click

from qonverge.cli.render import comparison_tables, console_of
from qonverge.scheduling import Policy
from qonverge.scheduling.comparison import compare
from qonverge.scheduling.policies import read_policy
from qonverge.scheduling.trace import TraceError, read_all, replay


def replay_file(path: Path | None, *, aging: float | None) -> bool:
    """Print where the scheduler decides otherwise now, and return whether it does nowhere.

    Raises:
        TraceError: the file holds no trace.
        OSError: it cannot be read.
    """
    policy = None if aging is None else replace(Policy(), aging_seconds=aging)
    rounds = decisions = changed = 0
    with _opened(path) as lines:
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


def compare_file(path: Path | None, *, policy: Path | None, aging: float | None, output: str | None) -> None:
    """Print what another policy would have changed.

    Raises:
        TraceError: the file holds no trace.
        PolicyError: the policy can't be used.
        SchedulerError: its scheduler failed.
        OSError: a file cannot be read.
    """
    with _opened(path) as lines:
        recorded = list(read_all(lines))
    if not recorded:
        raise TraceError("there is no recorded round in it")
    in_force = recorded[-1].policy
    second = in_force if policy is None else read_policy(policy.read_bytes(), in_force)
    found = compare(recorded, second if aging is None else replace(second, aging_seconds=aging))
    if output is not None:
        click.echo(json.dumps(asdict(found), indent=2))
        return
    console = console_of(sys.stdout)
    for part in comparison_tables(found):
        console.print(part)


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdin
        return
    with path.open(encoding="utf-8") as file:
        yield file
