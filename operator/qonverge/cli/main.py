"""The command line: parsing and exit codes. Each command imports what it needs when it runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Literal

import click

from qonverge import __version__
from qonverge.cli import extensions
from qonverge.cli.exits import COMPLETED, FAILED, INTERRUPTED, USAGE, refuse, silence_libraries
from qonverge.cli.job_commands import JOB_COMMANDS


class _Group(click.Group):
    """No traceback reaches a person: what was not foreseen is said in a sentence, with where to report it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *extensions.names()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or extensions.find(cmd_name)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("interrupted: what ran was cancelled", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            ctx.exit(FAILED)
        except ModuleNotFoundError as error:
            click.echo(f'error: {error.name} is not installed: pip install "qonverge[local]"', err=True)
            ctx.exit(USAGE)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"error: {where}{error.strerror or error}", err=True)
            ctx.exit(FAILED)
        except Exception as error:
            click.echo(f"error: {type(error).__name__}: {error} (unforeseen: please report it)", err=True)
            ctx.exit(FAILED)


_table = click.option(
    "--table",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Write a sweep as a table; the ending says the format: .csv, .json or .parquet. - prints CSV.",
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Run hybrid quantum-classical jobs: here on a laptop, and in Kubernetes from the same manifests."""


@cli.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="Print the jobs with their status.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw counts, values and metrics into a picture."
)
@click.option(
    "--files",
    "kept",
    type=click.Path(file_okay=False, path_type=Path),
    help="Copy the files that programs leave in $QONVERGE_OUTPUT into this folder.",
)
@_table
@click.option("--fresh", is_flag=True, help="Begin anew, also where an interrupted run left checkpoints.")
@click.option("-q", "--quiet", is_flag=True, help="Print the results only.")
@click.option("-v", "--verbose", is_flag=True, help="Print what engines and libraries say, on standard error.")
def run(
    files: tuple[str, ...],
    output: str | None,
    plot: Path | None,
    kept: Path | None,
    table: Path | None,
    fresh: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Run every HybridJob of the manifests without a cluster; FILE is - for standard input.

    Exit status: 0 when every job completed, 1 when one did not, 2 when a manifest cannot be used.
    """
    if not verbose:
        silence_libraries()
    from qonverge.cli.run import run_files
    from qonverge.local.manifests import ManifestError

    try:
        completed = run_files(
            files, output=output, plot=plot, kept=kept, table=table, fresh=fresh, quiet=quiet, verbose=verbose
        )
    except ManifestError as error:
        refuse(error.problems)
    sys.exit(COMPLETED if completed else FAILED)


@cli.command()
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option(
    "--against",
    metavar="BACKEND",
    help="Check too what this backend would refuse: a file with its manifest, its name in one of FILE, or its name, or "
    "NAMESPACE/NAME, in the cluster.",
)
@click.option(
    "--credentials",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder with the backend's credentials, a file for each key of its Secret. Default: the environment.",
)
def validate(files: tuple[str, ...], against: str | None, credentials: Path | None) -> None:
    """Check manifests, and the circuits in them, without running anything.

    Exit status: 0, 1 when the backend of --against would refuse something or its device runs nothing, 2 when a manifest
    cannot be used.
    """
    if not files and against is None:
        raise click.UsageError("give a FILE, or --against BACKEND")
    silence_libraries()
    from qonverge.cli.cluster import NoAnswer
    from qonverge.cli.validate import validate_files
    from qonverge.local.manifests import ManifestError

    try:
        report = validate_files(files, against, "" if credentials is None else str(credentials))
    except ManifestError as error:
        refuse(error.problems)
    except NoAnswer as error:
        refuse([str(error)])
    for line in report.lines:
        click.echo(line)
    for problem in report.refusals:
        click.echo(f"error: {problem}", err=True)
    sys.exit(FAILED if report.refusals else COMPLETED)


@cli.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print as JSON.")
def forecast(files: tuple[str, ...], output: str | None) -> None:
    """Tell what to expect of jobs on each backend of the manifests, before anything runs.

    Exit status: 0 when every job has a backend, 1 when one has none, 2 when a manifest cannot be used.
    """
    silence_libraries()
    from qonverge.cli.forecast import forecast_files
    from qonverge.local.manifests import ManifestError

    try:
        possible = forecast_files(files, output=output)
    except ManifestError as error:
        refuse(error.problems)
    sys.exit(COMPLETED if possible else FAILED)


@cli.command()
@click.argument("job")
@click.option("-n", "--namespace", help="Namespace of the job. Default: that of the current context.")
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print as JSON.")
def why(job: str, namespace: str | None, output: str | None) -> None:
    """Tell why a job of the cluster waits, or went where it went, with the numbers."""
    silence_libraries()
    from qonverge.cli.cluster import NoAnswer
    from qonverge.cli.why import explain

    try:
        explain(job, namespace, output=output)
    except NoAnswer as error:
        refuse([str(error)])


@cli.command()
@click.argument("job")
@click.option("-n", "--namespace", help="Namespace of the job. Default: that of the current context.")
@click.option("--url", help="The operator's URL, where the API server cannot reach it.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it to this file, whole or not at all.",
)
@click.option(
    "--files",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the files that the job's program left in $QONVERGE_OUTPUT into this folder, in place of the result.",
)
@_table
def result(
    job: str, namespace: str | None, url: str | None, output: Path | None, files: Path | None, table: Path | None
) -> None:
    """Print the result of a job of the cluster as JSON, also one that its status has no room for.

    Exit status: 0, 1 when the job has no result, or has it no more, 2 when no cluster answers or it has no such job.
    """
    silence_libraries()
    from qonverge.cli.cluster import NoAnswer
    from qonverge.cli.result import NoResult, print_result, save_files, save_table
    from qonverge.cli.table import NoTable
    from qonverge.local.manifests import ManifestError

    if sum(each is not None for each in (output, files, table)) > 1:
        raise click.UsageError("--output is for the result, --files for files, --table for a table: give one of them")
    try:
        if table is not None:
            save_table(job, namespace, table, url=url)
        elif files is None:
            print_result(job, namespace, url=url, output=output)
        else:
            click.echo(f"{save_files(job, namespace, files, url=url)} files in {files}")
    except NoAnswer as error:
        refuse([str(error)])
    except ManifestError as error:
        refuse(error.problems)
    except (NoResult, NoTable) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(FAILED)


@cli.command()
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option("-n", "--namespace", help="Namespace of the jobs. Default: that of the current context.")
@click.option("-A", "--all-namespaces", is_flag=True, help="The jobs of all namespaces.")
@click.option(
    "--by",
    type=click.Choice(["job", "namespace", "backend", "day", "month"]),
    default="job",
    show_default=True,
    help="What the jobs are grouped by.",
)
@click.option("--since", help="Only jobs that ended since then, or have not: a date, a time, or 12h or 7d ago.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="Print as JSON or YAML.")
def cost(
    files: tuple[str, ...],
    namespace: str | None,
    all_namespaces: bool,
    by: Literal["job", "namespace", "backend", "day", "month"],
    since: str | None,
    output: str | None,
) -> None:
    """Tell what the jobs of the cluster cost, each currency by itself, and what quotas counted.

    FILE is what qonverge run -o, or kubectl get -o, printed of jobs; - is standard input. Exit status: 0, 2 when no
    cluster answers or a FILE or --since cannot be used.
    """
    silence_libraries()
    from datetime import UTC, datetime

    from qonverge.cli.cluster import NoAnswer
    from qonverge.cli.cost import beginning, print_cost
    from qonverge.local.manifests import ManifestError

    try:
        start = None if since is None else beginning(since, datetime.now(UTC))
    except (ValueError, OverflowError):
        refuse([f"--since {since}: give a date such as 2026-01-31, a time such as 2026-01-31T12:00:00Z, or 12h or 7d"])
    try:
        print_cost(files, namespace, all_namespaces=all_namespaces, by=by, since=start, output=output)
    except NoAnswer as error:
        refuse([str(error)])
    except ManifestError as error:
        refuse(error.problems)


@cli.command()
@click.argument("file", metavar="FILE")
@click.option("--aging", type=float, help="Aging bound to decide with, seconds. Default: the recorded one.")
@click.option("--compare", is_flag=True, help="Print what another policy changes in fidelity, wait and cost.")
@click.option(
    *("--policy", "policy"),
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The other policy, YAML or JSON; what it does not name is as recorded.",
)
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print a comparison as JSON.")
def replay(file: str, *, aging: float | None, compare: bool, policy: Path | None, output: str | None) -> None:
    """Run the scheduler over recorded rounds, and tell where it decides otherwise; FILE is - for standard input.

    The operator serves its last rounds at /trace, beside its metrics. Exit status: 0 when nothing differs, 1 when
    something does, 2 when a file cannot be used. With --compare, 0 whatever differs.
    """
    from qonverge.cli.replay import compare_file, replay_file
    from qonverge.scheduling.policies import PolicyError
    from qonverge.scheduling.schedulers import SchedulerError
    from qonverge.scheduling.trace import TraceError

    if not compare and (policy is not None or output is not None):
        refuse([f"{'--policy' if policy is not None else '--output'} goes with --compare"])
    path = None if file == "-" else Path(file)
    try:
        if compare:
            compare_file(path, policy=policy, aging=aging, output=output)
            return
        same = replay_file(path, aging=aging)
    except PolicyError as error:
        refuse([f"{policy}: {error}"])
    except OSError as error:
        refuse([f"{error.filename or file}: {error.strerror or error}"])
    except (TraceError, SchedulerError, UnicodeDecodeError, ValueError) as error:
        refuse([f"{file}: {error}"])
    sys.exit(COMPLETED if same else FAILED)


@cli.group()
def backend() -> None:
    """Backend servers outside Kubernetes."""


@backend.command("serve")
@click.option(
    *("--config", "file"),
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="What to serve, and to whom.",
)
def backend_serve(file: Path) -> None:
    """Serve a backend to operators and programs elsewhere, until it is asked to stop.

    Exit status: 0 when it was stopped, 2 when the file, or what it names, cannot be used.
    """
    from qonverge.backend.standalone.config import ConfigError
    from qonverge.backend.standalone.server import serve_file

    try:
        serve_file(file)
    except ConfigError as error:
        refuse(error.problems)


@cli.command()
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print as JSON.")
def version(output: str | None) -> None:
    """Print the version."""
    click.echo(json.dumps({"version": __version__}) if output else f"qonverge {__version__}")


for _command in JOB_COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Run the command under the name that it was called by."""
    # A stream that the caller closed is none: what would go there goes nowhere.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - for as long as it runs
    called = Path(sys.argv[0]).name
    cli(prog_name="kubectl qonverge" if called.startswith("kubectl-") else "qonverge")
