"""This machine's settings of pip, for builds of images: how packages are reached, and nothing else."""

from __future__ import annotations

import ast
import configparser
import io
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

#: Settings that say where packages come from and how; none of the others belong in a build.
_REACH = frozenset(
    {
        *("cert", "client-cert", "default-timeout", "extra-index-url", "find-links", "index-url", "no-index"),
        *("proxy", "retries", "timeout", "trusted-host"),
    }
)


def parse_settings(text: str) -> dict[str, str]:
    """Return those settings that matter to a build from what ``pip config list`` prints.

    A line is ``SECTION.NAME='VALUE'``; the environment, section ``:env:.``, is stronger than files.
    """
    found: dict[str, str] = {}
    # Stable sorting puts the environment last, so that it wins.
    for line in sorted(text.splitlines(), key=lambda line: line.startswith(":env:")):
        match = re.fullmatch(r"(:env:|global|install)\.([a-z-]+)=(.*)", line.strip())
        if match and match[2] in _REACH:
            found[match[2]] = str(ast.literal_eval(match[3]))
    return found


def read_settings() -> dict[str, str]:
    """Return this machine's settings; none where there is no pip."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return parse_settings(done.stdout) if done.returncode == 0 else {}


def configuration(settings: Mapping[str, str]) -> str:
    """Return the settings as a file for pip."""
    parser = configparser.RawConfigParser()
    parser["global"] = dict(settings)
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def local_paths(settings: Mapping[str, str]) -> Iterable[Path]:
    """Return the files and folders of this machine that the settings name."""
    words = {word for value in settings.values() for word in value.split() if word.startswith("/")}
    return sorted(path for path in map(Path, words) if path.exists())
