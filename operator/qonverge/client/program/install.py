"""Installs a program's requirements once: ``python -m qonverge.client.program.install FOLDER REQUIREMENT...``.

Whoever comes second finds them there. A sentence goes to ``$QONVERGE_TERMINATION_LOG`` where it does not succeed.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from qonverge.wire.program_inits import SITE

_OPTIONS = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "--no-warn-script-location")
_MOST_CHARACTERS = 1500


class NotInstalled(Exception):
    """The requirements could not be installed; the message has the words of pip."""


def install(requirements: Sequence[str], folder: Path) -> Path:
    """Install requirements into a folder, if nobody did before, and return what is to be searched for modules.

    What this interpreter has already is not installed again, and stays at its version. The folder is there as a whole
    or not at all; of several processes, on this machine or over a shared file system, one installs and the others wait.

    Args:
        requirements: as pip takes them.
        folder: which no other list of requirements has, nor another interpreter.

    Raises:
        NotInstalled: pip is not here, or refuses them.
    """
    site = folder / SITE
    if site.exists():
        return site
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not site.exists():
            _fill(requirements, folder)
    return site


def _fill(requirements: Sequence[str], folder: Path) -> None:
    if importlib.util.find_spec("pip") is None:
        raise NotInstalled(f"requirements need pip, which {sys.executable} does not have: install it in the image")
    # A lock may not hold over a network: whoever renames first wins, and nobody sees a part.
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        constraints = made / "constraints.txt"
        constraints.write_text("\n".join(_installed()), encoding="utf-8")
        command = (sys.executable, "-m", "pip", "install", *_OPTIONS, "--prefix", str(made), "-c", str(constraints))
        done = subprocess.run(  # noqa: S603 - no shell, and nothing in the list is an option
            [*command, *requirements], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise NotInstalled(_words(done.stderr) or f"pip ended with exit code {done.returncode}")
        # Where in the folder it is depends on the interpreter and its distribution.
        found = sorted(path for path in made.rglob("*-packages") if path.is_dir())
        if not found:
            (made / SITE).mkdir()
        else:
            (made / SITE).symlink_to(found[0].relative_to(made))
        made.chmod(0o755)
        try:
            made.rename(folder)
        except OSError:
            if not (folder / SITE).exists():
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _installed() -> list[str]:
    """Return what this interpreter has, as constraints; what was installed from a folder has no version to keep."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        if distribution.read_text("direct_url.json") is None:
            found.setdefault(re.sub(r"[-_.]+", "-", distribution.name).lower(), distribution.version)
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _words(errors: str) -> str:
    lines = [line.removeprefix("ERROR: ") for line in errors.splitlines() if line.strip()]
    return "; ".join(lines)[-_MOST_CHARACTERS:]


def main() -> None:
    """Install into the folder, or leave a sentence where the kubelet reads it."""
    if len(sys.argv) < 3:
        sys.exit("usage: python -m qonverge.client.program.install FOLDER REQUIREMENT...")
    try:
        install(sys.argv[2:], Path(sys.argv[1]))
    except NotInstalled as error:
        if (log := os.environ.get("QONVERGE_TERMINATION_LOG")) is not None:
            Path(log).write_text(str(error), encoding="utf-8")
        sys.exit(f"qonverge: {error}")


if __name__ == "__main__":
    main()
