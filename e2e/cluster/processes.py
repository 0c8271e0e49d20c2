"""Programs in the background, known by process id and start time."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from e2e.cluster.errors import CommandFailed, NotReady

_TAIL_LINES = 15


def execute(
    command: Sequence[str | Path],
    *,
    stdin: str | bytes | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    Raises:
        CommandFailed: it could not be started or ended with another status than 0.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            env={**os.environ, **(environment or {})},
            cwd=directory,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandFailed(words, 127, str(error)) from None
    if done.returncode:
        output = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
        raise CommandFailed(words, done.returncode, output)
    return done.stdout.decode(errors="replace")


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nothing listens on.

    They lie below the range that systems give to outgoing connections. A client that retries a port of that range
    while its server is down can be connected to itself, and then nothing can listen there.
    """
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            probe = held.enter_context(socket.socket())
            port = random.randint(20_000, 32_000)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    return ports


class Daemon:
    """A program that runs until it is stopped, its output in a log file.

    It ends with the thread that started it, however that ends, where the system can arrange it (Linux).
    """

    def __init__(self, name: str, command: Sequence[str | Path], log: Path) -> None:
        self.name = name
        self.command = [str(word) for word in command]
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program. The log is appended to."""
        assert not self.alive, f"{self.name} runs already"
        setpriv = shutil.which("setpriv")
        lifeline = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*lifeline, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C in a terminal is for whoever started this, who stops things in order.
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether it runs (a stopped one, after SIGSTOP, does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.stop(grace=0)

    def stop(self, grace: float = 10) -> None:
        """End it: SIGTERM, and SIGKILL after ``grace`` seconds."""
        if self._process is None:
            return
        if grace:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        self._process.kill()
        self._process.wait()

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        """Return when ``ready()`` holds.

        Raises:
            NotReady: the program ended first, or ``timeout`` seconds went by.
        """
        wait_until(ready, lambda: self.alive, self.name, self.log, timeout)


def wait_until(ready: Callable[[], bool], alive: Callable[[], bool], name: str, log: Path, timeout: float) -> None:
    """Return when ``ready()`` holds; see ``Daemon.wait_until``."""
    end = time.monotonic() + timeout
    while not ready():
        if not alive():
            raise NotReady(f"{name} ended. The end of {log}:\n{tail(log)}")
        if time.monotonic() > end:
            raise NotReady(f"{name} was not ready after {timeout:g} s. The end of {log}:\n{tail(log)}")
        time.sleep(0.1)


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-_TAIL_LINES:])
