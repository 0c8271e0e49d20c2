"""Python programs as subprocesses: one, or one for each rank."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from qonverge.api import HybridJob
from qonverge.api.program import Python
from qonverge.api.program_source import GitSource
from qonverge.client.program.fetch import fetch
from qonverge.client.program.install import install
from qonverge.local.attempts import run_attempts
from qonverge.local.kinds.kind import LocalKind, PlacedJob
from qonverge.local.preparation import prepared
from qonverge.local.processes import Command, Start
from qonverge.local.program_environment import environment_of, expanded
from qonverge.programs.parameters import replaced, unswept
from qonverge.programs.python import specification, text
from qonverge.programs.requirements import key_of
from qonverge.wire.program_inits import PASSWORD, USERNAME


class LocalPrograms:
    """A program runs in the current Python environment."""

    async def run(self, placed: PlacedJob) -> None:
        """Run the program."""
        job, site = placed.run.job, None
        python = specification(job)
        if python.requirements:
            # What this interpreter has is part of what they are installed beside.
            key = key_of(python.requirements, f"{sys.prefix} {sys.version}")
            site = await prepared(placed.run, lambda: install(python.requirements, _cache() / key))
            if site is None:
                return
        if (place := _cluster_only(python)) is not None:
            placed.run.fail("CannotStart", f"the program is {place}: give its text, or a repository")
        elif python.git is None:
            await run_attempts(placed, starting(job, text(placed.program), site))
        else:
            await self._fetched(placed, python.git, site)

    async def _fetched(self, placed: PlacedJob, git: GitSource, site: Path | None) -> None:
        """Bring a program from its repository, and run it there."""
        credentials = {"username": os.environ.get(USERNAME), "password": os.environ.get(PASSWORD)}
        with tempfile.TemporaryDirectory(prefix="qonverge-program-") as folder:
            commit = await prepared(placed.run, lambda: fetch(git.url, git.revision, Path(folder), **credentials))
            if commit is None:
                return
            start = starting_file(placed.run.job, Path(folder) / git.path, site, Path(folder))
            await run_attempts(placed, start, commit=commit)


def _cluster_only(python: Python) -> str | None:
    """Return where a program is that only a cluster reaches; None where it is not."""
    if python.volume is not None:
        return f"on the claim {python.volume.claim_name} of a cluster"
    return None if python.artifact is None else f"in the artifact {python.artifact.reference}, which a node pulls"


def starting(job: HybridJob, source: str, site: Path | None = None) -> Start:
    """Return how a job's program of this text is started; ``site`` is where its requirements are."""

    def start(folder: Path, variables: Mapping[str, str]) -> Command:
        file = folder / "program.py"
        file.write_text(source, encoding="utf-8")
        return starting_file(job, file, site)(folder, variables)

    return start


def starting_file(job: HybridJob, file: Path, site: Path | None, working_folder: Path | None = None) -> Start:
    """Return how a job's program in a file is started, in a folder or in this process's own."""
    python = specification(job)
    args = replaced(python.args, unswept(job))

    def start(folder: Path, variables: Mapping[str, str]) -> Command:
        environment = environment_of(python.template.env, variables, os.environ)
        if site is not None:
            known = os.environ.get("PYTHONPATH")
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), known]))
        words = (expanded(word, {**environment, **variables}) for word in args)
        return Command(
            (sys.executable, "-m", "qonverge.client.program.run", str(file), *words),
            environment,
            working_folder=working_folder,
        )

    return start


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "qonverge" / "requirements"


KIND: LocalKind = LocalPrograms()
