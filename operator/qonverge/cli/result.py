"""``qonverge result``: a job's result as JSON, wherever it is."""

from __future__ import annotations

import asyncio
import hashlib
import sys

from qonverge.api import HybridJob
from qonverge.api.job import KeptResult
from qonverge.cli.cluster import Cluster, NoAnswer, connected
from qonverge.execution.results import document


class NoResult(Exception):
    """The job has no result."""


def print_result(name: str, namespace: str | None, *, url: str | None) -> None:
    """Write the JSON of a job's result to standard output.

    Args:
        name: of the job.
        namespace: of the job; None for the context's.
        url: of the operator, for a result that its status has no room for; None: through the API server.

    Raises:
        NoAnswer: there is no cluster that answers, or no such job in it.
        NoResult: the job has none, or has it no more.
    """
    data = asyncio.run(_get(name, namespace, url))
    # To a file go the very bytes, of which the status has the SHA-256.
    sys.stdout.buffer.write(data + (b"\n" if sys.stdout.isatty() else b""))
    sys.stdout.buffer.flush()


async def _get(name: str, namespace: str | None, url: str | None) -> bytes:
    async with connected() as cluster:
        return await fetched(cluster, HybridJob.model_validate(await cluster.job(name, namespace)), url)


async def fetched(cluster: Cluster, job: HybridJob, url: str | None) -> bytes:
    """Return the JSON of a job's result, wherever it is; ``url`` as of ``print_result``.

    Raises:
        NoAnswer: whoever has it does not answer.
        NoResult: the job has none, or has it no more.
    """
    status, result = job.status, job.status.result
    if result is None:
        raise NoResult(f"{job.metadata.name} has no result: it is {status.state}: {status.message or 'new'}")
    if result.kept is None:
        return document(result)
    if result.kept.lost is not None:
        raise NoResult(status.message or result.kept.lost)
    data = await _kept_elsewhere(cluster, result.kept, url)
    if hashlib.sha256(data).hexdigest() != result.kept.sha256:
        raise NoAnswer(f"{len(data)} bytes came, which are not the {result.kept.bytes} of the result: try again")
    return data


async def _kept_elsewhere(cluster: Cluster, kept: KeptResult, url: str | None) -> bytes:
    if url is None:
        return await cluster.raw(kept.path)
    import aiohttp

    path = kept.path.partition("/proxy/")[2]
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url.rstrip('/')}/{path}") as response:
            data = await response.read()
            if response.status != 200:
                raise NoAnswer(f"{url} answered {response.status}: {data.decode(errors='replace').strip()}")
            return data
    except (aiohttp.ClientError, ValueError, OSError) as error:
        raise NoAnswer(f"{url} does not answer: {error}") from None
