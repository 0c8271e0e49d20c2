"""Commands that other packages add, by entry points whose values are click commands."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn

import click

GROUP = "qonverge.commands"

# Commands of Qonverge's own that are in other packages, with their packages.
_OWN = {"dev-cloud": "qonverge-dev-cloud"}


def names() -> list[str]:
    """Return the names of all such commands, also of those whose package is missing."""
    return sorted({*_installed(), *_OWN})


def find(name: str) -> click.Command | None:
    """Return a command; one whose package is missing or broken says so when it is called."""
    point = _installed().get(name)
    if point is not None:
        try:
            command: click.Command = point.load()
        except Exception as error:
            return _unusable(name, "Cannot be loaded.", f"{name} cannot be loaded from {point.value}: {error}")
        return command
    if name in _OWN:
        return _unusable(name, f"Needs the package {_OWN[name]}.", f"{name} is not installed: pip install {_OWN[name]}")
    return None


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _unusable(name: str, purpose: str, problem: str) -> click.Command:
    def say(arguments: tuple[str, ...]) -> NoReturn:
        click.echo(f"error: {problem}", err=True)
        sys.exit(2)

    return click.Command(
        name,
        callback=say,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        help=purpose,
        context_settings={"ignore_unknown_options": True},
    )
