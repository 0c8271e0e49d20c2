"""How commands end, and what all of them do first."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

COMPLETED, FAILED, USAGE, TIMED_OUT, INTERRUPTED = 0, 1, 2, 3, 130


def silence_libraries() -> None:
    """Keep warnings and logs of libraries from the terminal: what a person needs to know, the commands say."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def refuse(problems: list[str]) -> NoReturn:
    """End with a line for each problem: something that was given cannot be used."""
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    sys.exit(USAGE)
