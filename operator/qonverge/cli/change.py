"""``qonverge cancel``, ``suspend`` and ``resume``: one field of jobs of the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from qonverge.cli.cluster import connected
from qonverge.cli.following import SeenJob


class Ended(Exception):
    """A job has ended before, so that nothing of it changes any more."""


def change_jobs(names: Sequence[str], namespace: str | None, fields: Mapping[str, bool], done: str) -> None:
    """Set fields of jobs' specifications, and print a line for each.

    Args:
        names: of the jobs.
        namespace: of the jobs; None: that of the context.
        fields: of the specification.
        done: what the jobs are then, in a word.

    Raises:
        NoAnswer: the API server does not answer, refuses, or has no such job.
        Ended: some have ended before, which is said when the others are done.
    """
    asyncio.run(_change(names, namespace, fields, done))


async def _change(names: Sequence[str], namespace: str | None, fields: Mapping[str, bool], done: str) -> None:
    ended: list[str] = []
    async with connected() as cluster:
        where = namespace or cluster.namespace
        for name in names:
            job = SeenJob.of(await cluster.job(name, where))
            if job.ended:
                ended.append(f"{name} has ended before: it is {job.status.state}")
                continue
            await cluster.change_job(name, where, dict(fields))
            print(f"hybridjob/{name} {done}", flush=True)
    if ended:
        raise Ended("; ".join(ended))
