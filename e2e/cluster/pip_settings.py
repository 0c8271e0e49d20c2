"""This machine's settings of pip, for builds of images: how packages are reached, and nothing else."""

from __future__ import annotations

import ast
import configparser
import io
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Relocated:
    """Settings for a build, which sees this machine's files at places that tell nothing of this machine."""

    #: The settings as a file for pip.
    configuration: str
    #: Files and folders of this machine to where the build sees them.
    mounts: Mapping[Path, str]


def relocate(settings: Mapping[str, str], folder: str) -> Relocated:
    """Return settings that name the files and folders of this machine as they appear below ``folder``."""
    words = {word for value in settings.values() for word in value.split() if word.startswith("/")}
    paths = sorted(path for path in map(Path, words) if path.exists())
    mounts = {path: f"{folder}/{number}" for number, path in enumerate(paths)}
    parser = configparser.RawConfigParser()
    parser["global"] = {
        name: " ".join(mounts.get(Path(word), word) for word in value.split()) for name, value in settings.items()
    }
    text = io.StringIO()
    parser.write(text)
    return Relocated(text.getvalue(), mounts)
