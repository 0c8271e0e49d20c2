"""The processes of a program: one, or one for each rank, which end together, or one for each point of a sweep."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qonverge.client.program.rendezvous import left_behind
from qonverge.execution import retries

LOG_LINES = 20
_FAILED_LOG_LINES = 100
_LOG_CHARACTERS = 4000
# For the last lines to arrive, when something that the program left behind holds its output open.
_DRAIN_SECONDS = 1.0
_SILENT: dict[str, Any] = {
    "stdin": asyncio.subprocess.DEVNULL,
    "stdout": asyncio.subprocess.DEVNULL,
    "stderr": asyncio.subprocess.DEVNULL,
}
# Of MPI and of what starts its processes: what runs this may be one of those.
_NOT_PASSED_ON = ("QONVERGE_", "PMI_", "PMIX_")


class CannotStart(Exception):
    """What a program needs is not on this machine; the message says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Command:
    """How a program is started."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables beside those that every program has."""
    working_folder: Path | None = None
    """Where it starts; None: where this process is."""
    cleanup: Sequence[str] = ()
    """A command that ends what would go on without its process."""


Start = Callable[[Path, Mapping[str, str]], Command]
"""Returns how a rank of a program is started, given a folder of its own and the variables that it has from Qonverge."""


class Tail:
    """The last lines of what a program printed, however much there is and however long a line."""

    def __init__(self) -> None:
        """Start with none."""
        self._lines: deque[str] = deque(maxlen=_FAILED_LOG_LINES)

    def add(self, line: str) -> None:
        """Take the next line."""
        self._lines.append(line[:_LOG_CHARACTERS])

    def text(self) -> str | None:
        """Return the lines, None when there are none."""
        return "\n".join([*self._lines][-LOG_LINES:])[-_LOG_CHARACTERS:] or None

    def of_failed(self) -> str | None:
        """Return what is kept of an attempt that failed, which is more."""
        return retries.tail("\n".join(self._lines), retries.LOG_BYTES) or None


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """How a process ended."""

    rank: int
    exit_code: int
    """Minus the signal's number where one ended it."""
    left: str
    """What the client library left of why it failed."""
    log: str | None
    """Its last lines, more of them where it failed."""
    overdue: bool = False
    """Whether it was ended since it took longer than it might."""

    @property
    def failed(self) -> bool:
        """Whether the attempt that it belongs to fails of it."""
        return self.overdue or self.exit_code != 0


async def run_together(
    start: Start,
    environments: Sequence[Mapping[str, str]],
    on_line: Callable[[int, str], None],
    limit: float | None = None,
) -> ProcessEnd:
    """Run a program in one process for each environment, and return how rank 0 ended, or the first that failed.

    When one fails the others are ended, and so are all where this is cancelled.

    Args:
        start: how each is started.
        environments: what the ranks have from Qonverge beside the variables of this process, in their order.
        on_line: takes each line that a rank prints.
        limit: seconds after which they are ended; None: whenever they end.

    Raises:
        CannotStart: what the program needs is not on this machine.
    """
    ranks = [
        asyncio.create_task(run_one(rank, start, environment, on_line, limit))
        for rank, environment in enumerate(environments)
    ]
    try:
        pending: set[asyncio.Task[ProcessEnd]] = set(ranks)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            failed = [end for end in (task.result() for task in done) if end.failed]
            if failed:
                return min(failed, key=lambda end: end.rank)
        return ranks[0].result()
    finally:
        for task in ranks:
            task.cancel()
        await asyncio.wait(ranks)
        for task in ranks:
            # What one of them cannot start for, none can, and it is told once.
            if not task.cancelled():
                task.exception()


async def run_one(
    rank: int,
    start: Start,
    environment: Mapping[str, str],
    on_line: Callable[[int, str], None],
    limit: float | None,
) -> ProcessEnd:
    """Run a program in a process, and return how it ended; arguments as of ``run_together``, ``rank`` its number.

    Raises:
        CannotStart: what the program needs is not on this machine.
    """
    tail, left, overdue = Tail(), "", False

    def take(line: str) -> None:
        tail.add(line)
        on_line(rank, line)

    with tempfile.TemporaryDirectory(prefix="qonverge-") as folder:
        termination, output = Path(folder) / "termination-log", Path(folder) / "output"
        output.mkdir()
        own = {"QONVERGE_TERMINATION_LOG": str(termination), "QONVERGE_OUTPUT": str(output)}
        variables = {**environment, **own}
        command = start(Path(folder), variables)
        # A pipe of our own: asyncio takes a process for running as long as any of its children holds asyncio's.
        reading, writing = os.pipe()
        following = asyncio.create_task(_follow(reading, take))
        try:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command.argv,
                    env={**_inherited(), **command.environment, **variables},
                    cwd=command.working_folder,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=writing,
                    stderr=writing,
                    start_new_session=True,
                )
            finally:
                os.close(writing)
            ended = asyncio.create_task(process.wait())
            try:
                async with asyncio.timeout(limit) as timeout:
                    await asyncio.wait([ended, following], return_when=asyncio.FIRST_COMPLETED)
                    if following.done():
                        # Nobody takes the output any more: the program must not wait for ever to write it.
                        following.result()
                    await asyncio.shield(ended)
            except TimeoutError:
                if not timeout.expired():
                    raise
                overdue = True
            finally:
                shared = left_behind(process.pid)
                # As in a container, what the program started ends with it.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                code = await ended
                for file in shared:
                    file.unlink(missing_ok=True)
                if command.cleanup:
                    await (await asyncio.create_subprocess_exec(*command.cleanup, **_SILENT)).wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(following), _DRAIN_SECONDS)
        finally:
            following.cancel()
            await asyncio.wait([following])
        with contextlib.suppress(FileNotFoundError):
            left = termination.read_text(encoding="utf-8", errors="replace")[:_LOG_CHARACTERS]
    log = tail.of_failed() if overdue or code != 0 else tail.text()
    return ProcessEnd(rank, code, left, log, overdue)


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}


async def _follow(descriptor: int, on_line: Callable[[str], None]) -> None:
    """Pass each line on; a very long one in parts."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    rest = b""
    try:
        while chunk := await reader.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LOG_CHARACTERS * 4:
                lines.append(rest)
                rest = b""
            for line in lines:
                on_line(_text(line))
    finally:
        # Something that the program left behind may hold its output open: what came by now is all.
        transport.close()
        if rest:
            on_line(_text(rest))


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")
