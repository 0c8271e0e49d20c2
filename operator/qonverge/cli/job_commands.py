"""Commands about jobs of the cluster: parsing and exit codes. Each imports what it needs when it runs."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from qonverge.cli.exits import COMPLETED, FAILED, INTERRUPTED, TIMED_OUT, refuse, silence_libraries

_LONGEST_WAIT_SECONDS = 366 * 86400.0

_job = click.argument("job")
_jobs = click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
_namespace = click.option("-n", "--namespace", help="Namespace of the job. Default: that of the current context.")


@contextlib.contextmanager
def _asking(interrupted: str = "") -> Iterator[None]:
    """Say what goes wrong in a sentence; ``interrupted`` is the one for Ctrl-C."""
    silence_libraries()
    from qonverge.cli.cluster import NoAnswer
    from qonverge.local.manifests import ManifestError

    try:
        yield
    except NoAnswer as error:
        refuse([str(error)])
    except ManifestError as error:
        refuse(error.problems)
    except KeyboardInterrupt:
        if interrupted:
            click.echo(interrupted, err=True)
        sys.exit(INTERRUPTED)


def _fail(problem: object, code: int = FAILED) -> None:
    click.echo(f"error: {problem}", err=True)
    sys.exit(code)


class _Seconds(click.ParamType[float]):
    """A duration as Kubernetes writes it, or a number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from qonverge.api.placement import seconds_of

        text = f"{value}s" if re.fullmatch(r"[0-9]+(\.[0-9]+)?", str(value)) else str(value)
        if not re.fullmatch(r"([0-9]+(\.[0-9]+)?(ms|s|m|h))+", text) or seconds_of(text) > _LONGEST_WAIT_SECONDS:
            self.fail(f"{value!r}: give a time such as 90s, 10m or 1h30m", param, ctx)
        return seconds_of(text)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@_namespace
