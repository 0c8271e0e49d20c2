"""``qonverge result``: a job's result as JSON, wherever it is, and its files; large ones a piece at a time."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from qonverge.api import HybridJob
from qonverge.api.job_status import Result
from qonverge.cli.cluster import Cluster, NoAnswer, connected
from qonverge.cli.table import Columns, check_table_path, columns_of, write_table
from qonverge.execution.results import document
from qonverge.storage.job_output import FILES, is_file

_PIECE_BYTES = 256 * 1024
_IDLE_SECONDS = 300.0


class NoResult(Exception):
    """The job has no result, or no files."""


def print_result(name: str, namespace: str | None, *, url: str | None, output: Path | None) -> None:
    """Write the JSON of a job's result.

    Args:
        name: of the job.
        namespace: of the job; None for the context's.
        url: of the operator, for a result that its status has no room for; None: through the API server.
        output: file that is written, whole or not at all; None for the standard output.

    Raises:
        NoAnswer: there is no cluster that answers, or no such job in it.
        NoResult: the job has none, or has it no more.
    """
    asyncio.run(_print(name, namespace, url, output))


def save_files(name: str, namespace: str | None, folder: Path, *, url: str | None) -> int:
    """Write a job's files into a folder, and return how many they are; arguments are those of ``print_result``.

    Raises:
        NoAnswer: there is no cluster that answers, or no such job in it.
        NoResult: the job has none.
    """
    return asyncio.run(_save(name, namespace, url, folder))


async def _print(name: str, namespace: str | None, url: str | None, output: Path | None) -> None:
    async with connected() as cluster:
        job = HybridJob.model_validate(await cluster.job(name, namespace))
        with _target(output) as file:
            await _write(cluster, job, url, file)
            if output is None and sys.stdout.isatty():
                # To a file go the very bytes, of which the status has the SHA-256.
                file.write(b"\n")
            file.flush()


def save_table(name: str, namespace: str | None, path: Path, *, url: str | None) -> None:
    """Write the table of a sweep, in the format that the path's ending names; arguments are those of ``print_result``.

    Raises:
        ManifestError: the ending names no format.
        NoAnswer: there is no cluster that answers, or no such job in it.
        NoResult: the job has none, or has it no more.
        NoTable: it has no points of a sweep.
    """
    check_table_path(path)
    write_table(asyncio.run(_table(name, namespace, url)), path)


async def _table(name: str, namespace: str | None, url: str | None) -> Columns:
    async with connected() as cluster:
        job = HybridJob.model_validate(await cluster.job(name, namespace))
        return columns_of(job, Result.model_validate_json(await fetched(cluster, job, url)))


async def fetched(cluster: Cluster, job: HybridJob, url: str | None) -> bytes:
    """Return the JSON of a job's result, wherever it is; ``url`` as of ``print_result``.

    Raises:
        NoAnswer: whoever has it does not answer.
        NoResult: the job has none, or has it no more.
    """
    file = io.BytesIO()
    await _write(cluster, job, url, file)
    return file.getvalue()


async def _write(cluster: Cluster, job: HybridJob, url: str | None, file: BinaryIO) -> None:
    status, result = job.status, job.status.result
    if result is None:
        raise NoResult(f"{job.metadata.name} has no result: it is {status.state}: {status.message or 'new'}")
    if result.kept is not None and result.kept.lost is not None:
        raise NoResult(status.message or result.kept.lost)
    place = result.stored or result.kept
    if place is None:
        file.write(document(result))
    else:
        await _copy(cluster, url, place.path, file, size=place.bytes, sha256=place.sha256)


async def _save(name: str, namespace: str | None, url: str | None, folder: Path) -> int:
    async with connected() as cluster:
        status = HybridJob.model_validate(await cluster.job(name, namespace)).status
        if status.files is None:
            raise NoResult(f"{name} has no files: it is {status.state}: {status.message or 'new'}")
        path, _, key = status.files.path.partition("?")
        listed = b"".join([piece async for piece in _pieces(cluster, url, status.files.path)])
        sizes: dict[str, int] = json.loads(listed)
        for each, size in sizes.items():
            if not is_file(FILES + each):
                raise NoAnswer(f"the operator names a file {each!r}, which is outside of the folder")
            target = folder / each
            target.parent.mkdir(parents=True, exist_ok=True)
            with _target(target) as file:
                await _copy(cluster, url, f"{path}/{quote(each)}?{key}", file, size=size)
        return len(sizes)


async def _copy(
    cluster: Cluster, url: str | None, path: str, file: BinaryIO, *, size: int, sha256: str | None = None
) -> None:
    """Write what the operator has under a path to a file, and compare it with what was said of it."""
    came, digest = 0, hashlib.sha256()
    async for piece in _pieces(cluster, url, path):
        came += len(piece)
        digest.update(piece)
        file.write(piece)
    if came != size or (sha256 is not None and digest.hexdigest() != sha256):
        raise NoAnswer(f"{came} bytes came, which are not the {size} that the job's status names: try again")


async def _pieces(cluster: Cluster, url: str | None, path: str) -> AsyncIterator[bytes]:
    if url is None:
        # However long it takes, as long as something comes.
        async for piece in cluster.stream(path, _IDLE_SECONDS):
            yield piece
        return
    import aiohttp

    address = f"{url.rstrip('/')}/{path.partition('/proxy/')[2]}"
    # However long it takes, as long as something comes.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(address) as response:
            if response.status != 200:
                said = (await response.read()).decode(errors="replace").strip()
                raise NoAnswer(f"{url} answered {response.status}: {said}")
            async for piece in response.content.iter_chunked(_PIECE_BYTES):
                yield piece
    except (aiohttp.ClientError, ValueError, OSError) as error:
        raise NoAnswer(f"{url} does not answer: {error}") from None


@contextlib.contextmanager
def _target(output: Path | None) -> Iterator[BinaryIO]:
    """Give the standard output, or a file that takes the other's place once it is whole."""
    if output is None:
        yield sys.stdout.buffer
        return
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
