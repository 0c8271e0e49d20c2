"""``qonverge dev-cloud``: starts the clouds and says how programs find them."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
from pathlib import Path
from threading import Event

import click


@click.command()
@click.argument("scenario", required=False, type=click.Path(dir_okay=False, path_type=Path), metavar="[SCENARIO]")
@click.option(
    "--port", type=click.IntRange(0, 65530), default=4510, show_default=True, help="First of six ports; 0: any."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of this machine at which they listen.")
def dev_cloud(scenario: Path | None, port: int, host: str) -> None:
    """Start quantum clouds on this machine for programs of their own SDKs, offline and deterministic.

    SCENARIO is a YAML file. The environment that programs need is printed first; Ctrl-C ends it.
    """
    from qonverge_dev_cloud.cloud import PORTS, DevCloud
    from qonverge_dev_cloud.scenario import ScenarioError, load

    try:
        own = None if scenario is None else load(scenario)
    except ScenarioError as error:
        for line in str(error).splitlines():
            click.echo(f"error: {line}", err=True)
        sys.exit(2)
    # It warns of constructs that some devices lack, for each task.
    logging.getLogger("braket.default_simulator").setLevel(logging.ERROR)
    cloud = DevCloud(own, host=host, port=port)
    try:
        cloud.start()
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else error
        click.echo(f"error: ports {port} to {port + PORTS - 1}: {why}: use another --port", err=True)
        sys.exit(1)
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        for name, value in cloud.environment.items():
            click.echo(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
        click.echo("ready; Ctrl-C ends it", err=True)
        ended.wait()
    finally:
        cloud.stop()