@click.option("--wait", is_flag=True, help="Wait until every job has ended, and tell how they go on.")
@click.option("--timeout", type=_Seconds(), help="Wait no longer than this, such as 10m; with --wait.")
def submit(files: tuple[str, ...], namespace: str | None, wait: bool, timeout: float | None) -> None:
    """Create the jobs of manifests in the cluster; FILE is - for standard input.

    Other objects of the files are applied before them. Exit status: 0 when the jobs were created, or with --wait all
    completed, 1 when one failed or was deleted, 2 when a manifest cannot be used or no cluster takes it, 3 when
    --timeout passed before.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")
    with _asking("interrupted: what was created goes on; qonverge cancel JOB ends it"):
        from qonverge.cli.submit import StillRunning, submit_files

        try:
            completed = submit_files(files, namespace, wait=wait, timeout=timeout)
        except StillRunning as error:
            _fail(f"not ended within {timeout:g} s: {error}", TIMED_OUT)
        sys.exit(COMPLETED if completed else FAILED)


@click.command()
@click.argument("jobs", nargs=-1, metavar="[JOB...]")
@_namespace
@click.option("-A", "--all-namespaces", is_flag=True, help="The jobs of all namespaces.")
def watch(jobs: tuple[str, ...], namespace: str | None, all_namespaces: bool) -> None:
    """Show jobs of the cluster as they go on: a table on a terminal, else a line for each change.

    Without JOB those that have not ended and new ones are shown, until Ctrl-C. Exit status: 0 when all jobs that were
    named completed, 1 when one failed or was deleted, 2 when no cluster answers or it has no such job.
    """
    if jobs and all_namespaces:
        raise click.UsageError("--all-namespaces goes without JOB")
    with _asking():
        from qonverge.cli.watch import watch_jobs

        sys.exit(COMPLETED if watch_jobs(jobs, namespace, all_namespaces=all_namespaces) else FAILED)


@click.command()
@_job
@_namespace
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended, over all its attempts.")
@click.option("--tail", type=click.IntRange(min=0), help="So many of the last lines only.")
def logs(job: str, namespace: str | None, follow: bool, tail: int | None) -> None:
    """Print what a job's program prints; of one whose pod is gone, the last lines.

    Exit status: 0, 1 when there is nothing, 2 when no cluster answers or it has no such job.
    """
    with _asking():
        from qonverge.cli.logs import NoLog, print_log

        try:
            print_log(job, namespace, follow=follow, lines=tail)
        except NoLog as error:
            _fail(error)


def _changing(name: str, field: dict[str, bool], done: str, text: str) -> click.Command:
    """Return the command that sets a field of jobs."""

    @click.command(name, help=text)
    @_jobs
    @_namespace
    def change(jobs: tuple[str, ...], namespace: str | None) -> None:
        with _asking():
            from qonverge.cli.change import Ended, change_jobs

            try:
                change_jobs(jobs, namespace, field, done)
            except Ended as error:
                _fail(error)

    return change


cancel = _changing(
    "cancel",
    {"cancel": True},
    "cancelled",
    "End jobs for good: each is Failed with the reason Cancelled, and keeps its status. A session that runs is "
    "Complete.\n\n"
    "Exit status: 0, 1 when one has ended before, 2 when no cluster answers or it has no such job.",
)
suspend = _changing(
    "suspend",
    {"suspend": True},
    "suspended",
    "Hold jobs: what runs is stopped, and starts again when they are resumed.\n\n"
    "Exit status: 0, 1 when one has ended, 2 when no cluster answers or it has no such job.",
)
resume = _changing(
    "resume",
    {"suspend": False},
    "resumed",
    "Let suspended jobs run.\n\nExit status: 0, 1 when one has ended, 2 when no cluster answers or it has no such job.",
)


@click.command()
@_job
@_namespace
@click.option("--name", help="Name of the new job. Default: the next of JOB-rerun, JOB-rerun-2 and so on.")
def rerun(job: str, namespace: str | None, name: str | None) -> None:
    """Make a job of the cluster anew, with the same specification.

    Exit status: 0, 2 when no cluster answers, it has no such job, or has one of the new name.
    """
    with _asking():
        from qonverge.cli.rerun import rerun_job

        rerun_job(job, namespace, new_name=name, now=time.time())


@click.command()
@_job
@_namespace
@click.option(
    *("-o", "--output", "path"),
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The picture; its ending says the format, such as .png or .svg. Default: JOB.png.",
)
@click.option("--metric", "metrics", multiple=True, help="Draw the course of this metric only; may be repeated.")
@click.option("--url", help="The operator's URL, where the API server cannot reach it.")
def plot(job: str, namespace: str | None, path: Path | None, metrics: tuple[str, ...], url: str | None) -> None:
    """Draw a job of the cluster: counts, expectation values or a sweep, and the courses of the metrics that it reports.

    Exit status: 0, 1 when there is nothing to draw, 2 when the picture cannot be written, no cluster answers or it has
    no such job.
    """
    picture = path or Path(f"{job}.png")
    with _asking():
        from qonverge.cli.plot import NothingToDraw, plot_job
        from qonverge.cli.result import NoResult

        try:
            plot_job(job, namespace, path=picture, metrics=metrics, url=url)
        except (NothingToDraw, NoResult) as error:
            _fail(error)
        click.echo(f"drawn to {picture}")


class _Money(click.ParamType[dict[str, str]]):
    """An amount and its currency."""

    name = "money"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        if isinstance(value, dict):
            return value
        found = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,12})?) *([A-Z]{3})?", str(value))
        if found is None:
            self.fail(f"{value!r}: give an amount and a currency, such as 5USD or 0.50EUR", param, ctx)
        return {"amount": found[1], "currency": found[2] or "USD"}


class _Duration(_Seconds):
    """A duration as it is given, with a unit."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        super().convert(value, param, ctx)
        return f"{value}s" if re.fullmatch(r"[0-9.]+", str(value)) else str(value)


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@click.option("--backend", metavar="NAME", help="NAME or NAMESPACE/NAME of a backend. Default: any that may be used.")
@click.option("-n", "--namespace", help="Namespace of the session. Default: that of the current context.")
@click.option(
    "--duration", type=_Duration(), default="1h", show_default=True, help="How long, such as 30m; at most 24h."
)
@click.option("--max-shots", type=click.IntRange(min=1), help="Most shots that are run in it.")
@click.option("--max-cost", type=_Money(), metavar="COST", help="What it may cost at most, such as 5USD.")
@click.option("--priority-class", help="A PriorityClass of the cluster.")
@click.option("--url", help="Where this machine reaches the backend. Default: through the API server, by port-forward.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Local port of the port-forward. Default: any.")
def session(
    command: tuple[str, ...],
    backend: str | None,
    namespace: str | None,
    duration: Any,
    max_shots: int | None,
    max_cost: dict[str, str] | None,
    priority_class: str | None,
    url: str | None,
    port: int,
) -> None:
    """Give a notebook on this machine a backend of the cluster for a while.

    COMMAND, such as jupyter lab, runs with the backend in its environment, and the session ends with it. Without
    COMMAND the environment is printed, and the session ends with Ctrl-C. Exit status: that of COMMAND, else 0; 1 when
    the session did not begin, or failed, 2 when no cluster answers or it refuses.
    """
    with _asking("interrupted"):
        from qonverge.cli.session import SessionFailed, SessionRequest, run_session

        request = SessionRequest(duration, backend, max_shots, max_cost, priority_class)
        try:
            sys.exit(run_session(request, namespace, command=command, url=url, port=port))
        except SessionFailed as error:
            _fail(error)


JOB_COMMANDS: tuple[click.Command, ...] = (submit, watch, logs, cancel, suspend, resume, rerun, plot, session)
