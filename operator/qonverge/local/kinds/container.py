"""Containers on this machine, by Podman or Docker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from qonverge.local.attempts import run_attempts
from qonverge.local.kinds.kind import LocalKind, PlacedJob
from qonverge.local.processes import CannotStart, Command
from qonverge.local.program_environment import environment_of, expanded
from qonverge.programs.container import specification
from qonverge.programs.parameters import parameters_of, replaced

_ENGINES = ("podman", "docker")


class LocalContainers:
    """A container shares this machine's network, where the backend is, and has nothing else of it."""

    async def run(self, placed: PlacedJob) -> None:
        """Run the container."""
        job = placed.run.job
        container, parameters = specification(job), parameters_of(job)
        first, args = replaced(container.command, parameters), replaced(container.args, parameters)

        def start(folder: Path, variables: Mapping[str, str]) -> Command:
            engine = next((found for name in _ENGINES if (found := shutil.which(name))), None)
            if engine is None:
                raise CannotStart(f"a container needs one of {' and '.join(_ENGINES)} in the PATH: install one")
            environment = environment_of(container.template.env, variables, os.environ)
            known = {**environment, **variables}
            entry, rest = ([expanded(word, known) for word in words] for words in (first, args))
            return command(engine, container.image, entry, rest, folder, known, environment)

        await run_attempts(placed, start)


def command(
    engine: str,
    image: str,
    first: Sequence[str],
    args: Sequence[str],
    folder: Path,
    names: Iterable[str],
    environment: Mapping[str, str],
) -> Command:
    """Return how an engine starts a container.

    Args:
        engine: path of Podman or Docker.
        image: the container's image.
        first: what is started; the image's entry point where it is empty.
        args: its arguments.
        folder: a folder that it gets under the same path, and whose name no other has.
        names: all variables that it gets; their values are in the engine's own environment, which no list of
            processes shows.
        environment: those among them that are the job's own.
    """
    user = f"{os.getuid()}:{os.getgid()}"
    options = ["--rm", "--name", folder.name, "--network=host", f"--user={user}", f"--volume={folder}:{folder}"]
    if Path(engine).name == "podman":
        # Without it the folder belongs to another user inside.
        options.append("--userns=keep-id")
    entry, rest = first[:1], first[1:]
    options += [f"--entrypoint={word}" for word in entry]
    argv = [engine, "run", *options, *(f"--env={name}" for name in names), image, *rest, *args]
    return Command(argv, environment, cleanup=(engine, "rm", "--force", folder.name))


KIND: LocalKind = LocalContainers()
