"""``qonverge run``."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from qonverge.api import HybridJob
from qonverge.cli.plot import check_path, write
from qonverge.cli.screen import Screen
from qonverge.cli.table import NoTable, check_table_path, columns_of, write_table
from qonverge.local.dependencies import ordered
from qonverge.local.manifests import ManifestError, Manifests, read, refuse_quotas
from qonverge.local.outputs import LocalOutputs, state_folder
from qonverge.local.run import Observer
from qonverge.local.runner import LocalRunner


def run_files(
    files: Sequence[str],
    *,
    output: str | None,
    plot: Path | None,
    kept: Path | None,
    table: Path | None,
    fresh: bool,
    quiet: bool,
    verbose: bool,
) -> bool:
    """Run every job and return whether all completed.

    Args:
        files: with the manifests.
        output: "json" or "yaml" to print the jobs; None for results.
        plot: file for a picture.
        kept: folder for the files that programs leave; of several jobs each has a folder in it.
        table: file for the table of a sweep, in the format that its ending names.
        fresh: whether programs begin anew, whatever checkpoints there are.
        quiet: whether only results are printed.
        verbose: whether engines print.

    Raises:
        ManifestError: when the files cannot be used.
    """
    manifests = read(files)
    refuse_quotas(manifests)
    if not manifests.jobs:
        raise ManifestError([f"{', '.join(files)}: there is no HybridJob to run"])
    if plot is not None:
        check_path(plot, "--plot")
    if table is not None:
        check_table_path(table)
        if len(manifests.jobs) > 1:
            raise ManifestError([f"--table {table}: one job makes one table, and there are {len(manifests.jobs)}"])
    # With -o the standard output belongs to the manifest.
    stream = sys.stdout if output is None and str(table) != "-" else sys.stderr
    # A terminal without the block characters of the histogram shows other ones, rather than an error.
    stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a text stream, unless a caller replaced it
    in_order = ordered(manifests)
    named = len(manifests.jobs) > 1
    with Screen(stream, quiet=quiet, results=output is None, named=named) as screen:
        try:
            outputs = LocalOutputs(state_folder(), fresh=fresh)
            jobs = asyncio.run(_run(manifests, in_order, screen, outputs, verbose=verbose))
        except asyncio.CancelledError:
            # SIGTERM or SIGHUP: the same as Ctrl-C.
            raise KeyboardInterrupt from None
    if kept is not None:
        _copy_files(jobs, kept)
    if output is not None:
        _print(jobs, output)
    found = jobs[0].status.result
    # A sweep that failed at some points has what was found at the others.
    if table is not None and (jobs[0].status.state == "Complete" or (found is not None and found.points)):
        try:
            write_table(columns_of(jobs[0], found), table)
        except NoTable as error:
            print(f"error: --table {table}: {error}", file=sys.stderr)
            return False
    if plot is not None and not write(jobs, plot, (), "--plot"):
        print(f"warning: --plot {plot}: no job has counts, values or metrics to draw", file=sys.stderr)
        return False
    return all(job.status.state == "Complete" for job in jobs)


async def _run(
    manifests: Manifests, in_order: list[HybridJob], screen: Screen, outputs: LocalOutputs, *, verbose: bool
) -> list[HybridJob]:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    done = []
    observer = Observer(screen.on_status, screen.on_line, screen.on_warning)
    runner = LocalRunner(manifests, observer, verbose=verbose, outputs=outputs)
    async with runner.started():
        for job in in_order:
            start = time.monotonic()
            with screen.job(job):
                ended = await runner.run(job)
            screen.ended(ended, time.monotonic() - start)
            done.append(ended)
    return done


def _copy_files(jobs: list[HybridJob], folder: Path) -> None:
    """Copy the files that programs left to where a person wants them."""
    for job in jobs:
        if (files := job.status.files) is not None:
            target = folder if len(jobs) == 1 else folder / job.metadata.name
            shutil.copytree(files.path, target, dirs_exist_ok=True)


def _print(jobs: list[HybridJob], output: str) -> None:
    objects = [job.to_dict() for job in jobs]
    value = objects[0] if len(objects) == 1 else {"apiVersion": "v1", "kind": "List", "items": objects}
    if output == "json":
        json.dump(value, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        yaml.dump(value, sys.stdout, Dumper=_Literal, sort_keys=False, allow_unicode=True, width=120)


class _Literal(yaml.SafeDumper):
    """Keeps programs readable: texts of several lines stay as they are."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Literal.add_representer(str, _Literal.represent_str)
