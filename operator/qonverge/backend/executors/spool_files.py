"""A spool's folder: tasks, and how they ended, each in a file of its own that is whole or not there.

A file is written under another name, brought to the disk and renamed, and so is the folder: what is there after power
was lost is what was there before, or what was to be there. Its first 32 bytes are the SHA-256 of the rest.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from qonverge.wire.codec import parts, unpack

Kind = Literal["task", "end"]

_DIGEST_BYTES = 32
_NAME = re.compile(r"([0-9a-f]{64})\.(task|end)")

logger = logging.getLogger(__name__)


class SpoolFiles:
    """The files of one folder, which one process at a time uses."""

    def __init__(self, folder: Path) -> None:
        """Use the folder, which is made where it is not there.

        Raises:
            OSError: it cannot be used.
            RuntimeError: another process uses it.
        """
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise RuntimeError(f"spool.folder: {folder} is in use by another server: give each its own") from None
        for left in folder.glob("*.part"):
            # Its writer ended before anybody was told that it is there.
            left.unlink()

    def close(self) -> None:
        """Let another process use the folder."""
        os.close(self._lock)

    def names(self) -> Iterator[tuple[str, Kind, int, float]]:
        """Yield key, kind, size and time of the last change (Unix seconds) of each file."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if (match := _NAME.fullmatch(entry.name)) is not None:
                    found = entry.stat()
                    yield match[1], "task" if match[2] == "task" else "end", found.st_size, found.st_mtime

    def write(self, key: str, kind: Kind, value: dict[str, Any]) -> int:
        """Bring a value to the disk, and return its bytes there.

        Raises:
            OSError: there is no room, or the disk fails; nothing is there then.
        """
        buffers = parts(value)
        digest = hashlib.sha256()
        for buffer in buffers:
            digest.update(buffer)
        path = self._path(key, kind)
        part = path.with_suffix(f".{kind}.part")
        try:
            with open(part, "wb", opener=_private) as file:
                file.write(digest.digest())
                file.writelines(buffers)
                size = file.tell()
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            self._sync()
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        return size

    def read(self, key: str, kind: Kind) -> dict[str, Any] | None:
        """Return a value; None where there is none, or only a damaged one, which is set aside.

        Raises:
            OSError: the disk fails.
        """
        path = self._path(key, kind)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        view = memoryview(data)
        problem = "its digest is another"
        if hashlib.sha256(view[_DIGEST_BYTES:]).digest() == data[:_DIGEST_BYTES]:
            try:
                value: dict[str, Any] = unpack(view[_DIGEST_BYTES:])
                return value
            except ValueError as error:
                problem = str(error)
        self.set_aside(key, kind, problem)
        return None

    def set_aside(self, key: str, kind: Kind, problem: str) -> None:
        """Rename a file that cannot be used, for a person to look at."""
        path = self._path(key, kind)
        aside = path.with_suffix(f".{kind}.damaged")
        path.replace(aside)
        logger.error("the spool's file %s is damaged (%s): it is kept as %s", path, problem, aside.name)

    def remove(self, key: str, kind: Kind) -> None:
        """Remove a file. One that comes back when power is lost does no harm: it is removed again."""
        try:
            self._path(key, kind).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("the spool's file %s could not be removed: %s", self._path(key, kind), error)

    def _path(self, key: str, kind: Kind) -> Path:
        return self._folder / f"{key}.{kind}"

    def _sync(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
