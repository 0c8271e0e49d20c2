"""What one job keeps in a store: its result, its files and its checkpoints, within bounds.

Of a sweep each point has files and checkpoints of its own, in a folder of its index.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

from qonverge.documents.excerpt import excerpt
from qonverge.storage.objects import Content, Objects

RESULT = "result.json"
FILES = "files/"
CHECKPOINTS = "checkpoints/"
POINTS = "points/"
"""Results of the points of a sweep, until they are put together."""
MOST_FILES = 10_000
"""Files of one job."""
_CHECKPOINT = re.compile(r"(?:[0-9]{1,5}/)?[0-9]{8,12}")
_POINT = re.compile(r"points/[0-9]{1,5}\.json")
_LONGEST_PATH = 900
"""Bytes: keys of S3 have 1024."""


class InvalidPath(ValueError):
    """A path that no object of a job may have."""


class OutputFull(Exception):
    """The job keeps more than it may; the message has the figures."""


@dataclass(frozen=True, slots=True)
class JobOutput:
    """The objects of one job."""

    objects: Objects
    prefix: str
    """Of its keys; ends in a slash."""

    async def put(self, path: str, pieces: AsyncIterable[bytes]) -> int:
        """Write an object, and return its size in bytes.

        Raises:
            InvalidPath: none may have this path.
            OutputFull: with it the job would keep too much; nothing is written.
            StoreFailed: the store did not take it.
        """
        key = self.key(path)
        there = await self.objects.sizes(self.prefix)
        if path.startswith(FILES) and sum(each.startswith(self.prefix + FILES) for each in there) >= MOST_FILES:
            raise OutputFull(f"the job has {MOST_FILES} files, and may not have more: put them into an archive")
        used = sum(size for each, size in there.items() if each != key)
        return await self.objects.put(key, self._bounded(path, pieces, used))

    async def _bounded(self, path: str, pieces: AsyncIterable[bytes], used: int) -> AsyncIterator[bytes]:
        settings, size = self.objects.settings, 0
        async for piece in pieces:
            size += len(piece)
            if used + size > settings.max_job_bytes:
                raise OutputFull(
                    f"{path} has more than {size - len(piece)} bytes and the job's other output takes {used}; the "
                    f"store {settings.name} keeps {settings.max_job_bytes} for a job (maxJobBytes)"
                )
            yield piece

    async def get(self, path: str) -> Content:
        """Return an object.

        Raises:
            InvalidPath: none may have this path.
            NoObject: there is none.
            StoreFailed: the store does not give it.
        """
        return await self.objects.get(self.key(path))

    async def sizes(self, folder: str) -> dict[str, int]:
        """Return the sizes in bytes of what the job has in ``FILES`` or ``CHECKPOINTS``, by the paths there, in order.

        Raises:
            InvalidPath: there is no such folder.
            StoreFailed: the store does not tell.
        """
        if folder not in (FILES, CHECKPOINTS):
            raise InvalidPath(f"{excerpt(folder)} is neither {FILES} nor {CHECKPOINTS}")
        whole = self.prefix + folder
        return {key.removeprefix(whole): size for key, size in (await self.objects.sizes(whole)).items()}

    async def delete(self, path: str) -> None:
        """Delete an object; one that is gone is passed over.

        Raises:
            InvalidPath: none may have this path.
            StoreFailed: the store did not do it.
        """
        await self.objects.delete([self.key(path)])

    async def delete_all(self, folder: str = "") -> None:
        """Delete all that the job keeps, or what it has in a folder.

        Raises:
            StoreFailed: the store did not do it.
        """
        await self.objects.delete(list(await self.objects.sizes(self.prefix + folder)))

    def key(self, path: str) -> str:
        """Return the key of the object that a job has under a path.

        Raises:
            InvalidPath: none may have this path.
        """
        if not (path == RESULT or is_file(path) or is_checkpoint(path) or _POINT.fullmatch(path)):
            raise InvalidPath(
                f"{excerpt(path)} is no place for output: {RESULT}, {FILES}PATH without '.' and '..', {CHECKPOINTS} "
                f"and a number, or {POINTS}INDEX.json"
            )
        return self.prefix + path


def point_path(index: int) -> str:
    """Return the path of the result of a sweep's point."""
    return f"{POINTS}{index}.json"


def is_checkpoint(path: str) -> bool:
    """Return whether a path is that of a checkpoint."""
    return path.startswith(CHECKPOINTS) and _CHECKPOINT.fullmatch(path.removeprefix(CHECKPOINTS)) is not None


def is_file(path: str) -> bool:
    """Return whether a path is that of a file, which can be a file's on any machine."""
    parts = path.removeprefix(FILES).split("/")
    return (
        path.startswith(FILES)
        and len(path.encode("utf-8", "surrogatepass")) <= _LONGEST_PATH
        and path.isprintable()
        and "\\" not in path
        and all(part not in ("", ".", "..") for part in parts)
    )


def prefix_of(namespace: str, name: str, uid: str) -> str:
    """Return the prefix of a job's keys: another job of the same name has another."""
    return f"{namespace}/{name}/{uid}/"
